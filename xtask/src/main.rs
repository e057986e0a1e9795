//! `cargo xtask`: everything around the code that needs more than cargo.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::{
    bench, chart, cluster, demo, faults, gen_crds, image, local, observability, rbac, rights, test, trial,
};

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    about = "Builds, clusters, trials and benchmarks",
    max_term_width = 110
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Clusters to run against: simulated, real or your own
    Cluster(cluster::command::ClusterArgs),
    /// From nothing to game servers, with the times that matter
    Demo(demo::Options),
    /// A cluster of this machine with the controllers, to try things; prints what a shell needs: eval "$(cargo xtask local)"
    Local(local::Options),
    /// Everything that CI checks
    Test(test::Options),
    /// Break things on purpose and count what went wrong
    #[command(subcommand)]
    Trial(trial::Trial),
    /// Try systematic faults on a real API server and check what must hold
    Faults(faults::Options),
    /// Speed and cost, beside a baseline in the same run
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Write crds/ from the types
    GenCrds(gen_crds::GenCrdsArgs),
    /// Write the image of a release as a file, without Docker
    Image(image::ImageArgs),
    /// Write e2e/rbac/, docs/rights.md and the chart's rights from what each controller may do
    GenRbac(rbac::GenRbacArgs),
    /// Compare what the controllers may do with what they did, by audit logs
    RightsUsed(rights::RightsUsedArgs),
    /// Write what the chart has of the rest: CRDs, alerts, dashboards, the schema of its values
    GenChart(chart::GenChartArgs),
    /// Let checkov and kube-score look at the rendered chart
    LintChart,
    /// Write deploy/gamekeeper.yaml from the chart, by Helm
    GenManifests(chart::GenManifestsArgs),
    /// Write docs/metrics.md from the controllers' tables of metrics, and docs/events.md
    GenDocs(observability::GenArgs),
    /// Write deploy/dashboards
    GenDashboards(observability::GenArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Cluster(args) => cluster::command::run(args).await,
        Command::Demo(options) => demo::run(options).await.map(|()| ExitCode::SUCCESS),
        Command::Local(options) => local::run(options).await.map(|()| ExitCode::SUCCESS),
        Command::Test(options) => test::run(options).await.map(|()| ExitCode::SUCCESS),
        Command::Faults(options) => faults::run(options).await.map(|()| ExitCode::SUCCESS),
        Command::Trial(trial) => trial.run().await.map(|()| ExitCode::SUCCESS),
        Command::GenCrds(args) => args.run().map(|()| ExitCode::SUCCESS),
        Command::Image(args) => args.run().await.map(|()| ExitCode::SUCCESS),
        Command::GenRbac(args) => args.run().map(|()| ExitCode::SUCCESS),
        Command::RightsUsed(args) => args.run().map(|()| ExitCode::SUCCESS),
        Command::GenChart(args) => args.run().await.map(|()| ExitCode::SUCCESS),
        Command::LintChart => chart::lint().await.map(|()| ExitCode::SUCCESS),
        Command::GenManifests(args) => args.run().await.map(|()| ExitCode::SUCCESS),
        Command::GenDocs(args) => args.docs().map(|()| ExitCode::SUCCESS),
        Command::GenDashboards(args) => args.dashboards().map(|()| ExitCode::SUCCESS),
        Command::Bench(bench) => bench.run().await.map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

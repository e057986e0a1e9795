//! `bench probe`: how late probes are, what they cost a node, and how long a dead process takes to be an opsState, on a real kubelet;
//! then thousands of simulated servers that are probed over the network.

mod kills;
mod load;
mod network;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde::Serialize;
use serde_json::Value;

use self::load::Load;
pub(crate) use self::network::{PORT, Route, answer};
use super::spread::Spread;
use crate::cluster::{self, Cluster, Nodes};
use crate::demo;
use crate::fleet::{Fleet, FleetOptions, Profile, client_for};
use crate::trial::write_json;

/// Flags of `bench probe`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Build of the controllers.
    #[arg(long, value_enum, default_value = "image")]
    profile: Profile,
    /// Kills timed, rounded up to a multiple of the servers that are killed side by side.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    kills: u32,
    /// Probes at rest, rounded up to a multiple of the qualities of one server.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=600))]
    probes: u32,
    /// Seconds for which they are measured, in each mode.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..=3_600))]
    seconds: u64,
    /// Simulated servers probed over the network, half by httpGet and half by tcpSocket, by the central prober; 0 leaves them out.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(0..=5_000))]
    servers: u32,
    /// Write the result as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Outcome {
    /// In node mode.
    skew_p99_ms: f64,
    /// From the kill to the opsState, less `periodSeconds × failureThreshold`.
    overhead_p99_ms: f64,
    /// Of the node's prober, of one core.
    cpu_percent: f64,
    /// In node mode, of all controllers.
    writes_at_rest: f64,
    /// From the kill to the opsState on the GameServer.
    kill_to_ops_state: Spread,
    bound_ms: u64,
    node: Load,
    central: Load,
    servers: u32,
    /// The central prober with so many servers over the network.
    network: Option<Load>,
}

const CLUSTER: &str = "bench-probe";
const SETTLE: Duration = Duration::from_secs(180);

/// Runs the benchmark.
///
/// # Errors
/// When it can't run here, something writes at rest, or a kill isn't seen.
pub(super) async fn run(options: Options) -> Result<()> {
    if let Some(reason) = cluster::kubelet_unavailable() {
        bail!("{reason}");
    }
    let nodes = Nodes {
        kwok: 0,
        kubelet: true,
    };
    let running = cluster::up(&cluster::Spec::new(CLUSTER, nodes)).await?;
    let outcome = measure(&running, &options).await;
    cluster::down(CLUSTER).await?;
    let mut outcome = outcome?;
    if options.servers > 0 {
        let fleet = FleetOptions {
            profile: options.profile,
            ..Default::default()
        };
        outcome.network = Some(network::measure(options.servers, options.seconds, fleet).await?);
    }
    write_json(options.json.as_deref(), &outcome)?;
    report(&outcome);
    let network = outcome.network.map_or(0.0, |load| load.writes);
    if outcome.node.writes + outcome.central.writes + network > 0.0 {
        bail!("something wrote at rest; there must be no write");
    }
    Ok(())
}

async fn measure(running: &Cluster, options: &Options) -> Result<Outcome> {
    let root = cluster::paths::repo_root();
    demo::import_images(running, &root.join("e2e/manifests")).await?;
    let client = client_for(&running.kubeconfig).await?;
    let mut fleet_options = FleetOptions {
        profile: options.profile,
        cluster_dir: Some(running.dir.clone()),
        ..Default::default()
    };
    let fleet = Fleet::start(&root, &running.kubeconfig, &fleet_options).await?;
    let kills = kills::measure(&client, options.kills).await?;
    load::create(&client, options.probes).await?;
    let node = load::measure(&fleet, options.seconds).await?;
    fleet.stop().await?;
    fleet_options.central = true;
    let fleet = Fleet::start(&root, &running.kubeconfig, &fleet_options).await?;
    let central = load::measure(&fleet, options.seconds).await?;
    fleet.stop().await?;
    let overhead = Spread::of(
        kills
            .iter()
            .map(|time| (time - kills::BOUND_MS as f64).max(0.0))
            .collect(),
    );
    Ok(Outcome {
        skew_p99_ms: node.skew_p99_ms,
        overhead_p99_ms: overhead.p99_ms,
        cpu_percent: node.prober_cpu_percent,
        writes_at_rest: node.writes,
        kill_to_ops_state: Spread::of(kills),
        bound_ms: kills::BOUND_MS,
        node,
        central,
        servers: options.servers,
        network: None,
    })
}

/// Applies a set to namespace `default`.
async fn apply(client: &Client, set: Value) -> Result<()> {
    let name = set["metadata"]["name"]
        .as_str()
        .context("a set without a name")?
        .to_owned();
    let sets: Api<api_types::GameServerSet> = Api::default_namespaced(client.clone());
    sets.patch(&name, &PatchParams::apply("bench"), &Patch::Apply(&set))
        .await?;
    Ok(())
}

async fn delete(client: &Client, set: &str) -> Result<()> {
    let sets: Api<api_types::GameServerSet> = Api::default_namespaced(client.clone());
    sets.delete(set, &DeleteParams::background()).await?;
    Ok(())
}

fn report(outcome: &Outcome) {
    let spread = &outcome.kill_to_ops_state;
    println!(
        "kill to opsState, {} times, ms: p50 {:.0}, p90 {:.0}, p99 {:.0}, max {:.0}; bound {}; over it, p99: {:.0}",
        spread.count,
        spread.p50_ms,
        spread.p90_ms,
        spread.p99_ms,
        spread.max_ms,
        outcome.bound_ms,
        outcome.overhead_p99_ms
    );
    println!(
        "{:<8} {:>9} {:>8} {:>8} {:>9} {:>11} {:>9} {:>9} {:>7}",
        "mode", "runs/s", "skew p50", "skew p99", "missed", "prober CPU", "runtime", "RSS", "writes"
    );
    let network = outcome.network.as_ref().map(|load| ("network", load));
    for (mode, load) in [("node", &outcome.node), ("central", &outcome.central)]
        .into_iter()
        .chain(network)
    {
        println!(
            "{mode:<8} {:>9.1} {:>8.0} {:>8.0} {:>9.0} {:>10.1}% {:>8.1}% {:>6.1} MB {:>7.0}",
            load.runs_per_second,
            load.skew_p50_ms,
            load.skew_p99_ms,
            load.missed,
            load.prober_cpu_percent,
            load.runtime_cpu_percent,
            load.prober_rss_bytes as f64 / 1e6,
            load.writes
        );
    }
}

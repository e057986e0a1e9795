//! `cargo xtask test`: everything that CI checks, cheapest first, with one count of tests at the end.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::future::join_all;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::cluster::{self, Nodes};
use crate::fleet::{self, Fleet, FleetOptions};

/// cargo-deny's version; built once into the cache.
const CARGO_DENY: &str = "0.20.2";

/// Tells tests which cluster to use.
const KUBECONFIG: &str = "GAMEKEEPER_TEST_KUBECONFIG";
/// Tells tests where the controllers' logs are, to quote from when one fails.
const LOGS: &str = "GAMEKEEPER_TEST_LOGS";

/// Flags of `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Run only these steps.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Step>,
    /// Leave these steps out.
    #[arg(long, value_enum, value_delimiter = ',')]
    skip: Vec<Step>,
}

/// One step; they run in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Step {
    /// Formatting.
    Fmt,
    /// crds/, e2e/rbac/, the chart's files, docs/metrics.md and deploy/dashboards are what the code says.
    Generated,
    /// Clippy, warnings are errors.
    Lint,
    /// Banned crates, licences, sources.
    Deny,
    /// The alert rules, by Prometheus' own promtool.
    Alerts,
    /// The chart, by Helm itself.
    Chart,
    /// Unit and property tests.
    Unit,
    /// Tests against a real API server without nodes.
    Api,
    /// End-to-end on simulated nodes.
    Kwok,
    /// End-to-end on a real kubelet (root on Debian).
    Kubelet,
    /// The trials' short form, on simulated nodes.
    Trials,
}

impl Step {
    const ALL: [Self; 11] = [
        Self::Fmt,
        Self::Generated,
        Self::Lint,
        Self::Deny,
        Self::Alerts,
        Self::Chart,
        Self::Unit,
        Self::Api,
        Self::Kwok,
        Self::Kubelet,
        Self::Trials,
    ];

    const fn title(self) -> &'static str {
        match self {
            Self::Fmt => "format",
            Self::Generated => "generated files",
            Self::Lint => "clippy",
            Self::Deny => "bans, licences, sources",
            Self::Alerts => "alert rules",
            Self::Chart => "chart",
            Self::Unit => "unit and property tests",
            Self::Api => "tests on a real API server",
            Self::Kwok => "end to end on simulated nodes",
            Self::Kubelet => "end to end on a real kubelet",
            Self::Trials => "trials",
        }
    }

    /// As `--only` takes it.
    fn name(self) -> String {
        let value = clap::ValueEnum::to_possible_value(&self);
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// Runs the chosen steps; stops at the first that fails.
///
/// # Errors
/// Naming the step that failed.
pub async fn run(options: Options) -> Result<()> {
    let root = crate::cluster::paths::repo_root();
    let mut count = Count::default();
    let (mut times, mut failed) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    let chosen = |step: &Step| {
        let chosen = options.only.is_empty() || options.only.contains(step);
        chosen && !options.skip.contains(step)
    };
    let (alone, lanes) = order(Step::ALL.into_iter().filter(chosen).collect());
    for step in alone {
        println!("=== {}", step.title());
        let started = Instant::now();
        let result = run_step(step, &root, &mut count).await;
        times.push((step, started.elapsed()));
        if let Err(error) = result {
            summary(&times, begun.elapsed(), &count);
            return Err(error.context(format!("step '{}' failed", step.title())));
        }
    }
    let ran = join_all(lanes.iter().map(|steps| lane(steps))).await;
    for (steps, (time, result)) in lanes.iter().zip(ran) {
        times.push((steps[0], time));
        match result {
            Ok(counted) => count.add(&counted),
            Err(error) => failed.push(error),
        }
    }
    summary(&times, begun.elapsed(), &count);
    failed.into_iter().next().map_or(Ok(()), Err)
}

/// Which steps run one after the other, and which in lanes at the same time: those that wait more than they compute, and have a
/// cluster each. Not the real kubelet's: on a busy machine it writes conditions of a Pod that it has not seen the last change of.
fn order(mut steps: Vec<Step>) -> (Vec<Step>, Vec<Vec<Step>>) {
    let lanes = [Step::Kwok, Step::Trials];
    if !lanes.iter().all(|lane| steps.contains(lane)) {
        return (steps, Vec::new());
    }
    steps.retain(|step| !lanes.contains(step));
    (steps, lanes.map(|lane| vec![lane]).to_vec())
}

/// Runs steps in a process of their own, whose lines begin with the name of the first.
async fn lane(steps: &[Step]) -> (Duration, Result<Count>) {
    let begun = Instant::now();
    let names: Vec<String> = steps.iter().map(|step| step.name()).collect();
    let ran = async {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["test", "--only", &names.join(",")])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = child.stdout.take().context("a lane has no output")?;
        let (mut lines, mut count) = (BufReader::new(output).lines(), Count::default());
        while let Some(line) = lines.next_line().await? {
            println!("{:<7}| {line}", names[0]);
            count.read_summary(&line);
        }
        anyhow::ensure!(
            child.wait().await?.success(),
            "steps {} failed",
            names.join(" and ")
        );
        Ok(count)
    };
    let result = ran.await;
    (begun.elapsed(), result)
}

async fn run_step(step: Step, root: &Path, count: &mut Count) -> Result<()> {
    match step {
        Step::Fmt => cargo(root, &["fmt", "--all", "--check"]).await,
        Step::Generated => generated().await,
        Step::Lint => {
            cargo(
                root,
                &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
            )
            .await
        }
        Step::Deny => deny(root).await,
        Step::Alerts => crate::alerts::test_rules(root).await,
        Step::Chart => {
            count.passed += crate::chart::check_by_helm(&crate::chart::Helm::build().await?).await?;
            Ok(())
        }
        Step::Unit => count.tests(root, &["--workspace", "--lib", "--bins"], &[]).await,
        Step::Api => api(root, count).await,
        Step::Kwok => kwok(root, count).await,
        Step::Kubelet => kubelet(root, count).await,
        Step::Trials => trials(root, count).await,
    }
}

/// Files that are written from code.
async fn generated() -> Result<()> {
    crate::gen_crds::run(true)?;
    crate::rbac::run(true)?;
    crate::observability::docs::run(true)?;
    crate::observability::dashboards::run(true)?;
    crate::chart::run(true).await
}

async fn api(root: &Path, count: &mut Count) -> Result<()> {
    // One test runs an example as a process; cargo builds none for it when tests are selected.
    let selected = ["--workspace", "--exclude", "e2e"];
    cargo(root, &[&["build"], &selected[..], &["--examples"]].concat()).await?;
    let name = "test-api";
    let running = cluster::up(&cluster::Spec::new(name, Nodes::NONE)).await?;
    // The workspace is selected, and the end-to-end tests left out, so that dependencies keep their features and aren't built anew.
    let arguments = [&selected[..], &["--test", "*"]].concat();
    let result = count
        .tests(root, &arguments, &[(KUBECONFIG, &running.kubeconfig)])
        .await;
    cluster::down(name).await?;
    result
}

async fn kwok(root: &Path, count: &mut Count) -> Result<()> {
    let name = "test-kwok";
    let running = cluster::up(&cluster::Spec::new(
        name,
        Nodes {
            kwok: 5,
            kubelet: false,
        },
    ))
    .await?;
    let result = async {
        let kubeconfig = running.kubeconfig.as_path();
        take_over(root, count, kubeconfig).await?;
        end_to_end(root, count, kubeconfig, "kwok").await
    };
    let result = result.await;
    cluster::down(name).await?;
    result
}

async fn trials(root: &Path, count: &mut Count) -> Result<()> {
    // Asked for now: once a build has replaced the file, the system names the old one, which is gone.
    let program = std::env::current_exe()?;
    let name = "test-trials";
    let nodes = Nodes {
        kwok: 5,
        kubelet: false,
    };
    let running = cluster::up(&cluster::Spec::new(name, nodes)).await?;
    let result = async {
        for short in SHORT_TRIALS {
            let begun = Instant::now();
            short_trial(&program, root, &running.kubeconfig, short).await?;
            println!("{:.1} s", begun.elapsed().as_secs_f64());
            count.passed += 1;
        }
        Ok(())
    };
    let result = result.await;
    cluster::down(name).await?;
    result
}

async fn short_trial(program: &Path, root: &Path, kubeconfig: &Path, short: &str) -> Result<()> {
    println!("--- cargo xtask {short}");
    let mut command = Command::new(program);
    command
        .current_dir(root)
        .args(short.split(' '))
        .args(["--profile", "dev", "--kubeconfig"])
        .arg(kubeconfig);
    if !command.status().await?.success() {
        bail!("{short} found a violation");
    }
    Ok(())
}

/// The trials as CI runs them: the same code and checks, fewer rounds.
const SHORT_TRIALS: [&str; 12] = [
    // What mostly waits for leases comes first: tests of the same machine run beside it.
    "trial shards --servers 60 --rate 20 --replicas 2 --shards 4 --rounds 1 --lease 9 --freeze 11",
    "trial sync-faults --servers 40 --rate 20 --duration 4",
    "trial kill --rounds 2 --replicas 60",
    "trial players --rounds 3",
    "trial ports --rounds 6 --servers 6",
    "trial flow",
    "trial evict --rounds 24",
    "trial allocate --servers 120 --duration 15",
    // Pinned: the same plans each time, so that what fails is what changed. Then the harness itself.
    "faults --seed 1 --plans 36",
    "faults --seed 1 --seeded-bugs 8",
    "bench create --servers 150 --rest 10",
    "bench allocate --servers 60 --clients 5 --allocations 50",
];

/// On the real node: one round without a kill, one in which the prober of the node is killed.
const SHORT_SHUTDOWN: &str = "trial shutdown --rounds 2 --seed 5";

async fn kubelet(root: &Path, count: &mut Count) -> Result<()> {
    let program = std::env::current_exe()?;
    let name = "test-kubelet";
    if let Some(reason) = cluster::kubelet_unavailable() {
        println!("skipped: {reason}");
        return Ok(());
    }
    let running = cluster::up(&cluster::Spec::new(
        name,
        Nodes {
            kwok: 0,
            kubelet: true,
        },
    ))
    .await?;
    let result = async {
        let images = root.join("e2e/manifests");
        crate::demo::import_images(&running, &images).await?;
        end_to_end(root, count, &running.kubeconfig, "kubelet").await?;
        if let Some(reason) = crate::trial::shutdown::unavailable().await {
            println!("skipped: {SHORT_SHUTDOWN}: {reason}");
            return Ok(());
        }
        short_trial(&program, root, &running.kubeconfig, SHORT_SHUTDOWN).await?;
        count.passed += 1;
        Ok(())
    };
    let result = result.await;
    cluster::down(name).await?;
    result
}

/// Runs `e2e/tests/migrate/`, whose tests start the controllers they need, for no set is ours before it is taken over.
async fn take_over(root: &Path, count: &mut Count, kubeconfig: &Path) -> Result<()> {
    fleet::build_controllers(root, fleet::Profile::Dev).await?;
    fleet::install(&fleet::client_for(kubeconfig).await?, root).await?;
    let arguments = ["--workspace", "--test", "migrate", "--", "--test-threads=4"];
    count.tests(root, &arguments, &[(KUBECONFIG, kubeconfig)]).await
}

/// Runs `e2e/tests/NAME.rs` beside the controllers; those must also end cleanly on SIGTERM.
async fn end_to_end(root: &Path, count: &mut Count, kubeconfig: &Path, name: &str) -> Result<()> {
    // Leases as shipped: nobody is killed here, and on a machine busy with compiling a short one is lost for want of a second.
    let mut fleet = Fleet::start(root, kubeconfig, &FleetOptions::default()).await?;
    println!("controllers' logs: {}", fleet.directory.display());
    // These tests wait much more than they compute.
    let arguments = ["--workspace", "--test", name, "--", "--test-threads=4"];
    let logs = fleet.directory.clone();
    let environment = [(KUBECONFIG, kubeconfig), (LOGS, logs.as_path())];
    let result = fleet
        .keep_running(count.tests(root, &arguments, &environment))
        .await;
    let metrics = crate::observability::exposition::check(&fleet).await;
    let endings = fleet.stop().await;
    result?;
    println!("{} metrics, as their tables say", metrics?.len());
    for (controller, status) in endings? {
        anyhow::ensure!(
            status.success(),
            "{} ended with {status} on SIGTERM",
            controller.name()
        );
    }
    Ok(())
}

async fn deny(root: &Path) -> Result<()> {
    let tools = cluster::paths::cache_dir()?.join("tools");
    let binary = tools.join("bin/cargo-deny");
    if !binary.exists() {
        println!("building cargo-deny {CARGO_DENY} once, into {}", tools.display());
        let status = crate::cargo::command(root)
            .args([
                "install",
                "cargo-deny",
                "--version",
                CARGO_DENY,
                "--locked",
                "--debug",
                "--quiet",
                "--root",
            ])
            .arg(&tools)
            .env("CARGO_TARGET_DIR", tools.join("target"))
            .status()
            .await?;
        if !status.success() {
            bail!("cargo-deny can't be built");
        }
    }
    // Advisories need a database from the network; they are checked where there is one: `cargo deny check advisories`.
    let status = Command::new(&binary)
        .current_dir(root)
        .args(["--offline", "check", "bans", "licenses", "sources"])
        .status()
        .await?;
    if !status.success() {
        bail!("cargo deny found something");
    }
    Ok(())
}

async fn cargo(root: &Path, arguments: &[&str]) -> Result<()> {
    let status = crate::cargo::command(root).args(arguments).status().await?;
    if !status.success() {
        bail!("cargo {} failed", arguments.join(" "));
    }
    Ok(())
}

/// Tests as cargo's runner counts them, summed over all its runs.
#[derive(Debug, Default)]
struct Count {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Count {
    async fn tests(&mut self, root: &Path, arguments: &[&str], environment: &[(&str, &Path)]) -> Result<()> {
        let mut command = crate::cargo::command(root);
        command
            .args(["test", "--no-fail-fast"])
            .args(arguments)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped());
        let mut child = command.spawn().context("can't run cargo")?;
        let output = child.stdout.take().context("cargo has no output")?;
        let mut lines = BufReader::new(output).lines();
        while let Some(line) = lines.next_line().await? {
            self.read(&line);
            println!("{line}");
        }
        if !child.wait().await?.success() {
            bail!("cargo test {} failed", arguments.join(" "));
        }
        Ok(())
    }

    fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }

    /// Takes the numbers of a [`summary`]'s last line.
    fn read_summary(&mut self, line: &str) {
        let numbers: Option<Vec<u64>> = line
            .split(", ")
            .zip(["passed", "failed", "skipped"])
            .map(|(part, word)| part.strip_suffix(word)?.trim_end().parse().ok())
            .collect();
        if let Some(&[passed, failed, ignored]) = numbers.as_deref() {
            *self = Self {
                passed,
                failed,
                ignored,
            };
        }
    }

    /// Adds a line such as `test result: ok. 12 passed; 0 failed; 1 ignored; ...`.
    fn read(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result: ") else {
            return;
        };
        let number = |word: &str| {
            let part = counts
                .split([';', '.'])
                .map(str::trim)
                .find(|part| part.ends_with(word));
            part.and_then(|part| part.split(' ').next()?.parse::<u64>().ok())
                .unwrap_or(0)
        };
        self.passed += number("passed");
        self.failed += number("failed");
        self.ignored += number("ignored");
    }
}

fn summary(times: &[(Step, Duration)], total: Duration, count: &Count) {
    println!("\n=== times");
    for (step, time) in times {
        println!("{:<32} {:>6.1} s", step.title(), time.as_secs_f64());
    }
    println!("{:<32} {:>6.1} s", "all", total.as_secs_f64());
    println!(
        "{} passed, {} failed, {} skipped",
        count.passed, count.failed, count.ignored
    );
}

#[cfg(test)]
mod tests {
    use super::{Count, Step, order};

    #[test]
    fn a_lanes_last_line_is_its_count() {
        let mut count = Count::default();
        for line in [
            "12 passed, 1 failed",
            "3 passed, 0 failed, 2 skipped",
            "all   7.0 s",
        ] {
            count.read_summary(line);
        }
        assert_eq!((count.passed, count.failed, count.ignored), (3, 0, 2));
    }

    #[test]
    fn trials_run_beside_what_runs_end_to_end_and_alone_without_it() {
        let (alone, lanes) = order(Step::ALL.to_vec());
        assert_eq!((alone.len(), alone.last()), (9, Some(&Step::Kubelet)));
        assert_eq!(lanes, [vec![Step::Kwok], vec![Step::Trials]]);
        assert_eq!(order(vec![Step::Trials]), (vec![Step::Trials], Vec::new()));
        let ends = vec![Step::Kwok, Step::Kubelet];
        assert_eq!(order(ends.clone()), (ends, Vec::new()));
    }

    #[test]
    fn counts_are_summed_over_runs() {
        let mut count = Count::default();
        count.read(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
        );
        count.read("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 4 filtered out; finished in 1.23s");
        count.read("running 5 tests");
        assert_eq!((count.passed, count.failed, count.ignored), (15, 2, 1));
    }
}

//! What each step does.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail};
use tokio::process::Command;

use super::{Step, count::Count};
use crate::cluster::{self, Nodes};
use crate::fleet::{self, Fleet, FleetOptions};
use crate::rights;

/// cargo-deny's version; built once into the cache.
const CARGO_DENY: &str = "0.20.2";

/// Tells tests which cluster to use.
const KUBECONFIG: &str = "GAMEKEEPER_TEST_KUBECONFIG";
/// Tells tests where the controllers' logs are, to quote from when one fails.
const LOGS: &str = "GAMEKEEPER_TEST_LOGS";

/// Runs one step, and counts its tests.
///
/// # Errors
/// When it failed.
pub(super) async fn run(step: Step, root: &Path, count: &mut Count) -> Result<()> {
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
        Step::Rights => {
            count.passed += u64::from(rights::check_kept(false)?);
            Ok(())
        }
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
    let running = cluster::up(&rights::watched(name, Nodes::NONE)?).await?;
    // The workspace is selected, and the end-to-end tests left out, so that dependencies keep their features and aren't built anew.
    let arguments = [&selected[..], &["--test", "*"]].concat();
    let result = count
        .tests(root, &arguments, &[(KUBECONFIG, &running.kubeconfig)])
        .await;
    finished(name, result).await
}

/// Keeps what its controllers asked for, and takes the cluster down.
async fn finished(name: &str, result: Result<()>) -> Result<()> {
    let kept = if result.is_ok() {
        rights::keep(name)
    } else {
        Ok(())
    };
    cluster::down(name).await?;
    result.and(kept)
}

async fn kwok(root: &Path, count: &mut Count) -> Result<()> {
    let name = "test-kwok";
    let nodes = Nodes {
        kwok: 5,
        kubelet: false,
    };
    let running = cluster::up(&rights::watched(name, nodes)?).await?;
    let result = async {
        let kubeconfig = running.kubeconfig.as_path();
        take_over(root, count, kubeconfig).await?;
        end_to_end(root, count, kubeconfig, "kwok").await
    };
    finished(name, result.await).await
}

async fn trials(root: &Path, count: &mut Count) -> Result<()> {
    // Asked for now: once a build has replaced the file, the system names the old one, which is gone.
    let program = std::env::current_exe()?;
    let name = "test-trials";
    let nodes = Nodes {
        kwok: 5,
        kubelet: false,
    };
    let running = cluster::up(&rights::watched(name, nodes)?).await?;
    let result = async {
        for short in SHORT_TRIALS {
            let begun = Instant::now();
            short_trial(&program, root, &running.kubeconfig, short).await?;
            println!("{:.1} s", begun.elapsed().as_secs_f64());
            count.passed += 1;
        }
        Ok(())
    };
    finished(name, result.await).await?;
    tutorial(&program, root).await?;
    count.passed += 1;
    Ok(())
}

/// The commands of docs/tutorial.md, in a cluster of their own, as whoever reads the page makes it.
async fn tutorial(program: &Path, root: &Path) -> Result<()> {
    println!("--- cargo xtask trial tutorial");
    let begun = Instant::now();
    let mut command = Command::new(program);
    command.current_dir(root).args(["trial", "tutorial"]);
    if !command.status().await?.success() {
        bail!("docs/tutorial.md is not what happens");
    }
    println!("{:.1} s", begun.elapsed().as_secs_f64());
    Ok(())
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
    let nodes = Nodes {
        kwok: 0,
        kubelet: true,
    };
    let mut spec = rights::watched(name, nodes)?;
    // Off by default in Kubernetes, and on elsewhere: it asks for rights that nothing else does.
    spec.apiserver_args
        .push("--enable-admission-plugins=OwnerReferencesPermissionEnforcement".into());
    if let Some(reason) = cluster::kubelet_unavailable() {
        println!("skipped: {reason}");
        return Ok(());
    }
    let running = cluster::up(&spec).await?;
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
    finished(name, result.await).await
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
    let stopped = fleet.stop_cleanly().await;
    result?;
    println!("{} metrics, as their tables say", metrics?.len());
    stopped
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

//! Bugs on purpose. A harness that can't find a bug it is told about finds none.
//!
//! A bug is a place in the code that asks `controller_kit::bug::active`, in binaries built with feature `seeded-bugs`. Each is tried
//! under plans that bring it about, then under plans derived as always, until a violation shows it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use e2e::faults::{Plan, workloads};
use futures::StreamExt as _;

use super::ground::{CONTROLLERS, Ground, Tried};
use super::{Knowledge, Options, report::Report};

/// Derived plans that each bug gets after its own.
const DERIVED: usize = 6;

/// One bug: its name in the code, the workload it shows in, and faults that bring it about.
struct Bug {
    name: &'static str,
    workload: &'static str,
    faults: &'static [&'static str],
}

const fn bug(name: &'static str, workload: &'static str, faults: &'static [&'static str]) -> Bug {
    Bug {
        name,
        workload,
        faults,
    }
}

/// A claim waits while an allocator is faster.
const SLOW_CLAIMS: &str = "gss-controller:patch:gameservers/status::1=delay-500 \
    gss-controller:patch:gameservers/status::2=delay-500 gss-controller:patch:gameservers/status::3=delay-500 \
    gss-controller:patch:gameservers/status::4=delay-500";

/// pod-sync hears of the allocations late.
const LATE_LABELS: &[&str] = &[
    "pod-sync:watch:gameservers:game-5:3=freeze-3000",
    "pod-sync:watch:gameservers:game-5:4=freeze-3000",
];

/// The end of a Pod falls into a hole of the watch.
const LOST_DELETION: &[&str] = &["gss-controller:watch:pods:game-1:3=gone-in-stream-400 \
    gss-controller:watch:pods:game-1:4=gone-at-start-400 gss-controller:watch:pods:game-1:5=gone-in-stream-400 \
    gss-controller:watch:pods:game-1:6=gone-in-stream-400 gss-controller:watch:pods:game-1:7=gone-in-stream-400"];

/// pod-sync starts again and reads from a server that lags behind: its Pods are newer than its GameServers.
const TIME_TRAVEL: &[&str] = &[
    "pod-sync:patch:pods:game-5:3=crash-answered pod-sync:list:gameservers::2=lag-1500",
    "pod-sync:patch:pods:game-5:2=crash-answered pod-sync:list:gameservers::2=lag-1500",
    "pod-sync:patch:pods:game-5:4=crash-answered pod-sync:list:gameservers::2=lag-1500",
];

const HAMMERED: &[&str] = &[
    "gss-controller:create:pods:game-4:1=answer-503 gss-controller:create:pods:game-4:2=answer-503 \
    gss-controller:create:pods:game-4:3=answer-503 gss-controller:create:pods:game-4:4=answer-503 \
    gss-controller:create:pods:game-4:5=answer-503",
];

/// All bugs, the quickly caught first: CI tries as many as it has time for.
const BUGS: &[Bug] = &[
    bug("delete-without-uid", "kill", &[]),
    bug("claim-skipped", "kill", &[]),
    bug("plan-not-stored", "scale-up", &[]),
    bug("hook-ignored", "pre-delete-hook", &[]),
    bug("update-budget-ignored", "update-recreate", &[]),
    bug("in-place-too-early", "update-in-place", &[]),
    bug("partition-off-by-one", "partition", &[]),
    bug("wanted-claim-handed-over", "volumes", &[]),
    bug("foreign-field", "scale-up", &[]),
    bug("reserved-id-used", "reserve-ids", &[]),
    bug("conflict-is-success", "scale-down", &[SLOW_CLAIMS]),
    bug("claim-after-delete", "kill", &[]),
    bug("claim-without-version", "kill", &[]),
    bug("patch-without-version", "scale-up", &[]),
    bug("blind-retry", "scale-up", HAMMERED),
    bug("changed-victim-claimed", "scale-down", &[SLOW_CLAIMS]),
    bug("protection-ignored", "scale-down", &[]),
    bug("ops-state-from-label", "scale-down", LATE_LABELS),
    bug("generation-goes-back", "scale-down", TIME_TRAVEL),
    bug("no-deletes-after-relist", "set-deletion", LOST_DELETION),
    bug("reserves-not-written", "reserve-ids", &[]),
    bug("status-as-truth", "kill", &[]),
    bug("writes-at-rest", "scale-up", &[]),
    bug("paused-ignored", "paused", &[]),
    bug("held-back-made-new", "partition", &[]),
    bug("players-disturbed", "update-in-place", &[]),
    bug("start-without-version", "update-in-place", &[]),
    bug("in-place-not-tried", "update-in-place", &[]),
    bug("unready-counts", "update-in-place", &[]),
    bug("claim-not-handed-over", "volumes", &[]),
    bug("retention-ignored", "volumes", &[]),
    bug("claim-of-another", "volumes", &[]),
];

/// Builds controllers that can have bugs, beside the usual ones.
///
/// # Errors
/// When cargo fails.
pub(super) async fn build(root: &Path, usual: &Path) -> Result<PathBuf> {
    let mut command = crate::cargo::command(root);
    command.args(["build", "--workspace", "--message-format", "short"]);
    // Not this program itself: it is running.
    for controller in CONTROLLERS {
        command.args(["--bin", controller.name()]);
    }
    command.args(["--features", "controller-kit/seeded-bugs"]);
    if !command.status().await.context("can't run cargo")?.success() {
        bail!("cargo build with seeded bugs failed");
    }
    // Cargo has one place for a binary; the next usual build takes it back.
    let place = usual.join("seeded-bugs");
    std::fs::create_dir_all(&place)?;
    for controller in CONTROLLERS {
        let to = place.join(controller.name());
        let _ = std::fs::remove_file(&to);
        std::fs::copy(usual.join(controller.name()), to)?;
    }
    Ok(place)
}

/// The workloads that `count` bugs need.
pub(super) fn workloads(count: usize) -> Vec<String> {
    let mut names: Vec<String> = BUGS
        .iter()
        .take(count)
        .map(|bug| bug.workload.to_owned())
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Tries the first `count` bugs and notes which were caught.
///
/// # Errors
/// When a bug could not be tried.
pub(super) async fn try_bugs(
    ground: &Ground,
    learned: &Knowledge,
    options: &Options,
    count: usize,
    report: &mut Report,
) -> Result<()> {
    let tries = BUGS.iter().take(count).map(|bug| async move {
        let caught = hunt(ground, learned, options, bug).await;
        (bug, caught)
    });
    let mut tries = futures::stream::iter(tries).buffer_unordered(options.lanes);
    while let Some((bug, caught)) = tries.next().await {
        let tried = caught?;
        report.bugs.insert(bug.name.to_owned(), tried.is_some());
        let Some(tried) = tried else {
            println!("MISSED {}", bug.name);
            continue;
        };
        let violation = tried
            .violations
            .first()
            .map_or_else(String::new, ToString::to_string);
        println!(
            "caught {:<26} in {}: {violation}",
            bug.name, tried.plan.workload.name
        );
        tried.forget();
    }
    Ok(())
}

/// The first plan that shows the bug.
async fn hunt(ground: &Ground, learned: &Knowledge, options: &Options, bug: &Bug) -> Result<Option<Tried>> {
    let workload = workloads::find(bug.workload).context("a bug without a workload")?;
    let (learned, clean) = learned
        .get(bug.workload)
        .context("a workload that was not learned")?;
    let own: Vec<String> = match bug.faults {
        [] => vec![String::new()],
        faults => faults.iter().map(|faults| (*faults).to_owned()).collect(),
    };
    let own = own.into_iter().map(|faults| {
        let line = format!("{} seed={} writers=1 {faults}", bug.workload, options.seed);
        line.parse::<Plan>()
    });
    let derived = learned.plans(workload, options.seed, false).take(DERIVED);
    for plan in own.chain(derived.map(Ok)) {
        let tried = ground.try_plan(&plan?, Some(clean), Some(bug.name)).await?;
        if !tried.violations.is_empty() {
            return Ok(Some(tried));
        }
        tried.forget();
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_has_a_workload_and_faults_that_can_be_read() {
        for bug in BUGS {
            assert!(workloads::find(bug.workload).is_some(), "{}", bug.name);
            for faults in bug.faults {
                let line = format!("{} seed=1 writers=1 {faults}", bug.workload);
                line.parse::<Plan>().unwrap();
            }
        }
    }
}

//! `cargo xtask test`: everything that CI checks, cheapest first, with one count of tests at the end.

mod count;
mod steps;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::future::join_all;
use tokio::process::Command;

use self::count::Count;

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
    /// The controllers did what they may do, all of it and nothing else: by the audit logs of the steps above.
    Rights,
}

impl Step {
    const ALL: [Self; 12] = [
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
        Self::Rights,
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
            Self::Rights => "rights, granted and used",
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
    let begun = Instant::now();
    let chosen = |step: &Step| {
        let chosen = options.only.is_empty() || options.only.contains(step);
        chosen && !options.skip.contains(step)
    };
    let Lanes {
        before,
        beside,
        after,
    } = order(Step::ALL.into_iter().filter(chosen).collect());
    let mut times = Vec::new();
    let result = async {
        one_by_one(before, &root, &mut count, &mut times).await?;
        side_by_side(&beside, &mut count, &mut times).await?;
        one_by_one(after, &root, &mut count, &mut times).await
    };
    let result = result.await;
    summary(&times, begun.elapsed(), &count);
    result
}

async fn one_by_one(
    steps: Vec<Step>,
    root: &Path,
    count: &mut Count,
    times: &mut Vec<(Step, Duration)>,
) -> Result<()> {
    for step in steps {
        println!("=== {}", step.title());
        let started = Instant::now();
        let result = steps::run(step, root, count).await;
        times.push((step, started.elapsed()));
        result.with_context(|| format!("step '{}' failed", step.title()))?;
    }
    Ok(())
}

async fn side_by_side(
    lanes: &[Vec<Step>],
    count: &mut Count,
    times: &mut Vec<(Step, Duration)>,
) -> Result<()> {
    let mut failed = Vec::new();
    let ran = join_all(lanes.iter().map(|steps| lane(steps))).await;
    for (steps, (time, result)) in lanes.iter().zip(ran) {
        times.push((steps[0], time));
        match result {
            Ok(counted) => count.add(&counted),
            Err(error) => failed.push(error),
        }
    }
    failed.into_iter().next().map_or(Ok(()), Err)
}

/// Steps by when they run.
struct Lanes {
    /// One after the other.
    before: Vec<Step>,
    /// Then these, at the same time.
    beside: Vec<Vec<Step>>,
    /// Then these.
    after: Vec<Step>,
}

/// Which steps run one after the other, and which in lanes at the same time: those that wait more than they compute, and have a
/// cluster each. Not the real kubelet's: on a busy machine it writes conditions of a Pod that it has not seen the last change of.
/// Rights come last: all the others' logs are read.
fn order(mut steps: Vec<Step>) -> Lanes {
    let lanes = [Step::Kwok, Step::Trials];
    let beside = if lanes.iter().all(|lane| steps.contains(lane)) {
        lanes.map(|lane| vec![lane]).to_vec()
    } else {
        Vec::new()
    };
    let after = if beside.is_empty() {
        Vec::new()
    } else {
        steps
            .iter()
            .copied()
            .filter(|step| *step == Step::Rights)
            .collect()
    };
    if !beside.is_empty() {
        steps.retain(|step| !lanes.contains(step) && *step != Step::Rights);
    }
    Lanes {
        before: steps,
        beside,
        after,
    }
}

/// Runs steps in a process of their own, whose lines begin with the name of the first.
async fn lane(steps: &[Step]) -> (Duration, Result<Count>) {
    let begun = Instant::now();
    let names: Vec<String> = steps.iter().map(|step| step.name()).collect();
    let ran = async {
        let mut count = Count::default();
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["test", "--only", &names.join(",")]);
        let status = crate::lines::of(&mut command, |line| {
            println!("{:<7}| {line}", names[0]);
            count.read_summary(line);
        });
        anyhow::ensure!(status.await?.success(), "steps {} failed", names.join(" and "));
        Ok(count)
    };
    let result = ran.await;
    (begun.elapsed(), result)
}

fn summary(times: &[(Step, Duration)], total: Duration, count: &Count) {
    println!("\n=== times");
    for (step, time) in times {
        println!("{:<32} {:>6.1} s", step.title(), time.as_secs_f64());
    }
    println!("{:<32} {:>6.1} s", "all", total.as_secs_f64());
    println!("{count}");
}

#[cfg(test)]
mod tests {
    use super::{Lanes, Step, order};

    #[test]
    fn trials_run_beside_what_runs_end_to_end_and_alone_without_it() {
        let Lanes {
            before,
            beside,
            after,
        } = order(Step::ALL.to_vec());
        assert_eq!((before.len(), before.last()), (9, Some(&Step::Kubelet)));
        assert_eq!(beside, [vec![Step::Kwok], vec![Step::Trials]]);
        assert_eq!(after, [Step::Rights]);
        for some in [vec![Step::Trials, Step::Rights], vec![Step::Kwok, Step::Kubelet]] {
            let ordered = order(some.clone());
            assert_eq!((ordered.before, ordered.beside.len()), (some, 0));
        }
    }
}

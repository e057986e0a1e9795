//! `cargo xtask faults`: plans of one or two faults, each on a real API server in a namespace of its own.
//!
//! The parts are in `e2e/src/faults/`; here are the cluster, the processes and the account of the results. `docs/faults.md` says
//! what is injected, what is checked, and how to read a violation.

mod ground;
mod process;
mod report;
mod seeded;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use e2e::faults::plan::Learned;
use e2e::faults::workloads::{self, Workload};
use e2e::faults::{Outcome, Plan, Traffic};
use futures::StreamExt as _;

use crate::cluster::{self, Nodes};
use crate::fleet::{Profile, build_controllers};
use ground::{Clean, Ground, Tried};
use report::Report;

/// Name of the cluster that is started for it.
const CLUSTER: &str = "faults";

/// Flags of `cargo xtask faults`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Seed of every random choice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Plans to try, over all workloads.
    #[arg(long, default_value_t = 120)]
    plans: usize,
    /// Only these workloads.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    workload: Vec<String>,
    /// Two active gss-controllers in every plan, not in every fourth.
    #[arg(long)]
    two_writers: bool,
    /// Try this one plan, as a failure printed it.
    #[arg(long, value_name = "LINE")]
    replay: Option<String>,
    /// How often `--replay` tries it.
    #[arg(long, default_value_t = 1)]
    times: usize,
    /// Try the bugs seeded on purpose instead, all or the first N: the harness must catch each
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1000")]
    seeded_bugs: Option<usize>,
    /// Plans under way at the same time.
    #[arg(long, default_value_t = 6)]
    lanes: usize,
    /// Write the result as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Use this cluster instead of starting one; it needs simulated nodes.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Build of the controllers.
    #[arg(long, value_enum, default_value = "dev")]
    profile: Profile,
    /// Leave the cluster running afterwards.
    #[arg(long)]
    keep: bool,
}

/// Runs it.
///
/// # Errors
/// When it can't run, or found a violation.
pub async fn run(options: Options) -> Result<()> {
    let root = cluster::paths::repo_root();
    let mut binaries = build_controllers(&root, options.profile).await?;
    if options.seeded_bugs.is_some() {
        binaries = seeded::build(&root, &binaries).await?;
    }
    let (kubeconfig, cluster_dir) = if let Some(path) = &options.kubeconfig {
        (path.clone(), None)
    } else {
        let nodes = Nodes {
            kwok: 5,
            kubelet: false,
        };
        let running = cluster::up(&cluster::Spec::new(CLUSTER, nodes)).await?;
        (running.kubeconfig, Some(running.dir))
    };
    let own = cluster_dir.is_some();
    let result = async {
        let ground = Ground::prepare(&root, &kubeconfig, binaries, cluster_dir).await?;
        let report = try_all(&ground, &options).await;
        if !own && !options.keep {
            ground.clean_up().await?;
        }
        report
    };
    let result = result.await;
    if own && !options.keep {
        cluster::down(CLUSTER).await?;
    }
    let report = result?;
    report.print();
    crate::trial::write_json(options.json.as_deref(), &report.summary())?;
    if !report.is_good() {
        bail!("{}", report.trouble());
    }
    Ok(())
}

async fn try_all(ground: &Ground, options: &Options) -> Result<Report> {
    let begun = Instant::now();
    let mut report = Report::default();
    let replayed = options.replay.as_deref().map(str::parse::<Plan>).transpose()?;
    let chosen = match &replayed {
        Some(plan) => vec![plan.workload],
        None => choose(&match options.seeded_bugs {
            Some(count) => seeded::workloads(count),
            None => options.workload.clone(),
        })?,
    };
    let learned = learn(ground, &chosen, options.lanes).await?;
    if let Some(count) = options.seeded_bugs {
        seeded::try_bugs(ground, &learned, options, count, &mut report).await?;
        report.seconds = begun.elapsed().as_secs_f64();
        return Ok(report);
    }
    let plans: Vec<Plan> = match replayed {
        Some(plan) => vec![plan; options.times],
        None => derive(&learned, options),
    };
    println!("{} plans, {} at a time", plans.len(), options.lanes);
    let mut running = futures::stream::iter(plans)
        .map(|plan| {
            let clean = learned.get(plan.workload.name).map(|(_, clean)| clean);
            async move { (ground.try_plan(&plan, clean, None).await, plan) }
        })
        .buffer_unordered(options.lanes);
    while let Some((result, plan)) = running.next().await {
        match result {
            Ok(tried) => report.add(&tried)?,
            Err(error) => report.not_tried(&plan, &error),
        }
        report.progress(begun.elapsed());
    }
    report.seconds = begun.elapsed().as_secs_f64();
    Ok(report)
}

fn choose(names: &[String]) -> Result<Vec<Workload>> {
    if names.is_empty() {
        return Ok(workloads::ALL.to_vec());
    }
    let known: Vec<&str> = workloads::ALL.iter().map(|workload| workload.name).collect();
    names
        .iter()
        .map(|name| {
            workloads::find(name)
                .with_context(|| format!("no workload {name}; there are {}", known.join(", ")))
        })
        .collect()
}

/// By workload: the requests of a clean run, and where they led.
type Knowledge = BTreeMap<&'static str, (Learned, Clean)>;

/// Runs each workload undisturbed. That must go well, or nothing can be learned from it.
async fn learn(ground: &Ground, chosen: &[Workload], lanes: usize) -> Result<Knowledge> {
    let runs = chosen.iter().map(|workload| async move {
        let plan = Plan {
            workload: *workload,
            seed: 0,
            writers: 1,
            faults: Vec::new(),
        };
        ground.try_plan(&plan, None, None).await
    });
    let mut runs = futures::stream::iter(runs).buffer_unordered(lanes);
    let mut knowledge = Knowledge::new();
    while let Some(tried) = runs.next().await {
        let tried: Tried = tried?;
        let name = tried.plan.workload.name;
        if let Some(violation) = tried.violations.first() {
            bail!(
                "{name} without any fault: {violation}; see {}",
                tried.keep()?.display()
            );
        }
        let entries = tried.ledger.entries().clone();
        let learned = Learned::from(&entries);
        println!(
            "{name:<16} {:>4} writes, clean in {:.1} s",
            learned.writes(),
            tried.seconds
        );
        let clean = Clean {
            outcome: Outcome::of(&tried.history, tried.plan.workload.racy, &entries),
            traffic: Traffic::of(&entries),
            took: Duration::from_secs_f64(tried.seconds),
        };
        knowledge.insert(name, (learned, clean));
        tried.forget();
    }
    Ok(knowledge)
}

/// The plans, workloads by turns.
fn derive(learned: &Knowledge, options: &Options) -> Vec<Plan> {
    let mut sources: Vec<_> = learned
        .iter()
        .filter_map(|(name, (learned, _))| {
            let workload = workloads::find(name)?;
            Some(learned.plans(workload, options.seed, options.two_writers))
        })
        .collect();
    let mut plans = Vec::with_capacity(options.plans);
    while plans.len() < options.plans && !sources.is_empty() {
        plans.extend(sources.iter_mut().filter_map(Iterator::next));
    }
    plans.truncate(options.plans);
    plans
}

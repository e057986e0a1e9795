//! `trial sync-faults`: the way of pod-sync to the API server fails in every way that lasts, while opsState changes go on.
//!
//! What counts is how long after the end of a fault every Pod shows what its GameServer says, and that no Pod ever goes back.

mod storm;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use e2e::faults::{Door, Trouble};
use kube::Client;
use serde::Serialize;

use super::changes::{Changes, Phase};
use super::{Arena, ArenaSpec, Session, SessionOptions, write_json};
use crate::cluster;
use crate::fleet::FleetOptions;

/// Flags of `trial sync-faults`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    #[command(flatten)]
    session: SessionOptions,
    /// Game servers.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(10..=2_000))]
    servers: u32,
    /// Changes of opsState a second.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    rate: u32,
    /// Seconds that a fault lasts.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(2..=120))]
    duration: u64,
    /// Only the faults whose names contain this.
    #[arg(long, default_value = "")]
    only: String,
}

#[derive(Debug, Default, Serialize)]
struct Outcome {
    servers: u32,
    rate: u32,
    /// The slowest change without a fault: what the machine itself makes of it.
    steady_ms_max: f64,
    /// From the end of a fault until every Pod was right, the longest of all but the next.
    healed_ms_max: f64,
    /// The same after the API server was stopped and started.
    api_server_healed_ms: Option<f64>,
    lost: usize,
    went_back: usize,
    faults: Vec<Healed>,
    violations: Vec<String>,
}

/// One fault.
#[derive(Debug, Serialize)]
struct Healed {
    healed_ms: f64,
    #[serde(flatten)]
    phase: Phase,
}

/// Every label is right this soon after a fault.
const HEALED: Duration = Duration::from_secs(2);
/// Its watch cache, and everybody else's lists, come first.
const API_SERVER_HEALED: Duration = Duration::from_secs(5);
const SETTLE: Duration = Duration::from_secs(600);
/// How long a late change is waited for before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(30);
const STEADY: Duration = Duration::from_secs(5);

/// Runs the trial.
///
/// # Errors
/// When it can't run or found a violation.
pub(super) async fn run(options: Options) -> Result<()> {
    let fleet = FleetOptions {
        profile: options.session.profile,
        ..Default::default()
    };
    let mut session = Session::start("trial-sync-faults", &options.session, &fleet).await?;
    let outcome = Box::pin(all_faults(&mut session, &options)).await;
    let stopped = session.resume_and_stop().await;
    let outcome = outcome?;
    write_json(options.session.json.as_deref(), &outcome)?;
    report(&outcome);
    stopped?;
    if !outcome.violations.is_empty() {
        bail!("{} violations", outcome.violations.len());
    }
    Ok(())
}

async fn all_faults(session: &mut Session, options: &Options) -> Result<Outcome> {
    let client = session.client.clone();
    let door = session.door_of_pod_sync().await?;
    eprintln!("waiting for {} game servers", options.servers);
    let arena = Arena::create(&client, ArenaSpec::plain(options.servers)).await?;
    let settled = arena.wait_settled(options.servers as usize, SETTLE);
    session.fleet.keep_running(settled).await?;
    let rate = f64::from(options.rate);
    let mut trial = Trial {
        changes: Changes::prepare(&client, &arena.namespace, options.servers as usize, rate).await?,
        door,
        client,
        namespace: arena.namespace.clone(),
        time: Duration::from_secs(options.duration),
        only: options.only.clone(),
        outcome: Outcome {
            servers: options.servers,
            rate: options.rate,
            ..Default::default()
        },
    };
    let kubeconfig = session.kubeconfig.clone();
    // An API server that is away takes the leases with it: whoever ends for that is started again, as in a cluster.
    session
        .fleet
        .keep_running(Box::pin(trial.every_fault(&kubeconfig)))
        .await?;
    let mut outcome = trial.outcome;
    outcome.violations.extend(arena.violations());
    arena.delete().await?;
    Ok(outcome)
}

struct Trial {
    client: Client,
    namespace: String,
    changes: Changes,
    door: Door,
    /// How long a fault lasts.
    time: Duration,
    /// What the names of the faults contain that are tried.
    only: String,
    outcome: Outcome,
}

impl Trial {
    async fn every_fault(&mut self, kubeconfig: &Path) -> Result<()> {
        let steady = async {
            tokio::time::sleep(STEADY).await;
            Ok(())
        };
        let ((), phase) = self.changes.during("no fault", PATIENCE, steady).await?;
        self.outcome.steady_ms_max = phase.spread.max_ms;
        self.book(phase, Duration::ZERO, HEALED);
        for (name, trouble) in [
            (
                "watches cut every second",
                Trouble::CutWatches(Duration::from_secs(1)),
            ),
            ("410 to every watch", Trouble::Gone),
            ("429 to everything", Trouble::TooMany(1)),
            ("no connection", Trouble::Closed),
            ("no answer", Trouble::Silent),
            ("patches land, answers are lost", Trouble::Unanswered),
        ] {
            self.trouble(name, trouble).await?;
        }
        self.conflicts().await?;
        self.api_server(kubeconfig).await
    }

    async fn trouble(&mut self, name: &str, trouble: Trouble) -> Result<()> {
        if !name.contains(&self.only) {
            return Ok(());
        }
        let (door, time) = (&self.door, self.time);
        let weather = async {
            door.set(trouble);
            tokio::time::sleep(time).await;
            door.set(Trouble::None);
            Ok(Instant::now())
        };
        let (healed, phase) = self.changes.during(name, PATIENCE, weather).await?;
        self.settle(phase, healed, HEALED).await
    }

    /// Somebody else writes every Pod all the time, so that most patches meet a newer Pod.
    async fn conflicts(&mut self) -> Result<()> {
        let name = "conflicts on every Pod";
        if !name.contains(&self.only) {
            return Ok(());
        }
        let storm = storm::conflicts(&self.client, &self.namespace, self.time);
        let (healed, phase) = self.changes.during(name, PATIENCE, storm).await?;
        self.settle(phase, healed, HEALED).await
    }

    /// The API server itself is stopped and started, as `cluster up` does it.
    async fn api_server(&mut self, kubeconfig: &Path) -> Result<()> {
        let name = "API server stopped and started";
        if !name.contains(&self.only) {
            return Ok(());
        }
        let Some(cluster) = cluster::local_name(kubeconfig) else {
            eprintln!("skipped: the API server of this cluster isn't one to stop");
            return Ok(());
        };
        let restart = storm::restart_api_server(&self.client, &cluster);
        let (healed, phase) = self.changes.during(name, PATIENCE, restart).await?;
        self.settle(phase, healed, API_SERVER_HEALED).await
    }

    /// Waits until every Pod is right, and books the fault that ended at `healed`.
    async fn settle(&mut self, phase: Phase, healed: Instant, limit: Duration) -> Result<()> {
        let took = match self.changes.settled(PATIENCE).await {
            Ok(_) => healed.elapsed(),
            Err(error) => {
                self.outcome.violations.push(format!("{}: {error:#}", phase.name));
                healed.elapsed()
            }
        };
        eprintln!(
            "  all Pods right {:.0} ms after its end",
            took.as_secs_f64() * 1e3
        );
        self.book(phase, took, limit);
        Ok(())
    }

    fn book(&mut self, phase: Phase, healed: Duration, limit: Duration) {
        let (outcome, name) = (&mut self.outcome, &phase.name);
        let healed_ms = healed.as_secs_f64() * 1e3;
        outcome.lost += phase.lost;
        outcome.went_back += phase.went_back;
        if phase.lost + phase.went_back > 0 {
            outcome.violations.push(format!(
                "{name}: {} changes lost, {} labels went back",
                phase.lost, phase.went_back
            ));
        }
        if healed_ms > limit.as_secs_f64() * 1e3 + outcome.steady_ms_max {
            outcome.violations.push(format!(
                "{name}: all Pods were right {healed_ms:.0} ms after its end, not within {limit:?} and the {:.0} ms of the slowest change without a fault",
                outcome.steady_ms_max
            ));
        }
        if limit == API_SERVER_HEALED {
            outcome.api_server_healed_ms = Some(healed_ms);
        } else {
            outcome.healed_ms_max = outcome.healed_ms_max.max(healed_ms);
        }
        outcome.faults.push(Healed { healed_ms, phase });
    }
}

fn report(outcome: &Outcome) {
    println!("{} servers, {} changes a second", outcome.servers, outcome.rate);
    println!("{} {:>11}", Phase::heading(), "healed, ms");
    for fault in &outcome.faults {
        println!("{} {:>11.0}", fault.phase.line(), fault.healed_ms);
    }
    println!(
        "changes lost {}, labels that went back {}",
        outcome.lost, outcome.went_back
    );
    for violation in &outcome.violations {
        println!("  {violation}");
    }
    println!("violations: {}", outcome.violations.len());
}

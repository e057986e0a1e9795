//! `trial shards`: the replicas of pod-sync stop, die, freeze and restart while opsState changes go on.
//!
//! A witness that is no part of pod-sync times every change from its sending to the Pod's label, so a limit on a hand-over is a limit
//! on how late any game server learns of its allocation because of it.

mod crew;

use std::time::Duration;

use anyhow::{Result, bail};
use serde::Serialize;

use self::crew::Crew;
use super::changes::{Changes, Phase};
use super::{Arena, ArenaSpec, Session, SessionOptions, write_json};
use crate::fleet::FleetOptions;

/// Flags of `trial shards`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    #[command(flatten)]
    session: SessionOptions,
    /// Game servers.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(10..=5_000))]
    servers: u32,
    /// Changes of opsState a second.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    rate: u32,
    /// Replicas of pod-sync.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..=8))]
    replicas: u32,
    /// `--shards` of each.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..=64))]
    shards: u32,
    /// Hand-overs, and take-overs.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds for which a replica is frozen; longer than its lease lasts.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(2..=120))]
    freeze: u64,
    /// Seconds that a lease of pod-sync lasts; its other times are in proportion.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(3..=60))]
    lease: u64,
}

#[derive(Debug, Default, Serialize)]
struct Outcome {
    servers: u32,
    rate: u32,
    replicas: u32,
    shards: u32,
    /// Shards of each replica at the start.
    share: Vec<u32>,
    /// The slowest change with all replicas at work: what the machine itself makes of it.
    steady_ms_max: f64,
    steady_p99_ms: f64,
    /// From SIGTERM until others own all shards of the replica, milliseconds.
    released_ms_max: f64,
    /// The slowest change while shards go from or to a replica that stops or starts.
    handover_ms_max: f64,
    /// The slowest change after a SIGKILL.
    takeover_ms_max: f64,
    /// The slowest change while a replica was frozen.
    frozen_ms_max: f64,
    /// The slowest change after it went on.
    resumed_ms_max: f64,
    restart_p99_ms: f64,
    restart_ms_max: f64,
    lost: usize,
    went_back: usize,
    phases: Vec<Phase>,
    violations: Vec<String>,
}

/// A hand-over may delay a change by this much.
const HAND_OVER: Duration = Duration::from_secs(2);
const SETTLE: Duration = Duration::from_secs(600);
/// A phase goes on for this long after what it is about.
const AFTER: Duration = Duration::from_secs(1);

/// Runs the trial.
///
/// # Errors
/// When it can't run or found a violation.
pub(super) async fn run(options: Options) -> Result<()> {
    let lease = Duration::from_secs(options.lease);
    let fleet = FleetOptions {
        profile: options.session.profile,
        pod_sync_replicas: options.replicas as usize,
        pod_sync_args: vec![
            format!("--shards={}", options.shards),
            format!("--lease-duration={}ms", lease.as_millis()),
            format!("--renew-deadline={}ms", (lease * 2 / 3).as_millis()),
            format!("--retry-period={}ms", look(lease).as_millis()),
        ],
        ..Default::default()
    };
    let mut session = Session::start("trial-shards", &options.session, &fleet).await?;
    let outcome = Box::pin(all_phases(&mut session, &options)).await;
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

async fn all_phases(session: &mut Session, options: &Options) -> Result<Outcome> {
    eprintln!("waiting for {} game servers", options.servers);
    let arena = Arena::create(&session.client, ArenaSpec::plain(options.servers)).await?;
    let settled = arena.wait_settled(options.servers as usize, SETTLE);
    session.fleet.keep_running(settled).await?;
    let namespace = arena.namespace.clone();
    let rate = f64::from(options.rate);
    let changes = Changes::prepare(&session.client, &namespace, options.servers as usize, rate).await?;
    let mut trial = Trial {
        crew: Crew {
            fleet: &mut session.fleet,
            shards: options.shards,
        },
        changes,
        lease: Duration::from_secs(options.lease),
        outcome: Outcome {
            servers: options.servers,
            rate: options.rate,
            replicas: options.replicas,
            shards: options.shards,
            ..Default::default()
        },
    };
    trial.steady().await?;
    for round in 0..options.rounds {
        trial.hand_over((round % options.replicas) as usize).await?;
    }
    for round in 0..options.rounds {
        trial.take_over((round % options.replicas) as usize).await?;
    }
    trial.freeze(Duration::from_secs(options.freeze)).await?;
    trial.restart_all().await?;
    let outcome = trial.finish().await;
    // Its own observer saw the Pods too.
    let mut outcome = outcome?;
    outcome.violations.extend(arena.violations());
    arena.delete().await?;
    Ok(outcome)
}

struct Trial<'a> {
    crew: Crew<'a>,
    changes: Changes,
    lease: Duration,
    outcome: Outcome,
}

impl Trial<'_> {
    /// All replicas at work: an even share, and what a change takes here.
    async fn steady(&mut self) -> Result<()> {
        self.crew.even_share().await?;
        self.outcome.share = self.crew.owned().await?;
        let steady = async {
            tokio::time::sleep(AFTER * 5).await;
            Ok(())
        };
        let ((), phase) = self
            .changes
            .during("all at work", self.patience(), steady)
            .await?;
        self.outcome.steady_ms_max = phase.spread.max_ms;
        self.outcome.steady_p99_ms = phase.spread.p99_ms;
        self.book(phase, None);
        Ok(())
    }

    /// One replica stops as an update stops it, and comes back.
    async fn hand_over(&mut self, replica: usize) -> Result<()> {
        let patience = self.patience();
        let (crew, name) = (&mut self.crew, format!("replica {replica} stops"));
        let stop = async {
            let released = crew.stop(replica).await?;
            tokio::time::sleep(AFTER).await;
            Ok(released)
        };
        let (released, phase) = self.changes.during(&name, patience, stop).await?;
        let released = released.as_secs_f64() * 1e3;
        self.outcome.released_ms_max = self.outcome.released_ms_max.max(released);
        self.outcome.handover_ms_max = self.outcome.handover_ms_max.max(phase.spread.max_ms);
        self.book(phase, Some(HAND_OVER));
        self.rejoin(replica).await
    }

    async fn rejoin(&mut self, replica: usize) -> Result<()> {
        let patience = self.patience();
        let (crew, name) = (&mut self.crew, format!("replica {replica} comes back"));
        let join = async {
            crew.start(replica).await?;
            crew.even_share().await?;
            tokio::time::sleep(AFTER).await;
            Ok(())
        };
        let ((), phase) = self.changes.during(&name, patience, join).await?;
        self.outcome.handover_ms_max = self.outcome.handover_ms_max.max(phase.spread.max_ms);
        self.book(phase, Some(HAND_OVER));
        Ok(())
    }

    /// One replica dies without a word.
    async fn take_over(&mut self, replica: usize) -> Result<()> {
        let (patience, limit) = (self.patience(), self.lease + look(self.lease));
        let (crew, name) = (&mut self.crew, format!("replica {replica} is killed"));
        let kill = async {
            crew.kill(replica).await?;
            tokio::time::sleep(AFTER).await;
            Ok(())
        };
        let ((), phase) = self.changes.during(&name, patience, kill).await?;
        self.outcome.takeover_ms_max = self.outcome.takeover_ms_max.max(phase.spread.max_ms);
        self.book(phase, Some(limit));
        self.rejoin(replica).await
    }

    /// One replica is frozen for longer than its lease lasts, and then goes on with all it remembers.
    async fn freeze(&mut self, time: Duration) -> Result<()> {
        let (patience, limit) = (self.patience(), self.lease + look(self.lease));
        let crew = &mut self.crew;
        let frozen = async {
            crew.signal(0, "STOP").await?;
            tokio::time::sleep(time).await;
            Ok(())
        };
        let ((), phase) = self
            .changes
            .during("replica 0 is frozen", patience, frozen)
            .await?;
        self.outcome.frozen_ms_max = phase.spread.max_ms;
        self.book(phase, Some(limit));
        let crew = &mut self.crew;
        let resumed = async {
            crew.signal(0, "CONT").await?;
            crew.even_share().await?;
            tokio::time::sleep(AFTER * 2).await;
            Ok(())
        };
        let ((), phase) = self
            .changes
            .during("replica 0 goes on", patience, resumed)
            .await?;
        self.outcome.resumed_ms_max = phase.spread.max_ms;
        self.book(phase, Some(HAND_OVER));
        Ok(())
    }

    /// All replicas one after the other, without waiting for an even share in between.
    async fn restart_all(&mut self) -> Result<()> {
        let (patience, replicas) = (self.patience(), self.outcome.replicas as usize);
        let crew = &mut self.crew;
        let restart = async {
            for replica in 0..replicas {
                crew.stop(replica).await?;
                crew.start(replica).await?;
            }
            tokio::time::sleep(AFTER).await;
            Ok(())
        };
        let ((), phase) = self
            .changes
            .during("rolling restart of all", patience, restart)
            .await?;
        self.outcome.restart_p99_ms = phase.spread.p99_ms;
        self.outcome.restart_ms_max = phase.spread.max_ms;
        self.book(phase, Some(HAND_OVER));
        self.crew.even_share().await
    }

    async fn finish(mut self) -> Result<Outcome> {
        if let Err(error) = self.changes.settled(HAND_OVER).await {
            self.outcome.violations.push(format!("in the end: {error:#}"));
        }
        Ok(self.outcome)
    }

    /// A change that hasn't arrived after this long is lost.
    fn patience(&self) -> Duration {
        self.lease * 2 + Duration::from_secs(15)
    }

    /// Adds a phase; no change of it may have taken longer than `limit` and what the slowest takes with all at work.
    fn book(&mut self, phase: Phase, limit: Option<Duration>) {
        let outcome = &mut self.outcome;
        outcome.lost += phase.lost;
        outcome.went_back += phase.went_back;
        if phase.lost + phase.went_back > 0 {
            outcome.violations.push(format!(
                "{}: {} changes lost, {} labels went back",
                phase.name, phase.lost, phase.went_back
            ));
        }
        if let Some(limit) = limit
            && phase.spread.max_ms > limit.as_secs_f64() * 1e3 + outcome.steady_ms_max
        {
            outcome.violations.push(format!(
                "{}: a change took {:.0} ms, more than {limit:?} and the {:.0} ms of the slowest with all at work",
                phase.name, phase.spread.max_ms, outcome.steady_ms_max
            ));
        }
        outcome.phases.push(phase);
    }
}

/// The longest pause between two looks at the leases, in pod-sync's own proportion.
fn look(lease: Duration) -> Duration {
    lease * 2 / 15
}

fn report(outcome: &Outcome) {
    println!(
        "{} servers, {} changes a second, {} shards over {} replicas: {:?}",
        outcome.servers, outcome.rate, outcome.shards, outcome.replicas, outcome.share
    );
    println!("{}", Phase::heading());
    for phase in &outcome.phases {
        println!("{}", phase.line());
    }
    let row = |what: &str, ms: f64| println!("{what:<56} {ms:>9.1} ms");
    row(
        "SIGTERM until others own its shards, slowest",
        outcome.released_ms_max,
    );
    row(
        "slowest change while shards are handed over",
        outcome.handover_ms_max,
    );
    row("slowest change after a SIGKILL", outcome.takeover_ms_max);
    row("slowest change while a replica was frozen", outcome.frozen_ms_max);
    row("slowest change after it went on", outcome.resumed_ms_max);
    row("rolling restart, p99", outcome.restart_p99_ms);
    println!(
        "changes lost {}, labels that went back {}",
        outcome.lost, outcome.went_back
    );
    for violation in &outcome.violations {
        println!("  {violation}");
    }
    println!("violations: {}", outcome.violations.len());
}

//! `trial allocate`: an allocator at 50/s against scale-in, unprotected and protected, with one and with two gss-controllers.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::Serialize;

use super::{Allocation, Arena, ArenaSpec, Session, SessionOptions, write_json};
use crate::fleet::FleetOptions;

/// Flags of `trial allocate`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    session: SessionOptions,
    /// Servers at the start of the scale-in; it goes to half.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(20..=5000))]
    servers: u32,
    /// Allocations a second.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    rate: u32,
    /// Seconds of scaling between 100 and 20 under `protectAllocated`.
    #[arg(long, default_value_t = 120)]
    duration: u64,
    /// Seed of every random choice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Counts of one phase.
#[derive(Debug, Clone, Serialize)]
struct Phase {
    name: String,
    acknowledged: u32,
    lost: Vec<String>,
    unallocated_survivors: usize,
    refused: u32,
    conflicts: u32,
    /// Moments at which no server could be allocated.
    none_free: u32,
    wrong_messages: Vec<String>,
    observed: Vec<String>,
    /// With protection no loss is allowed; without it, only when no unallocated server is left.
    protected: bool,
}

#[derive(Debug, Serialize)]
struct Outcome {
    acknowledged: u32,
    lost: usize,
    unallocated_survivors: usize,
    refused: u32,
    violations: usize,
    phases: Vec<Phase>,
}

/// Allocations under way at once, at most: the rate holds though single requests are slow.
const IN_FLIGHT: usize = 64;
const SETTLE: Duration = Duration::from_secs(180);

/// Runs the trial.
///
/// # Errors
/// When it can't run or found a violation.
pub(super) async fn run(options: Options) -> Result<()> {
    let mut phases = Vec::new();
    for writers in [1, 2] {
        let fleet = FleetOptions {
            profile: options.session.profile,
            gss_replicas: writers,
            // Two that both write, on purpose: safety must not rest on the lease.
            gss_args: if writers > 1 {
                vec!["--leader-elect=false".into()]
            } else {
                Vec::new()
            },
            ..Default::default()
        };
        let mut start = options.session.clone();
        start.keep |= writers == 1;
        let session = Session::start("trial-allocate", &start, &fleet).await?;
        let result = both_phases(&session, &options, writers).await;
        let stopped = session.stop().await;
        phases.extend(result?);
        stopped?;
    }
    let outcome = summarise(phases);
    write_json(options.session.json.as_deref(), &outcome)?;
    report(&outcome);
    if outcome.violations > 0 {
        bail!("{} violations", outcome.violations);
    }
    Ok(())
}

async fn both_phases(session: &Session, options: &Options, writers: usize) -> Result<Vec<Phase>> {
    let label = if writers == 1 {
        "one gss-controller"
    } else {
        "two gss-controllers, no leader"
    };
    let shrinking = scale_in(session, options, format!("{label}: {} to half", options.servers)).await?;
    let protected = protected(session, options, format!("{label}: protectAllocated, 100 and 20")).await?;
    Ok(vec![shrinking, protected])
}

/// A set at rest loses half of its servers while an allocator works at full rate.
async fn scale_in(session: &Session, options: &Options, name: String) -> Result<Phase> {
    eprintln!("{name}: waiting for {} servers", options.servers);
    let arena = Arena::create(&session.client, ArenaSpec::plain(options.servers)).await?;
    arena.wait_settled(options.servers as usize, SETTLE).await?;
    let mut phase = Phase::new(name, false);
    let target = options.servers / 2;
    let mut load = Load::new(options, None);
    // Some are taken before the scale-in, so that it has to choose from the first moment.
    load.run(&arena, &mut phase, Duration::from_millis(500)).await?;
    arena.scale(target).await?;
    let begun = Instant::now();
    loop {
        load.run(&arena, &mut phase, Duration::from_millis(500)).await?;
        if arena.wait_settled(target as usize, Duration::ZERO).await.is_ok() {
            break;
        }
        if begun.elapsed() > SETTLE {
            arena.wait_settled(target as usize, Duration::ZERO).await?;
        }
        // More than the set can hold would leave no choice but to lose some; that is not what is tried here.
        if arena.allocated() >= target as usize * 9 / 10 {
            arena.wait_settled(target as usize, SETTLE).await?;
            break;
        }
    }
    phase.finish(&arena);
    arena.delete().await?;
    Ok(phase)
}

/// Replicas jump between 100 and 20 while every allocation lasts a few seconds.
async fn protected(session: &Session, options: &Options, name: String) -> Result<Phase> {
    eprintln!("{name}: {} s", options.duration);
    let spec = ArenaSpec {
        replicas: 100,
        protect_allocated: true,
        reserve: false,
    };
    let arena = Arena::create(&session.client, spec).await?;
    arena.wait_settled(100, SETTLE).await?;
    let mut phase = Phase::new(name, true);
    let mut load = Load::new(options, Some(Duration::from_secs(2)));
    let begun = Instant::now();
    let mut high = true;
    while begun.elapsed() < Duration::from_secs(options.duration) {
        high = !high;
        arena.scale(if high { 100 } else { 20 }).await?;
        load.run(&arena, &mut phase, Duration::from_millis(2500)).await?;
    }
    arena.release_all().await?;
    arena.scale(20).await?;
    arena.wait_settled(20, SETTLE).await?;
    phase.finish(&arena);
    arena.delete().await?;
    Ok(phase)
}

/// An allocator at a steady rate.
struct Load {
    gap: Duration,
    /// How long an allocation lasts; none: until the end of the phase.
    hold: Option<Duration>,
    running: VecDeque<(Instant, String)>,
    rng: StdRng,
}

impl Load {
    fn new(options: &Options, hold: Option<Duration>) -> Self {
        Self {
            gap: Duration::from_secs(1) / options.rate,
            hold,
            running: VecDeque::new(),
            rng: StdRng::seed_from_u64(options.seed),
        }
    }

    /// Allocates at the rate for `time`, whatever a single request takes; ends when every request has its answer.
    async fn run(&mut self, arena: &Arena, phase: &mut Phase, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        let mut tick = tokio::time::interval(self.gap);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut allocating = FuturesUnordered::new();
        let mut releasing = FuturesUnordered::new();
        while Instant::now() < end || !allocating.is_empty() || !releasing.is_empty() {
            tokio::select! {
                Some(allocation) = allocating.next() => self.note(phase, allocation?),
                Some(released) = releasing.next() => released?,
                _ = tick.tick() => if Instant::now() < end && allocating.len() < IN_FLIGHT {
                    let mut rng = StdRng::seed_from_u64(self.rng.random());
                    allocating.push(async move { arena.allocate(&mut rng).await });
                },
            }
            while self.hold.is_some()
                && self
                    .running
                    .front()
                    .is_some_and(|(until, _)| *until < Instant::now())
            {
                if let Some((_, name)) = self.running.pop_front() {
                    releasing.push(async move { arena.release(&name).await });
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, phase: &mut Phase, allocation: Allocation) {
        match allocation {
            Allocation::Acknowledged { name, .. } => {
                phase.acknowledged += 1;
                // Games end at different times.
                let jitter = Duration::from_millis(self.rng.random_range(0..1000));
                self.running
                    .push_back((Instant::now() + self.hold.unwrap_or_default() + jitter, name));
            }
            Allocation::Refused => phase.refused += 1,
            Allocation::Conflict => phase.conflicts += 1,
            Allocation::WrongMessage(message) => phase.wrong_messages.push(message),
            Allocation::NoneFree => phase.none_free += 1,
        }
    }
}

impl Phase {
    fn new(name: String, protected: bool) -> Self {
        Self {
            name,
            acknowledged: 0,
            lost: Vec::new(),
            unallocated_survivors: 0,
            refused: 0,
            conflicts: 0,
            none_free: 0,
            wrong_messages: Vec::new(),
            observed: Vec::new(),
            protected,
        }
    }

    fn finish(&mut self, arena: &Arena) {
        self.lost = arena.lost();
        self.unallocated_survivors = arena.unallocated_survivors();
        self.observed = arena.violations();
    }

    fn violations(&self) -> usize {
        let lost = if self.protected || self.unallocated_survivors > 0 {
            self.lost.len()
        } else {
            0
        };
        lost + self.wrong_messages.len() + self.observed.len()
    }
}

fn summarise(phases: Vec<Phase>) -> Outcome {
    Outcome {
        acknowledged: phases.iter().map(|p| p.acknowledged).sum(),
        lost: phases.iter().map(|p| p.lost.len()).sum(),
        unallocated_survivors: phases
            .iter()
            .filter(|p| !p.protected)
            .map(|p| p.unallocated_survivors)
            .sum(),
        refused: phases.iter().map(|p| p.refused).sum(),
        violations: phases.iter().map(Phase::violations).sum(),
        phases,
    }
}

fn report(outcome: &Outcome) {
    println!(
        "{:<52} {:>6} {:>5} {:>10} {:>8} {:>10}",
        "phase", "acked", "lost", "survivors", "refused", "conflicts"
    );
    for phase in &outcome.phases {
        println!(
            "{:<52} {:>6} {:>5} {:>10} {:>8} {:>10}",
            phase.name,
            phase.acknowledged,
            phase.lost.len(),
            phase.unallocated_survivors,
            phase.refused,
            phase.conflicts
        );
        for message in phase
            .wrong_messages
            .iter()
            .chain(&phase.observed)
            .chain(&phase.lost)
        {
            println!("  {message}");
        }
    }
    println!("violations: {}", outcome.violations);
}

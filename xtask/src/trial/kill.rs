//! `trial kill`: SIGKILL at random moments while replicas move between 0 and 200.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::Serialize;

use super::{Allocation, Arena, ArenaSpec, Session, SessionOptions, write_json};
use crate::fleet::{Controller, FleetOptions};

/// Flags of `trial kill`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    session: SessionOptions,
    /// Kills of each controller.
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// Replicas move between 0 and this.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(10..=2000))]
    replicas: u32,
    /// Seed of every random choice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Serialize)]
struct Outcome {
    rounds: u32,
    violations: usize,
    lost: usize,
    acknowledged: u32,
    refused: u32,
    rounds_by_controller: BTreeMap<&'static str, u32>,
    slowest_settle_seconds: f64,
    messages: Vec<String>,
}

/// How long a set may take to settle after the last change; generous, since these machines are noisy.
const SETTLE: Duration = Duration::from_secs(120);
/// Size to which every round returns from zero; with ids 3 and 10–12 reserved it must always be the same nine ids.
const REST: u32 = 9;

/// Runs the trial.
///
/// # Errors
/// When it can't run or found a violation.
pub(super) async fn run(options: Options) -> Result<()> {
    let fleet = FleetOptions {
        profile: options.session.profile,
        ..Default::default()
    }
    .with_short_leases();
    let mut session = Session::start("trial-kill", &options.session, &fleet).await?;
    let outcome = rounds(&mut session, &options).await;
    let stopped = session.stop().await;
    let outcome = outcome?;
    write_json(options.session.json.as_deref(), &outcome)?;
    stopped?;
    report(&outcome);
    if outcome.violations > 0 {
        bail!("{} violations", outcome.violations);
    }
    Ok(())
}

/// Those that have something to do with a set without service qualities.
const KILLED: [Controller; 4] = [
    Controller::Gss,
    Controller::Gs,
    Controller::PodSync,
    Controller::NodeWatcher,
];

async fn rounds(session: &mut Session, options: &Options) -> Result<Outcome> {
    let spec = ArenaSpec {
        replicas: REST,
        protect_allocated: true,
        reserve: true,
    };
    let arena = Arena::create(&session.client, spec).await?;
    let reference = arena.wait_settled(REST as usize, SETTLE).await?;
    let mut rng = StdRng::seed_from_u64(options.seed);
    let mut outcome = Outcome {
        rounds: 0,
        violations: 0,
        lost: 0,
        acknowledged: 0,
        refused: 0,
        rounds_by_controller: BTreeMap::new(),
        slowest_settle_seconds: 0.0,
        messages: Vec::new(),
    };
    for round in 0..options.rounds {
        for controller in KILLED {
            let begun = Instant::now();
            let result = one_round(
                session,
                &arena,
                controller,
                options,
                &mut rng,
                &reference,
                &mut outcome,
            )
            .await;
            outcome.rounds += 1;
            *outcome.rounds_by_controller.entry(controller.name()).or_default() += 1;
            if let Err(error) = result {
                outcome
                    .messages
                    .push(format!("round {round}, {} killed: {error:#}", controller.name()));
            }
            eprintln!(
                "round {:>3}: {:<14} killed, settled after {:>5.1} s; {} allocations so far, {} problems",
                outcome.rounds,
                controller.name(),
                begun.elapsed().as_secs_f64(),
                outcome.acknowledged,
                outcome.messages.len()
            );
        }
    }
    outcome.messages.extend(arena.violations());
    let lost = arena.lost();
    outcome.lost = lost.len();
    outcome.violations = outcome.messages.len() + outcome.lost;
    outcome.messages.extend(lost);
    arena.delete().await?;
    Ok(outcome)
}

async fn one_round(
    session: &mut Session,
    arena: &Arena,
    controller: Controller,
    options: &Options,
    rng: &mut StdRng,
    reference: &BTreeSet<u32>,
    outcome: &mut Outcome,
) -> Result<()> {
    let kill_after = Duration::from_millis(rng.random_range(0..2500));
    let mover = StdRng::seed_from_u64(rng.random());
    let most = options.replicas;
    let moving = scale_and_allocate(arena, mover, most);
    let killing = async {
        tokio::time::sleep(kill_after).await;
        session.fleet.process(controller)?.kill_and_restart().await
    };
    let (moved, killed) = tokio::join!(moving, killing);
    let (acknowledged, refused) = moved?;
    killed?;
    outcome.acknowledged += acknowledged;
    outcome.refused += refused;

    let target = rng.random_range(0..=most);
    let settling = async {
        arena.scale(target).await?;
        let begun = Instant::now();
        arena
            .wait_settled((target as usize).max(arena.allocated()), SETTLE)
            .await?;
        let settled = begun.elapsed().as_secs_f64();
        arena.release_all().await?;
        arena.scale(0).await?;
        arena.wait_settled(0, SETTLE).await?;
        arena.scale(REST).await?;
        anyhow::Ok((settled, arena.wait_settled(REST as usize, SETTLE).await?))
    };
    let (settled, ids) = session.fleet.keep_running(settling).await?;
    outcome.slowest_settle_seconds = outcome.slowest_settle_seconds.max(settled);
    if ids != *reference {
        bail!("the end state differs: ids {ids:?} instead of {reference:?}");
    }
    Ok(())
}

/// Three sizes, and three allocations at each: how many of them were acknowledged, and refused by a claim.
async fn scale_and_allocate(arena: &Arena, mut mover: StdRng, most: u32) -> Result<(u32, u32)> {
    let (mut acknowledged, mut refused) = (0, 0);
    for _ in 0..3 {
        arena.scale(mover.random_range(0..=most)).await?;
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(mover.random_range(30..300))).await;
            match arena.allocate(&mut mover).await? {
                Allocation::Acknowledged { .. } => acknowledged += 1,
                Allocation::Refused => refused += 1,
                Allocation::WrongMessage(message) => {
                    bail!("a refusal without the claim's message: {message}")
                }
                Allocation::Conflict | Allocation::NoneFree => {}
            }
        }
    }
    Ok((acknowledged, refused))
}

fn report(outcome: &Outcome) {
    println!("rounds                 {}", outcome.rounds);
    println!(
        "allocations            {} acknowledged, {} refused by a claim",
        outcome.acknowledged, outcome.refused
    );
    println!("allocations lost       {}", outcome.lost);
    println!("slowest settle         {:.1} s", outcome.slowest_settle_seconds);
    println!("violations             {}", outcome.violations);
    for message in &outcome.messages {
        println!("  {message}");
    }
}

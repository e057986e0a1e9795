//! `trial players`: sets shrink, are updated, marked and fail while players come and go and gss-controller is killed; nobody may
//! be dropped.

mod book;
mod flow;
mod ground;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, IteratorRandom as _};
use rand::{Rng as _, SeedableRng as _};
use serde::Serialize;

use super::{Session, SessionOptions, write_json};
use crate::fleet::{Controller, FleetOptions};
use ground::{Ground, Report, at_rest};

/// Flags of `trial players`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    session: SessionOptions,
    /// Rounds of random changes, each with one kill of gss-controller.
    #[arg(long, default_value_t = 100)]
    rounds: u32,
    /// Replicas move between 1 and this.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(3..=200))]
    replicas: u32,
    /// Run two gss-controllers that both work, without leader election.
    #[arg(long)]
    two_leaders: bool,
    /// Seed of every random choice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What was counted.
#[derive(Debug, Default, Serialize)]
struct Outcome {
    rounds: u32,
    players_dropped: usize,
    violations: usize,
    kills: u32,
    reports: u32,
    turned_away: u32,
    scaled: u32,
    updated: u32,
    marked: u32,
    failed: u32,
    slowest_settle_seconds: f64,
    messages: Vec<String>,
}

/// How long a set may take to settle once the players leave; generous, since these machines are noisy.
const SETTLE: Duration = Duration::from_secs(90);
/// How long players come and go in each round.
const STIR: Duration = Duration::from_millis(2500);
const MOST_PLAYERS: u32 = 10;

/// Runs the trial.
///
/// # Errors
/// When it can't run or somebody was dropped.
pub(super) async fn run(options: Options) -> Result<()> {
    let mut fleet = FleetOptions {
        profile: options.session.profile,
        ..Default::default()
    }
    .with_short_leases();
    if options.two_leaders {
        fleet.gss_replicas = 2;
        fleet.gss_args.push("--leader-elect=false".to_owned());
    }
    let mut session = Session::start("trial-players", &options.session, &fleet).await?;
    let outcome = rounds(&mut session, &options).await;
    let stopped = session.stop().await;
    let outcome = outcome?;
    write_json(options.session.json.as_deref(), &outcome)?;
    stopped?;
    report(&outcome);
    if outcome.players_dropped + outcome.violations > 0 {
        bail!(
            "{} servers dropped their players, {} violations",
            outcome.players_dropped,
            outcome.violations
        );
    }
    Ok(())
}

async fn rounds(session: &mut Session, options: &Options) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let ground = Ground::create(&session.client, 3).await?;
    session.fleet.keep_running(flow::walk(&ground)).await?;
    let mut dropped = ground.book.lock().dropped();
    let mut rng = StdRng::seed_from_u64(options.seed);
    let mut state = State {
        replicas: 3,
        version: 2,
        image: "example.invalid/game:2".to_owned(),
    };
    for round in 1..=options.rounds {
        let begun = Instant::now();
        let result = one_round(session, &ground, options, &mut rng, &mut state, &mut outcome).await;
        outcome.rounds = round;
        dropped = ground.book.lock().dropped();
        if let Err(error) = result {
            outcome.messages.push(format!("round {round}: {error:#}"));
            // What is left of it would be the next round's failure too.
            break;
        }
        eprintln!(
            "round {round:>3}: {:>5.1} s; {} reports, {} too late, {} servers dropped",
            begun.elapsed().as_secs_f64(),
            outcome.reports,
            outcome.turned_away,
            dropped.len()
        );
    }
    outcome.violations = outcome.messages.len();
    outcome.players_dropped = dropped.len();
    outcome.messages.extend(dropped);
    ground.delete().await?;
    Ok(outcome)
}

/// What the set is asked to be.
struct State {
    replicas: u32,
    version: u32,
    image: String,
}

async fn one_round(
    session: &mut Session,
    ground: &Ground,
    options: &Options,
    rng: &mut StdRng,
    state: &mut State,
    outcome: &mut Outcome,
) -> Result<()> {
    let kill_after = rng.random_range(Duration::ZERO..STIR);
    let (mut mover, mut crowd) = (
        StdRng::seed_from_u64(rng.random()),
        StdRng::seed_from_u64(rng.random()),
    );
    let changing = change(ground, options, &mut mover, state);
    let stirring = stir(ground, &mut crowd, STIR);
    let killing = async {
        tokio::time::sleep(kill_after).await;
        session.fleet.process(Controller::Gss)?.kill_and_restart().await
    };
    let (changed, stirred, killed) = tokio::join!(changing, stirring, killing);
    killed?;
    outcome.kills += 1;
    let changes = changed?;
    outcome.scaled += changes.scaled;
    outcome.updated += changes.updated;
    outcome.marked += changes.marked;
    outcome.failed += changes.failed;
    let crowd_told = stirred?;
    let begun = Instant::now();
    let settling = settle(ground, rng, state);
    let leaving = session.fleet.keep_running(settling).await?;
    outcome.reports += crowd_told.0 + leaving.0;
    outcome.turned_away += crowd_told.1 + leaving.1;
    outcome.slowest_settle_seconds = outcome.slowest_settle_seconds.max(begun.elapsed().as_secs_f64());
    Ok(())
}

/// What was done to the set in one round.
#[derive(Default)]
struct Changes {
    scaled: u32,
    updated: u32,
    marked: u32,
    failed: u32,
}

async fn change(ground: &Ground, options: &Options, rng: &mut StdRng, state: &mut State) -> Result<Changes> {
    let mut changes = Changes::default();
    for _ in 0..3 {
        tokio::time::sleep(rng.random_range(Duration::ZERO..STIR / 3)).await;
        let name = {
            let book = ground.book.lock();
            book.servers.keys().choose(rng).cloned()
        };
        match (rng.random_range(0..6), name) {
            (0..=2, _) | (_, None) => {
                state.replicas = rng.random_range(1..=options.replicas);
                ground.scale(state.replicas).await?;
                changes.scaled += 1;
            }
            (3, _) => {
                state.version += 1;
                state.image = ground.update(state.version).await?;
                changes.updated += 1;
            }
            (4, Some(name)) => {
                // It may be gone by now.
                changes.marked += u32::from(ground.mark(&name).await.is_ok());
            }
            (_, Some(name)) => {
                changes.failed += u32::from(ground.fail(&name).await? == Report::Acknowledged);
            }
        }
    }
    Ok(changes)
}

/// Players come and go on all servers, those that drain too. Gives how many reports were acknowledged, and how many too late.
async fn stir(ground: &Ground, rng: &mut StdRng, time: Duration) -> Result<(u32, u32)> {
    let end = tokio::time::Instant::now() + time;
    let mut told = (0, 0);
    while tokio::time::Instant::now() < end {
        let choice = {
            let book = ground.book.lock();
            let server = book.pods.iter().choose(rng);
            server.map(|(name, pod)| {
                (
                    name.clone(),
                    book.players_on(pod),
                    book.excused.contains(&pod.uid),
                )
            })
        };
        if let Some((name, players, false)) = choice {
            let steps: [i64; 6] = [-10, -2, -1, 1, 2, 3];
            let step = steps.choose(rng).copied().unwrap_or(0);
            let next = (i64::from(players) + step).clamp(0, MOST_PLAYERS.into());
            match ground.report(&name, u32::try_from(next)?).await? {
                Report::Acknowledged => told.0 += 1,
                Report::TurnedAway => told.1 += 1,
            }
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(1..20))).await;
    }
    Ok(told)
}

/// Players leave the servers that drain, one server after the other, until the set is at rest.
async fn settle(ground: &Ground, rng: &mut StdRng, state: &State) -> Result<(u32, u32)> {
    let deadline = tokio::time::Instant::now() + SETTLE;
    let mut told = (0, 0);
    loop {
        let (rest, leaving) = {
            let book = ground.book.lock();
            let claimed = book.servers.iter().filter(|(_, server)| server.claim.is_some());
            let name = claimed.map(|(name, _)| name).choose(rng).cloned();
            (at_rest(&book, state.replicas, &state.image), name)
        };
        let Some(difference) = rest else { return Ok(told) };
        if tokio::time::Instant::now() > deadline {
            let status = serde_json::to_string(&ground.status().await?)?;
            bail!(
                "not settled after {} s: {difference}; status {status}",
                SETTLE.as_secs()
            );
        }
        if let Some(name) = leaving {
            match ground.report(&name, 0).await? {
                Report::Acknowledged => told.0 += 1,
                Report::TurnedAway => told.1 += 1,
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn report(outcome: &Outcome) {
    println!("rounds                 {}", outcome.rounds);
    println!("kills                  {}", outcome.kills);
    println!(
        "reports                {} acknowledged, {} too late",
        outcome.reports, outcome.turned_away
    );
    println!(
        "changes                {} of replicas, {} of the template, {} marks, {} failures",
        outcome.scaled, outcome.updated, outcome.marked, outcome.failed
    );
    println!("slowest settle         {:.1} s", outcome.slowest_settle_seconds);
    println!("players dropped        {}", outcome.players_dropped);
    println!("violations             {}", outcome.violations);
    for message in &outcome.messages {
        println!("  {message}");
    }
}

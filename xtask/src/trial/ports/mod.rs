//! `trial ports`: two active leaders give out ports of shared load balancers while servers come and go and leaders are killed.

pub(crate) mod cloud;
mod games;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::Serialize;

use self::cloud::{Cloud, recorded};
use self::games::Games;
use super::{Session, SessionOptions, write_json};
use crate::fleet::{Controller, FleetOptions};

/// Flags of `trial ports`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    session: SessionOptions,
    /// Rounds, each with a few changes and, every other time, the end of a leader.
    #[arg(long, default_value_t = 200)]
    rounds: u32,
    /// Servers of a set at most; there are two sets.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(2..=200))]
    servers: u32,
    /// Seed of every random choice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Default, Serialize)]
struct Outcome {
    rounds: u32,
    kills: u32,
    ports_given: usize,
    duplicates: usize,
    leaked: usize,
    slowest_settle_seconds: f64,
    messages: Vec<String>,
}

/// How long everything may take to be right after the last change of a round.
const SETTLE: Duration = Duration::from_secs(90);
/// The longest that the cloud takes for anything.
const CLOUD: Duration = Duration::from_millis(150);

/// Runs the trial.
///
/// # Errors
/// When it can't run or found a violation.
pub(super) async fn run(options: Options) -> Result<()> {
    let fleet = FleetOptions {
        profile: options.session.profile,
        network_replicas: 2,
        // What a leader that is gone for good has left is found by the other one at its next resync.
        network_args: vec!["--leader-elect=false".into(), "--resync=10s".into()],
        ..Default::default()
    }
    .with_short_leases();
    let mut session = Session::start("trial-ports", &options.session, &fleet).await?;
    let outcome = rounds(&mut session, &options).await;
    let stopped = session.resume_and_stop().await;
    let outcome = outcome?;
    write_json(options.session.json.as_deref(), &outcome)?;
    stopped?;
    println!("rounds                 {}", outcome.rounds);
    println!("leaders killed         {}", outcome.kills);
    println!("ports given            {}", outcome.ports_given);
    println!("given twice            {}", outcome.duplicates);
    println!("leaked                 {}", outcome.leaked);
    println!("slowest settle         {:.1} s", outcome.slowest_settle_seconds);
    for message in &outcome.messages {
        println!("  {message}");
    }
    if outcome.duplicates + outcome.leaked + outcome.messages.len() > 0 {
        bail!("{} given twice, {} leaked", outcome.duplicates, outcome.leaked);
    }
    Ok(())
}

async fn rounds(session: &mut Session, options: &Options) -> Result<Outcome> {
    let cloud = Cloud::start(&session.client, CLOUD);
    let games = Games::create(&session.client, options.servers).await?;
    let mut rng = StdRng::seed_from_u64(options.seed);
    let mut outcome = Outcome::default();
    let mut given: BTreeSet<(String, String)> = BTreeSet::new();
    for round in 1..=options.rounds {
        let begun = Instant::now();
        let killed = one_round(session, &games, round, &mut rng).await?;
        outcome.kills += u32::from(killed);
        let settled = Instant::now();
        if let Err(error) = settle(session, &games, &cloud).await {
            outcome.messages.push(format!("round {round}: {error:#}"));
        }
        let seconds = settled.elapsed().as_secs_f64();
        outcome.slowest_settle_seconds = outcome.slowest_settle_seconds.max(seconds);
        outcome.rounds = round;
        given.extend(recorded(&session.client).await?);
        let twice = cloud.duplicates()?.len();
        eprintln!(
            "round {round:>3}: {:>4.1} s, {} ports given so far, {twice} twice{}",
            begun.elapsed().as_secs_f64(),
            given.len(),
            if killed { ", a leader was killed" } else { "" },
        );
    }
    games.delete_sets().await?;
    let (client, fleet) = (session.client.clone(), &mut session.fleet);
    outcome.leaked = fleet.keep_running(left_over(&client)).await?;
    let duplicates = cloud.duplicates()?;
    outcome.duplicates = duplicates.len();
    outcome.messages.extend(duplicates);
    outcome.ports_given = given.len();
    games.delete().await?;
    Ok(outcome)
}

/// A few changes, with the end of a leader among them every other time. Says whether there was one.
async fn one_round(session: &mut Session, games: &Games, round: u32, rng: &mut StdRng) -> Result<bool> {
    let kills = round.is_multiple_of(2);
    let (after, which, gently) = (
        Duration::from_millis(rng.random_range(0..400)),
        rng.random_range(0..2),
        rng.random_bool(0.3),
    );
    let mut changes = StdRng::seed_from_u64(rng.random());
    let changing = async {
        for _ in 0..3 {
            games.change(&mut changes).await?;
            tokio::time::sleep(Duration::from_millis(changes.random_range(0..150))).await;
        }
        anyhow::Ok(())
    };
    let killing = async {
        if !kills {
            return anyhow::Ok(());
        }
        tokio::time::sleep(after).await;
        if let Some(leader) = session.fleet.replicas(Controller::NetworkPlugins).nth(which) {
            if gently {
                leader.signal("TERM").await?;
                leader.wait(Duration::from_secs(30)).await?;
                leader.start_again()?;
            } else {
                leader.kill_and_restart().await?;
            }
        }
        Ok(())
    };
    let (changed, killed) = tokio::join!(changing, killing);
    changed?;
    killed?;
    Ok(kills)
}

/// Waits until every server is reachable and the records say what Services are on, no more and no less.
async fn settle(session: &mut Session, games: &Games, cloud: &Cloud) -> Result<()> {
    let client = session.client.clone();
    let waiting = async {
        let deadline = Instant::now() + SETTLE;
        loop {
            let difference = match games.difference().await? {
                Some(difference) => difference,
                None => match records_differ(&client, games, cloud).await? {
                    Some(difference) => difference,
                    None => return Ok(()),
                },
            };
            if Instant::now() > deadline {
                bail!("not settled after {} s: {difference}", SETTLE.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    session.fleet.keep_running(waiting).await
}

/// What differs between the records and the Services that are on load balancers; a disabled server keeps its ports without.
async fn records_differ(client: &kube::Client, games: &Games, cloud: &Cloud) -> Result<Option<String>> {
    let (records, places) = (recorded(client).await?, cloud.places());
    if let Some(place) = places.iter().find(|place| !records.contains_key(*place)) {
        return Ok(Some(format!("{place} is in no record")));
    }
    let services = games.service_uids().await?;
    let lost = records.iter().find(|(_, service)| !services.contains(*service));
    Ok(lost.map(|(place, service)| format!("{place} is recorded for Service {service}, which is gone")))
}

/// How many ports are still recorded once everything is gone.
async fn left_over(client: &kube::Client) -> Result<usize> {
    let deadline = Instant::now() + SETTLE;
    loop {
        let left = recorded(client).await?.len();
        if left == 0 || Instant::now() > deadline {
            return Ok(left);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

//! `trial shutdown`: a set behind a real Envoy shrinks while players are connected, and while controllers are killed; no
//! connection may be cut, and nothing may be left over.

mod ground;
mod outcome;
mod players;
mod round;

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::Session;
use super::session::{OnNode, write_json};
use crate::cluster::Nodes;
use crate::fleet::{Controller, ControllerProcess, Fleet, FleetOptions};
use ground::{Ground, SET};
use outcome::Outcome;
use players::Crowd;
use round::{Round, Told};

/// Flags of `trial shutdown`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    on: OnNode,
    /// Times that the set shrinks by one and grows again. Of every five one is without a kill, of every four one without
    /// players on the server that goes.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// What the gateway does with the cluster of a server out of service. The documented probe waits for its metrics to end; where
    /// the gateway keeps them, a mended probe is used, which is believed the second time.
    #[arg(long, value_enum, default_value_t = Gateway::Drops)]
    gateway: Gateway,
    /// What takes a server that is to go out of the Service's endpoints.
    #[arg(long, value_enum, default_value_t = Drain::Hook)]
    drain: Drain,
    /// Seed of every random choice; also says who is killed first.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What the gateway does with the cluster of a server that takes no new players.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Gateway {
    /// Forgets it.
    Drops,
    /// Keeps it, without an endpoint.
    Keeps,
}

/// What takes a server that is to go out of the Service's endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Drain {
    /// `markPodNotReady: true` in the hook.
    Hook,
    /// `DrainPolicy: RemoveEndpoint` among the network's parameters.
    Plugin,
}

/// Servers of the documented set; the last one goes.
const SERVERS: u32 = 3;
/// A kill comes at most this long after the players' stay began to end: the probe and the deletion are hit too.
const AFTERMATH: Duration = Duration::from_secs(5);

/// Why the trial can't run on this machine; `None` when it can.
pub(crate) async fn unavailable() -> Option<String> {
    if let Err(error) = crate::envoy::program().await {
        return Some(format!("Envoy can't be had here ({error:#})"));
    }
    let prometheus = crate::prometheus::program().await;
    prometheus
        .err()
        .map(|error| format!("Prometheus can't be had here ({error:#})"))
}

/// Runs the trial.
///
/// # Errors
/// When it can't run, or found a violation.
pub(super) async fn run(options: Options) -> Result<()> {
    if let Some(reason) = unavailable().await {
        bail!("{reason}");
    }
    let fleet = FleetOptions {
        profile: options.on.profile,
        ..Default::default()
    }
    .with_short_leases();
    let nodes = Nodes {
        kwok: 0,
        kubelet: true,
    };
    let mut session = Session::start_on("trial-shutdown", nodes, &options.on.place, &fleet).await?;
    let outcome = Box::pin(all_rounds(&mut session, &options)).await;
    let stopped = session.resume_and_stop().await;
    let outcome = outcome?;
    write_json(options.on.json.as_deref(), &outcome)?;
    outcome.print();
    stopped?;
    ensure!(
        outcome.is_clean(),
        "players were cut off, or something was left over"
    );
    Ok(())
}

async fn all_rounds(session: &mut Session, options: &Options) -> Result<Outcome> {
    let (client, kubeconfig) = (session.client.clone(), session.kubeconfig.clone());
    let prepared = Ground::prepare(&client, &kubeconfig, options.gateway, options.drain);
    let mut ground = session.fleet.keep_running(prepared).await?;
    let mut outcome = Outcome::default();
    // They stay through all rounds: whatever happens to their neighbour is none of their business.
    let mut neighbours = Crowd::default();
    for id in 0..SERVERS - 1 {
        neighbours.join(&ground.door(id)?).await?;
    }
    let mut rng = StdRng::seed_from_u64(options.seed);
    for number in 0..options.rounds {
        let round = plan(number, &kill_order(&session.fleet), options.seed, &mut rng);
        let done = one_round(session, &mut ground, (number, &round), &mut outcome).await;
        let done = match done {
            Ok(()) => only(&ground, neighbours.len() as u64).await,
            failed => failed,
        };
        if let Err(error) = done {
            outcome.complain(number, format!("{error:#}; the rounds after it were left out"));
            break;
        }
    }
    neighbours.leave().await;
    outcome.count(&neighbours);
    session.fleet.keep_running(ground.world.remove_set(SET)).await?;
    outcome.leak(round::leaked(&ground, 0).await?);
    Ok(outcome)
}

/// What round `number` does. Kills take turns, beginning where the seed says.
fn plan(number: u32, order: &[usize], seed: u64, rng: &mut StdRng) -> Round {
    let players = number % 4 != 2;
    let stay = Duration::from_millis(rng.random_range(2000..6000));
    let moment = rng.random_range(Duration::ZERO..AFTERMATH + if players { stay } else { Duration::ZERO });
    let turn = (seed as usize).wrapping_add((number - number.div_ceil(5)) as usize);
    let index = order.get(turn % order.len().max(1));
    Round {
        victim: SERVERS - 1,
        players,
        stay,
        kill: index
            .filter(|_| !number.is_multiple_of(5))
            .map(|index| (*index, moment)),
    }
}

async fn one_round(
    session: &mut Session,
    ground: &mut Ground,
    (number, round): (u32, &Round),
    outcome: &mut Outcome,
) -> Result<()> {
    let mut crowd = Crowd::default();
    let playing = round::play(ground, round, &mut crowd);
    let (killed, told) = match round.kill {
        Some((index, moment)) => {
            let killed = name(&session.fleet.processes[index]);
            (
                Some(killed),
                under_kill(&mut session.fleet, index, moment, playing).await,
            )
        }
        None => (None, session.fleet.keep_running(playing).await),
    };
    crowd.leave().await;
    outcome.count(&crowd);
    let told = told?;
    ground.envoy.check()?;
    progress(number, round, killed.as_deref(), &told);
    outcome.take(number, round, killed, told);
    let grown = async {
        ground.world.scale(SET, SERVERS).await?;
        ground.ready(SERVERS).await
    };
    session.fleet.keep_running(grown).await
}

/// Waits until Envoy counts `players` connections and no other: what has left is gone, and what stays is there.
async fn only(ground: &Ground, players: u64) -> Result<()> {
    let deadline = Instant::now() + AFTERMATH;
    loop {
        let counted = ground.envoy.connections().await?;
        if counted == players {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "Envoy counts {counted} connections, of players that stay there are {players}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Plays, and kills process `index` at `moment`; if the round is over before, at its end. Whatever ends of itself is started again.
async fn under_kill(
    fleet: &mut Fleet,
    index: usize,
    moment: Duration,
    playing: impl Future<Output = Result<Told>>,
) -> Result<Told> {
    let mut playing = std::pin::pin!(playing);
    let early = tokio::select! {
        told = &mut playing => Some(told),
        () = tokio::time::sleep(moment) => None,
    };
    fleet.processes[index].kill_and_restart().await?;
    match early {
        Some(told) => told,
        None => fleet.keep_running(playing).await,
    }
}

/// Processes in the order in which they are killed. Nodes are all well here: their watcher has no part in it.
fn kill_order(fleet: &Fleet) -> Vec<usize> {
    let concerned =
        |(_, process): &(usize, &ControllerProcess)| process.controller != Controller::NodeWatcher;
    let processes = fleet.processes.iter().enumerate();
    processes.filter(concerned).map(|(index, _)| index).collect()
}

/// As its log is called: two processes of one controller have different names.
fn name(process: &ControllerProcess) -> String {
    let log = process.log().file_stem().unwrap_or_default();
    log.to_string_lossy().trim_end_matches("-0").to_owned()
}

fn progress(number: u32, round: &Round, killed: Option<&str>, told: &Told) {
    eprintln!(
        "round {:>3}: {}, {}: PreDelete after {:.0} ms, no new players after {:.0} ms, released after {:.1} s, gone after {:.1} s; {} \
         complaints",
        number + 1,
        if round.players { "players   " } else { "no players" },
        killed.map_or_else(|| "nobody killed".to_owned(), |name| format!("{name} killed")),
        told.times.pre_delete,
        told.times.unrouted,
        told.times.released / 1000.0,
        told.times.gone / 1000.0,
        told.complaints.len() + told.leaked.len(),
    );
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn twenty_rounds_kill_everybody_in_turn_and_leave_some_alone() {
        let order = [0, 1, 2, 4, 5, 6];
        let mut rng = StdRng::seed_from_u64(1);
        let rounds: Vec<Round> = (0..20).map(|number| plan(number, &order, 1, &mut rng)).collect();
        let mut kills: BTreeMap<usize, u32> = BTreeMap::new();
        for (index, moment) in rounds.iter().filter_map(|round| round.kill) {
            *kills.entry(index).or_default() += 1;
            assert!(moment < AFTERMATH + Duration::from_secs(6));
        }
        assert_eq!(kills.values().sum::<u32>(), 16);
        assert!(order.iter().all(|index| kills[index] >= 2), "{kills:?}");
        let count = |players: bool, killed: bool| {
            let like = |round: &&Round| (round.players, round.kill.is_some()) == (players, killed);
            rounds.iter().filter(like).count()
        };
        assert_eq!([count(true, false), count(false, false)], [3, 1]);
        assert_eq!([count(true, true), count(false, true)], [12, 4]);
    }
}

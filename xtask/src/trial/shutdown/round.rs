//! One round: the set shrinks by one while players are on the server that goes (or while nobody is).

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use api_types::keys::label;
use e2e::Snapshot;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::ground::{Ground, SET, server, takes_players};
use super::players::{Crowd, Door, Wire};

/// The label that holds a server until its players have left.
const BLOCK: &str = "gs-sync/delete-block";
/// Condition of the documented quality.
const QUALITY: &str = "game.kruise.io/healthy";
/// A killed controller's successor waits for its lease; nothing waits this long when all is well.
const LIMIT: Duration = Duration::from_secs(60);
/// A server that is told to go must say so this soon, unless somebody was killed.
const SOON: Duration = Duration::from_secs(1);
/// And get no new players this soon.
const UNROUTED: Duration = Duration::from_secs(5);

/// What a round does.
#[derive(Debug, Clone)]
pub(super) struct Round {
    /// Id of the server that goes, the highest there is.
    pub(super) victim: u32,
    /// Whether somebody plays on it.
    pub(super) players: bool,
    /// How long they stay once it takes no new ones.
    pub(super) stay: Duration,
    /// Which process of the controllers is killed, and when; times are no promise then.
    pub(super) kill: Option<(usize, Duration)>,
}

/// When things happened, milliseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Timeline {
    /// From the scale-in to the Pod's state PreDelete.
    pub(super) pre_delete: f64,
    /// From the scale-in until the gateway sent no new players.
    pub(super) unrouted: f64,
    /// From the players' leaving (the scale-in, where there are none) until the hook was released.
    pub(super) released: f64,
    /// From the same moment until the Pod was gone.
    pub(super) gone: f64,
}

/// What a round found.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) times: Timeline,
    /// What is left of the server, its Pod, Service, Ingress and GameServer.
    pub(super) leaked: Vec<String>,
    /// What was not as it should be.
    pub(super) complaints: Vec<String>,
}

/// Plays the round. The players are the caller's, who asks what became of them however the round ends.
///
/// # Errors
/// When something that must happen doesn't.
pub(super) async fn play(ground: &Ground, round: &Round, crowd: &mut Crowd) -> Result<Told> {
    let world = &ground.world;
    let victim = server(round.victim);
    let uid = world.pod_uid(&victim)?;
    let door = ground.door(round.victim)?;
    if round.players {
        // At the last moment: Prometheus has not counted them yet.
        crowd.join(&door).await?;
    }
    let mut told = Told::default();
    let begun = Instant::now();
    let smaller = Patch::Merge(json!({"spec": {"replicas": round.victim}}));
    world.sets().patch(SET, &PatchParams::default(), &smaller).await?;
    let draining = |s: &Snapshot| seen(s, &uid, |pod| state(pod) == Some("PreDelete"));
    wait(ground, &format!("{victim} says PreDelete"), draining).await?;
    told.times.pre_delete = milliseconds(begun);
    let known = |s: &e2e::gateway::Seen| !takes_players(s, round.victim);
    ground.discovery.until("that it goes", LIMIT, known).await?;
    if round.players {
        for wire in Wire::ALL {
            refuses(&door, wire).await?;
        }
    }
    told.times.unrouted = milliseconds(begun);
    told.judge_speed(round);

    let mut free_from = begun;
    if round.players {
        stay(ground, round, &uid, crowd, &mut told).await?;
        free_from = Instant::now();
        crowd.leave().await;
    }
    let released = |s: &Snapshot| {
        let server = s.servers.get(&victim);
        server.is_none_or(|server| server.labels().get(BLOCK).map(String::as_str) == Some("false"))
    };
    wait(ground, &format!("{victim} is released"), released).await?;
    told.times.released = milliseconds(free_from);
    let gone = |s: &Snapshot| {
        s.pods
            .get(&victim)
            .is_none_or(|pod| pod.uid().as_ref() != Some(&uid))
    };
    wait(ground, &format!("{victim} is gone"), gone).await?;
    told.times.gone = milliseconds(free_from);
    told.judge_end(&world.now(), &victim, &uid);
    told.leaked = leaked(ground, round.victim).await?;
    Ok(told)
}

impl Told {
    fn judge_speed(&mut self, round: &Round) {
        for (what, took, limit) in [
            ("PreDelete was shown", self.times.pre_delete, SOON),
            ("the last new player was let in", self.times.unrouted, UNROUTED),
        ] {
            if round.kill.is_none() && took > limit.as_secs_f64() * 1000.0 {
                self.complaints
                    .push(format!("{what} {took:.0} ms after the scale-in"));
            }
        }
    }

    /// The probe's word must have come before the release, and the release before the deletion.
    fn judge_end(&mut self, now: &Snapshot, victim: &str, uid: &str) {
        let done = |pod: &Pod| {
            condition(pod).is_some_and(|c| c.status == "True" && c.message.as_deref() == Some("done"))
        };
        if !seen(now, uid, done) {
            self.complaints
                .push(format!("{victim} went without the probe's \"done\""));
        }
        let early = |pod: &Pod| {
            pod.metadata.deletion_timestamp.is_some()
                && pod.labels().get(BLOCK).map(String::as_str) != Some("false")
        };
        if seen(now, uid, early) {
            self.complaints
                .push(format!("{victim} was deleted before it was released"));
        }
    }
}

/// The players stay: their server must too, and new players go elsewhere.
async fn stay(ground: &Ground, round: &Round, uid: &str, crowd: &Crowd, told: &mut Told) -> Result<()> {
    let until = Instant::now() + round.stay;
    let mut complaints = Vec::new();
    for id in 0..round.victim {
        for wire in Wire::ALL {
            if !ground.door(id)?.lets_in(wire).await {
                complaints.push(format!("{} lets nobody in over {wire:?}", server(id)));
            }
        }
    }
    tokio::time::sleep_until(until.into()).await;
    let victim = server(round.victim);
    let now = ground.world.now();
    let going = |pod: &Pod| pod.metadata.deletion_timestamp.is_some();
    if seen(&now, uid, going) || !now.pods.contains_key(&victim) {
        complaints.push(format!("{victim} was deleted while it had players"));
    }
    let block = now
        .servers
        .get(&victim)
        .and_then(|server| server.labels().get(BLOCK));
    if block.map(String::as_str) != Some("true") {
        complaints.push(format!("{victim} was released while it had players: {block:?}"));
    }
    if seen(&now, uid, |pod| {
        condition(pod).is_some_and(|c| c.status == "True")
    }) {
        complaints.push(format!("the probe of {victim} said done while it had players"));
    }
    if crowd.is_cut() {
        complaints.push(format!("a player of {victim} was cut off before it left"));
    }
    told.complaints.extend(complaints);
    Ok(())
}

async fn refuses(door: &Door, wire: Wire) -> Result<()> {
    let begun = Instant::now();
    while door.lets_in(wire).await {
        ensure!(
            begun.elapsed() < LIMIT,
            "{} still lets players in over {wire:?}",
            door.server
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// What is still left of servers from id `from` on, once there was time to collect it.
///
/// # Errors
/// When the API server doesn't answer.
pub(super) async fn leaked(ground: &Ground, from: u32) -> Result<Vec<String>> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let left = ground.left_of(from).await?;
        if left.is_empty() || Instant::now() > deadline {
            return Ok(left);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn wait(ground: &Ground, what: &str, holds: impl Fn(&Snapshot) -> bool) -> Result<()> {
    let found = ground.world.find_within(LIMIT, what, |s| holds(s).then_some(()));
    found.await.with_context(|| format!("{SET}: {what}"))
}

/// Whether any version of the Pod was so.
fn seen(snapshot: &Snapshot, uid: &str, holds: impl Fn(&Pod) -> bool) -> bool {
    let mut versions = snapshot
        .pod_history
        .iter()
        .rev()
        .filter(|pod| pod.metadata.uid.as_deref() == Some(uid));
    versions.any(|pod| holds(pod))
}

fn state(pod: &Pod) -> Option<&str> {
    pod.labels().get(label::GS_STATE).map(String::as_str)
}

fn condition(pod: &Pod) -> Option<&PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == QUALITY)
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

//! Servers that wait for their last player, and how long.

use api_types::{DeletionClaim, GameServerSetView, keys::claim_reason};
use jiff::Timestamp;

use super::failures::Suspect;
use crate::{
    observe::Observed,
    plan::{
        ids::{Id, IdSet},
        server::{Server, Stage},
        update::UpdatePlan,
    },
    views::GameServerView,
};

/// `spec.players.drainWhenEmpty`.
pub fn drains(set: &GameServerSetView) -> bool {
    let players = set.spec.players.as_ref();
    players.and_then(|players| players.drain_when_empty) == Some(true)
}

/// What a claimed server waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Nothing: it goes now.
    Over,
    /// Nothing but its time: it had players until the end.
    TimedOut,
    /// Its players, for so many seconds more; `None`: however long it takes.
    ForPlayers(Option<i64>),
}

/// Whether a claimed server still waits for its players. Asked again and again, and answered from the API alone: a controller
/// that has just started waits as long as the one before would have.
pub fn wait(set: &GameServerSetView, found: &GameServerView, claim: &DeletionClaim, now: Timestamp) -> Wait {
    let waits = claim.reason == claim_reason::DRAINING && claim.empty != Some(true);
    if !waits {
        return Wait::Over;
    }
    // Who turns draining off, or orders the kill, does not want to wait any more.
    let kill = found.ops_state() == api_types::ops_state::KILL;
    if kill || !(drains(set) || found.is_marked()) {
        return Wait::TimedOut;
    }
    let players = set.spec.players.as_ref();
    let timeout = players.and_then(|players| players.drain_timeout_seconds);
    // A time that cannot be read was written by somebody else; it never ends.
    let since = claim.time.parse::<Timestamp>().ok();
    let left = timeout
        .zip(since)
        .map(|(timeout, since)| i64::from(timeout) - (now.as_second() - since.as_second()));
    match left {
        Some(left) if left <= 0 => Wait::TimedOut,
        left => Wait::ForPlayers(left),
    }
}

/// Seconds until the first server that drains has waited long enough.
pub fn wake(observed: &Observed) -> Option<i64> {
    let draining = observed
        .servers
        .iter()
        .filter(|server| server.stage() == Some(&Stage::Draining) && server.players > 0);
    draining
        .filter_map(|server| {
            let found = observed.game_servers.get(&server.id)?;
            match wait(
                &observed.set,
                found,
                found.deletion_claim.as_ref()?,
                observed.clock,
            ) {
                Wait::ForPlayers(left) => left,
                Wait::Over | Wait::TimedOut => Some(0),
            }
        })
        .min()
}

/// Those that an update replaces and players are on: their Pods stay, and other ids take their place.
pub fn drained_by(update: &UpdatePlan, observed: &Observed) -> IdSet {
    if !drains(&observed.set) {
        return IdSet::new();
    }
    let with_players = |id: &Id| {
        let at = observed.servers.binary_search_by_key(id, |server| server.id).ok();
        at.and_then(|at| observed.servers.get(at))
            .is_some_and(|server| server.is_live() && server.players > 0)
    };
    let replaced = update.recreate.iter().map(|deletion| deletion.id);
    replaced.filter(with_players).collect()
}

/// The servers whose failures count.
pub fn suspects(observed: &Observed) -> Vec<Suspect<'_>> {
    let suspect = |server: &Server| {
        let pod = observed.pods.get(&server.id)?;
        let seen = server.pod.as_ref().filter(|seen| seen.uid == pod.metadata.uid)?;
        let found = observed.game_servers.get(&server.id);
        let heard = found.and_then(|found| found.heard_of(&seen.uid));
        Some(Suspect {
            id: server.id,
            pod_uid: pod.metadata.uid.as_str(),
            pod_failed: pod.phase.as_deref() == Some("Failed"),
            reported: heard.is_some_and(|heard| heard.failed),
            heartbeat: heard.and_then(|heard| heard.heartbeat),
            leaving: !matches!(seen.stage, Stage::Live | Stage::Ended),
        })
    };
    observed.servers.iter().filter_map(suspect).collect()
}

#[cfg(test)]
// Literals of `json!` read best where they are passed.
#[allow(clippy::needless_pass_by_value)]
mod tests {
    use serde_json::json;

    use super::*;

    fn decide(players: serde_json::Value, spec: serde_json::Value, claim: serde_json::Value) -> Wait {
        let set: GameServerSetView = serde_json::from_value(json!({
            "metadata": { "name": "arena" },
            "spec": { "replicas": 1, "gameServerTemplate": {}, "players": players },
        }))
        .unwrap();
        let found: GameServerView = serde_json::from_value(json!({
            "metadata": {}, "spec": spec, "status": { "deletionClaim": claim },
        }))
        .unwrap();
        let claim = found.deletion_claim.clone().unwrap();
        wait(&set, &found, &claim, "2026-05-04T03:02:01Z".parse().unwrap())
    }

    #[test]
    fn a_server_waits_for_its_players_as_long_as_the_set_says() {
        let claim = |reason: &str, seconds: i64| json!({ "podUID": "p", "reason": reason, "time": format!("2026-05-04T03:02:{seconds:02}Z") });
        let drain = json!({ "drainWhenEmpty": true, "drainTimeoutSeconds": 10 });
        let none = json!({});
        assert_eq!(
            decide(drain.clone(), none.clone(), claim("Draining", 0)),
            Wait::ForPlayers(Some(9))
        );
        let old = json!({ "podUID": "p", "reason": "Draining", "time": "2026-05-04T03:01:51Z" });
        assert_eq!(decide(drain.clone(), none.clone(), old), Wait::TimedOut);
        assert_eq!(
            decide(drain.clone(), none.clone(), claim("ScaleIn", 0)),
            Wait::Over
        );
        let sealed =
            json!({ "podUID": "p", "reason": "Draining", "time": "2026-05-04T03:02:00Z", "empty": true });
        assert_eq!(decide(drain.clone(), none.clone(), sealed), Wait::Over);
        let endless = json!({ "drainWhenEmpty": true });
        assert_eq!(
            decide(endless, none.clone(), claim("Draining", 0)),
            Wait::ForPlayers(None)
        );
        assert_eq!(
            decide(json!({}), none, claim("Draining", 0)),
            Wait::TimedOut,
            "turned off"
        );
        let marked = json!({ "markedForDeletion": true });
        assert_eq!(
            decide(json!({}), marked, claim("Draining", 0)),
            Wait::ForPlayers(None)
        );
        let kill = json!({ "markedForDeletion": true, "opsState": "Kill" });
        assert_eq!(decide(drain, kill, claim("Draining", 0)), Wait::TimedOut);
    }
}

//! Which changes of Pods and GameServers matter to their set, and how soon. Pure.
//!
//! A pass costs time in proportion to the set's size, so events are gathered for a moment: 500 Pods becoming ready within a
//! second are a handful of passes, not 500.

use std::time::Duration;

use api_types::{
    keys::{annotation, label, lifecycle},
    ops_state,
    views::Meta,
};
use controller_kit::watch::Change;

use crate::{
    apply::PLAYERS_INTERVAL,
    plan::departing,
    views::{ClaimView, GameServerView, PodView},
};

/// How soon a set is looked at after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relevance {
    /// Nothing that the plan or the status rests on.
    None,
    /// Only the sum of the players changes by it.
    Players,
    /// Shows in the status, or in who would be chosen another time.
    Status,
    /// May change the plan.
    Plan,
}

impl Relevance {
    /// How long changes are gathered; `None` when there is nothing to do.
    pub fn delay(self) -> Option<Duration> {
        match self {
            Self::None => None,
            // A game with a thousand servers reports many times a second, and a pass looks at all of them.
            Self::Players => Some(PLAYERS_INTERVAL),
            Self::Status => Some(Duration::from_millis(200)),
            Self::Plan => Some(Duration::from_millis(20)),
        }
    }
}

/// How a Pod's change matters.
pub fn of_pod(change: &Change<PodView>) -> Relevance {
    let Change::Applied { old: Some(old), new } = change else {
        return Relevance::Plan;
    };
    // While it is updated in place, what its containers run is what is waited for.
    let updating = new.metadata.label(label::LIFECYCLE_STATE) == Some(lifecycle::UPDATING);
    if updating && (old.container_statuses != new.container_statuses || old.containers != new.containers) {
        return Relevance::Plan;
    }
    if deciding_of_pod(old) != deciding_of_pod(new) || !of_others(&old.metadata).eq(of_others(&new.metadata))
    {
        return Relevance::Plan;
    }
    if old.conditions == new.conditions {
        // A hook could name what pod-sync writes, too.
        let same = old.metadata.labels == new.metadata.labels;
        if same { Relevance::None } else { Relevance::Status }
    } else if new
        .metadata
        .annotation(annotation::IN_PLACE_UPDATE_STATE)
        .is_some()
    {
        // One that comes back into service after an update in place makes room for the next.
        Relevance::Plan
    } else {
        Relevance::Status
    }
}

/// What of a Pod decides about the plan, besides its labels.
fn deciding_of_pod(pod: &PodView) -> impl PartialEq {
    (
        pod.metadata.is_terminating(),
        &pod.phase,
        &pod.metadata.owner_references,
        &pod.metadata.finalizers,
        departing::reason(pod),
    )
}

/// Labels that carry the GameServer's wishes and the server's state to the Pod: this controller reads both elsewhere, and they
/// change with every allocation. At 50 allocations a second to a set of 500 servers, passes at once for them took 18 % of a core.
const SYNCED: [&str; 6] = [
    label::GS_STATE,
    label::GS_OPS_STATE,
    label::GS_UPDATE_PRIORITY,
    label::GS_DELETE_PRIORITY,
    label::NETWORK_DISABLED,
    label::SAFE_TO_EVICT,
];

/// The labels that are not pod-sync's.
fn of_others(metadata: &Meta) -> impl Iterator<Item = (&str, &str)> {
    metadata.labels.iter().filter(|(key, _)| !SYNCED.contains(key))
}

/// How a volume claim's change matters. Its size and its conditions do not.
pub fn of_claim(change: &Change<ClaimView>) -> Relevance {
    let Change::Applied { old: Some(old), new } = change else {
        return Relevance::Plan;
    };
    let deciding = |claim: &ClaimView| {
        (
            claim.phase.clone(),
            claim.metadata.is_terminating(),
            claim.metadata.owner_references.clone(),
            claim.metadata.labels.clone(),
        )
    };
    if deciding(old) == deciding(new) {
        Relevance::None
    } else {
        Relevance::Plan
    }
}

/// How a GameServer's change matters. Its status, written several times in a server's life, does not, except for the claim and
/// what the server reports.
pub fn of_game_server(change: &Change<GameServerView>) -> Relevance {
    let Change::Applied { old: Some(old), new } = change else {
        return Relevance::Plan;
    };
    let players = |found: &GameServerView| found.heard.as_ref().map_or(0, |heard| heard.players);
    // Somebody waits for this one to be empty, and it is.
    let emptied = players(old) > 0 && players(new) == 0 && (new.deletion_claim.is_some() || new.is_marked());
    if emptied
        || deciding_of_game_server(old) != deciding_of_game_server(new)
        || (old.ops_state() != new.ops_state() && new.ops_state() == ops_state::KILL)
    {
        Relevance::Plan
    } else if old.spec != new.spec {
        Relevance::Status
    } else if said(old) != said(new) {
        Relevance::Players
    } else {
        Relevance::None
    }
}

fn deciding_of_game_server(found: &GameServerView) -> impl PartialEq {
    (
        &found.deletion_claim,
        [label::OWNER_GSS, label::GS_DELETING].map(|key| found.metadata.label(key)),
        &found.metadata.deletion_timestamp,
        found.spec.marked_for_deletion,
        found.heard.as_ref().is_some_and(|heard| heard.failed),
    )
}

/// What a server reported about players, with whose report it is. Heartbeats alone are no news: who waits for one to stop looks
/// again by itself, at the time at which the last one it knew of would be overdue.
fn said(found: &GameServerView) -> Option<(&str, u32, Option<u32>)> {
    let heard = found.heard.as_deref()?;
    Some((heard.pod_uid.as_str(), heard.players, heard.capacity))
}

#[cfg(test)]
// Literals of `json!` read best where they are passed.
#[allow(clippy::needless_pass_by_value)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    fn game_server(spec: Value, status: Value) -> Arc<GameServerView> {
        Arc::new(
            serde_json::from_value(json!({ "metadata": { "name": "a-0" }, "spec": spec, "status": status }))
                .unwrap(),
        )
    }

    #[test]
    fn a_game_servers_own_status_is_no_reason_to_plan() {
        let change = |old, new| of_game_server(&Change::Applied { old: Some(old), new });
        let plain = game_server(json!({}), json!({}));
        assert_eq!(
            change(
                plain.clone(),
                game_server(json!({}), json!({ "currentState": "Ready" }))
            ),
            Relevance::None
        );
        assert_eq!(
            change(
                plain.clone(),
                game_server(json!({ "opsState": "Kill" }), json!({}))
            ),
            Relevance::Plan
        );
        for wish in [
            json!({ "opsState": "Allocated" }),
            json!({ "deletionPriority": 3 }),
        ] {
            assert_eq!(
                change(plain.clone(), game_server(wish, json!({}))),
                Relevance::Status
            );
        }
        let claim = json!({ "deletionClaim": { "podUID": "u", "reason": "ScaleIn", "time": "" } });
        assert_eq!(
            change(plain.clone(), game_server(json!({}), claim)),
            Relevance::Plan
        );
        assert_eq!(of_game_server(&Change::Deleted(plain)), Relevance::Plan);
    }

    #[test]
    fn players_can_wait_until_somebody_waits_for_the_last_one() {
        let change = |old, new| of_game_server(&Change::Applied { old: Some(old), new });
        let with = |count: u32, second: u32, claim: Value| {
            let heartbeat = format!("2026-05-04T03:02:{second:02}Z");
            let reported = json!({ "podUID": "u", "heartbeatAt": heartbeat });
            let status =
                json!({ "players": { "count": count }, "reported": reported, "deletionClaim": claim });
            game_server(json!({}), status)
        };
        let claim = json!({ "podUID": "u", "reason": "Draining", "time": "" });
        assert_eq!(
            change(with(1, 0, json!(null)), with(2, 0, json!(null))),
            Relevance::Players
        );
        assert_eq!(
            change(with(1, 0, json!(null)), with(0, 0, json!(null))),
            Relevance::Players
        );
        assert_eq!(
            change(with(1, 0, json!(null)), with(1, 9, json!(null))),
            Relevance::None
        );
        assert_eq!(
            change(with(2, 0, claim.clone()), with(1, 0, claim.clone())),
            Relevance::Players
        );
        assert_eq!(
            change(with(1, 0, claim.clone()), with(0, 0, claim)),
            Relevance::Plan
        );
        let marked = game_server(json!({ "markedForDeletion": true }), json!({}));
        assert_eq!(change(game_server(json!({}), json!({})), marked), Relevance::Plan);
    }

    #[test]
    fn what_pod_sync_writes_can_wait_and_what_a_hook_names_can_not() {
        let pod = |key: &str, value: &str| -> Arc<PodView> {
            Arc::new(serde_json::from_value(json!({ "metadata": { "labels": { key: value } } })).unwrap())
        };
        let change = |key| {
            of_pod(&Change::Applied {
                old: Some(pod(key, "true")),
                new: pod(key, "false"),
            })
        };
        assert_eq!(change("game.kruise.io/gs-opsState"), Relevance::Status);
        assert_eq!(change("gs-sync/delete-block"), Relevance::Plan);
        assert_eq!(change("lifecycle.apps.kruise.io/state"), Relevance::Plan);
    }

    #[test]
    fn a_pods_readiness_only_shows_in_the_status() {
        let pod = |phase: &str, ready: &str| -> Arc<PodView> {
            let status = json!({ "phase": phase, "conditions": [{ "type": "Ready", "status": ready }] });
            Arc::new(serde_json::from_value(json!({ "metadata": {}, "status": status })).unwrap())
        };
        let change = |old, new| of_pod(&Change::Applied { old: Some(old), new });
        assert_eq!(
            change(pod("Running", "False"), pod("Running", "True")),
            Relevance::Status
        );
        assert_eq!(
            change(pod("Running", "True"), pod("Failed", "False")),
            Relevance::Plan
        );
        assert_eq!(
            change(pod("Running", "True"), pod("Running", "True")),
            Relevance::None
        );
    }
}

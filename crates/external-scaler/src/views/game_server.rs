//! A GameServer: whose it is, and what it counts as.

use std::time::Duration;

use api_types::{
    ops_state,
    views::{Meta, ScaledServer, shared},
};
use controller_kit::key::ObjectKey;
use jiff::Timestamp;
use serde::Deserialize;

use crate::plan::Standing;

/// A GameServer as it is kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "ScaledServer")]
pub(crate) struct GameServerView {
    /// Identity.
    pub metadata: Meta,
    /// Its set, and what it counts as there; `None` for one that belongs to none or is being taken away.
    pub share: Option<(ObjectKey, Standing)>,
}

/// A kubelet writes a Pod's start and its first conditions in one go, to the second.
const AT_ONCE: Duration = Duration::from_secs(2);

/// What a server that stays counts as.
fn standing(server: &ScaledServer) -> Standing {
    match ops_state::normalise(server.spec.ops_state.as_deref()) {
        ops_state::NONE => readiness(server),
        ops_state::WAIT_TO_BE_DELETED => Standing::WaitToBeDeleted,
        ops_state::KILL => Standing::Kill,
        _ => Standing::Taken,
    }
}

fn readiness(server: &ScaledServer) -> Standing {
    match server.status.current_state.as_deref() {
        Some("Ready") => Standing::Available,
        // No state has been written yet, or it starts, or it is in the hands of an update.
        None | Some("" | "Creating" | "PreUpdate" | "Updating") => Standing::Coming,
        Some("NotReady") if was_never_ready(server) => Standing::Coming,
        _ => Standing::Broken,
    }
}

/// Whether the Pod has not been ready since it started: its `Ready` is as old as itself.
fn was_never_ready(server: &ScaledServer) -> bool {
    let pod = &server.status.pod_status;
    let time = |text: Option<&str>| text?.parse::<Timestamp>().ok();
    let ready = pod.conditions.iter().find(|condition| condition.type_ == "Ready");
    let changed = ready.and_then(|ready| time(ready.last_transition_time.as_deref()));
    let Some((changed, started)) = changed.zip(time(pod.start_time.as_deref())) else {
        return true;
    };
    started.checked_add(AT_ONCE).is_ok_and(|limit| changed <= limit)
}

impl From<ScaledServer> for GameServerView {
    fn from(server: ScaledServer) -> Self {
        let share = server.owner_set().map(|name| {
            let namespace = shared(&server.metadata.namespace);
            (ObjectKey::new(namespace, shared(name)), standing(&server))
        });
        Self {
            share: share.filter(|_| !server.leaves()),
            metadata: server.metadata.into_identity().without_owners(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn standing(edit: impl FnOnce(&mut Value)) -> Option<Standing> {
        let mut server = json!({
            "metadata": {"name": "arena-0", "namespace": "games", "labels": {"game.kruise.io/owner-gss": "arena"}},
            "spec": {"opsState": "None"},
            "status": {"currentState": "Ready", "podStatus": {"startTime": "2026-01-01T00:00:00Z", "conditions": [
                {"type": "Initialized", "lastTransitionTime": "2026-01-01T00:09:00Z"},
                {"type": "Ready", "lastTransitionTime": "2026-01-01T00:00:01Z"}]}},
        });
        edit(&mut server);
        let view: GameServerView = serde_json::from_value(server).unwrap();
        view.share.map(|(_, standing)| standing)
    }

    #[test]
    fn only_a_free_server_that_is_ready_is_available() {
        let in_state = |ops_state: &str, state: &str| {
            standing(|it| {
                it["spec"]["opsState"] = json!(ops_state);
                it["status"]["currentState"] = json!(state);
            })
        };
        let table = [
            ("None", "Ready", Standing::Available),
            ("", "Ready", Standing::Available),
            ("None", "Creating", Standing::Coming),
            ("None", "NotReady", Standing::Coming),
            ("None", "Updating", Standing::Coming),
            ("None", "Crash", Standing::Broken),
            ("None", "Unknown", Standing::Broken),
            ("Allocated", "Ready", Standing::Taken),
            ("Maintaining", "Ready", Standing::Taken),
            ("Reserved-by-me", "Crash", Standing::Taken),
            ("WaitToBeDeleted", "Ready", Standing::WaitToBeDeleted),
            ("Kill", "Ready", Standing::Kill),
        ];
        for (ops_state, state, expected) in table {
            assert_eq!(in_state(ops_state, state), Some(expected), "{ops_state} {state}");
        }
        assert_eq!(in_state("None", "PreDelete"), None);
        assert_eq!(in_state("Allocated", "Deleting"), None);
    }

    #[test]
    fn a_server_that_was_ready_and_is_not_is_broken() {
        let lost = standing(|it| {
            it["status"]["currentState"] = json!("NotReady");
            it["status"]["podStatus"]["conditions"][1]["lastTransitionTime"] = json!("2026-01-01T00:05:00Z");
        });
        assert_eq!(lost, Some(Standing::Broken));
        let untold = standing(|it| it["status"] = json!({"currentState": "NotReady"}));
        assert_eq!(untold, Some(Standing::Coming));
        assert_eq!(standing(|it| it["status"] = json!({})), Some(Standing::Coming));
    }

    #[test]
    fn a_server_that_is_being_taken_away_counts_as_nothing() {
        let edits: [fn(&mut Value); 4] = [
            |it| it["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"),
            |it| it["status"]["deletionClaim"] = json!({"podUID": "p1"}),
            |it| it["spec"]["markedForDeletion"] = json!(true),
            |it| it["metadata"]["labels"] = json!({}),
        ];
        for edit in edits {
            assert_eq!(standing(edit), None);
        }
    }
}

//! A GameServer: whose it is, whether it stays, and its players.

use api_types::{
    ops_state,
    views::{Meta, ScaledServer, shared},
};
use controller_kit::key::ObjectKey;
use serde::Deserialize;

use crate::totals::Share;

/// A GameServer as this controller keeps it.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "ScaledServer")]
pub(crate) struct GameServerView {
    /// Identity.
    pub metadata: Meta,
    /// Its set, and what it adds to it; `None` for one that belongs to none or is on its way out.
    pub share: Option<(ObjectKey, Share)>,
}

/// Whether the players were reported by the Pod that is there now.
fn is_fresh(server: &ScaledServer) -> bool {
    let reporter = server.status.reported.pod_uid.as_str();
    let owner = server.metadata.controller().filter(|owner| owner.kind == "Pod");
    if let Some(pod) = owner {
        return pod.uid == reporter;
    }
    // The record outlives its Pods: what was last said before this one started was said by one before it.
    let time = |text: &Option<String>| text.as_deref()?.parse::<jiff::Timestamp>().ok();
    let reported = time(&server.status.players.reported_at);
    let started = time(&server.status.pod_status.start_time);
    reported
        .zip(started)
        .is_none_or(|(reported, started)| reported >= started)
}

impl From<ScaledServer> for GameServerView {
    fn from(server: ScaledServer) -> Self {
        let set = server.owner_set().map(|name| {
            let namespace = shared(&server.metadata.namespace);
            ObjectKey::new(namespace, shared(name))
        });
        let fresh = is_fresh(&server);
        let share = Share {
            players: if fresh { server.status.players.count } else { 0 },
            capacity: server.status.players.capacity.filter(|_| fresh),
        };
        // Killed, it goes with its players.
        let killed = server.spec.ops_state.as_deref() == Some(ops_state::KILL);
        let stays = !server.leaves() && !killed;
        Self {
            share: set.filter(|_| stays).map(|set| (set, share)),
            metadata: server.metadata.into_identity().without_owners(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn share(edit: impl FnOnce(&mut Value)) -> Option<(ObjectKey, Share)> {
        let mut server = json!({
            "metadata": {"name": "arena-0", "namespace": "games", "labels": {"game.kruise.io/owner-gss": "arena"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "arena-0", "uid": "p1", "controller": true}]},
            "spec": {"opsState": "Allocated"},
            "status": {"currentState": "Ready", "players": {"count": 7, "capacity": 12, "reportedAt": "2026-01-01T00:00:05Z"},
                "reported": {"podUID": "p1"}, "podStatus": {"startTime": "2026-01-01T00:00:00Z"}},
        });
        edit(&mut server);
        serde_json::from_value::<GameServerView>(server).unwrap().share
    }

    #[test]
    fn a_server_that_stays_adds_its_players_and_capacity() {
        let (set, share) = share(|_| {}).unwrap();
        assert_eq!(
            (set.to_string().as_str(), share.players, share.capacity),
            ("games/arena", 7, Some(12))
        );
    }

    #[test]
    fn a_server_on_its_way_out_adds_nothing() {
        let out: [fn(&mut Value); 7] = [
            |it| it["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"),
            |it| it["status"]["deletionClaim"] = json!({"podUID": "p1", "reason": "ScaleIn", "time": "x"}),
            |it| it["spec"]["markedForDeletion"] = json!(true),
            |it| it["spec"]["opsState"] = json!("Kill"),
            |it| it["status"]["currentState"] = json!("Deleting"),
            |it| it["status"]["currentState"] = json!("PreDelete"),
            |it| it["metadata"]["labels"] = json!({}),
        ];
        for edit in out {
            assert_eq!(share(edit), None);
        }
    }

    #[test]
    fn a_new_pod_begins_without_players() {
        let players = |edit: fn(&mut Value)| share(edit).unwrap().1.players;
        assert_eq!(players(|it| it["status"]["reported"]["podUID"] = json!("p0")), 0);
        assert_eq!(players(|it| it["status"]["reported"] = json!({})), 0);
        // A record that the set owns outlives its Pods, and does not name the one that is there.
        let owned_by_set = |it: &mut Value| {
            it["metadata"]["ownerReferences"][0]["kind"] = json!("GameServerSet");
            it["status"]["reported"] = json!({});
        };
        assert_eq!(share(owned_by_set).unwrap().1.players, 7);
        let restarted = |it: &mut Value| {
            owned_by_set(it);
            it["status"]["podStatus"]["startTime"] = json!("2026-01-01T00:01:00Z");
        };
        let (_, share) = share(restarted).unwrap();
        assert_eq!((share.players, share.capacity), (0, None));
    }

    #[test]
    fn a_bare_server_has_no_players() {
        let bare: GameServerView = serde_json::from_value(
            json!({"metadata": {"name": "a-0", "labels": {"game.kruise.io/owner-gss": "a"}}}),
        )
        .unwrap();
        assert_eq!(bare.share.unwrap().1.players, 0);
    }
}

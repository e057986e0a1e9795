//! What of a GameServer those read who count or scale the servers of a set. It is decoded and counted, and not kept.

use serde::Deserialize;

use super::Meta;
use crate::keys::label;

/// A GameServer as one of its set's servers.
#[derive(Debug, Deserialize)]
pub struct ScaledServer {
    /// Metadata.
    pub metadata: Meta,
    /// What is wanted of it.
    #[serde(default)]
    pub spec: ScaledSpec,
    /// How it is.
    #[serde(default)]
    pub status: ScaledStatus,
}

/// What is wanted of a server.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ScaledSpec {
    /// Its opsState, as it is written.
    pub ops_state: Option<String>,
    /// Whether it is to go once its players have left.
    pub marked_for_deletion: bool,
}

/// How a server is.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ScaledStatus {
    /// Its state.
    pub current_state: Option<String>,
    /// What it reported of its players.
    pub players: ScaledPlayers,
    /// Whose report it is.
    pub reported: ScaledReport,
    /// Of its Pod.
    pub pod_status: ScaledPod,
    deletion_claim: Option<Present>,
}

/// Something whose being there is all that matters.
#[derive(Debug, Deserialize)]
struct Present {}

/// Players on a server.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ScaledPlayers {
    /// How many there are.
    pub count: u32,
    /// How many it takes, where that differs from the set's.
    pub capacity: Option<u32>,
    /// RFC 3339 time of the report.
    pub reported_at: Option<String>,
}

/// Who reported.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ScaledReport {
    /// UID of the Pod; empty where nobody did.
    #[serde(rename = "podUID")]
    pub pod_uid: String,
}

/// The Pod's status.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ScaledPod {
    /// RFC 3339 time at which a kubelet took the Pod.
    pub start_time: Option<String>,
    /// Its conditions.
    pub conditions: Vec<ScaledCondition>,
}

/// When a condition of a Pod changed.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ScaledCondition {
    /// Which condition.
    #[serde(rename = "type")]
    pub type_: String,
    /// RFC 3339 time.
    pub last_transition_time: Option<String>,
}

impl ScaledServer {
    /// Name of its set.
    pub fn owner_set(&self) -> Option<&str> {
        self.metadata.label(label::OWNER_GSS)
    }

    /// Whether the server will not be there for new players: its place in the set is, or is about to be, another's.
    pub fn leaves(&self) -> bool {
        let state = self.status.current_state.as_deref();
        self.metadata.is_terminating()
            || self.spec.marked_for_deletion
            || self.status.deletion_claim.is_some()
            || matches!(state, Some("Deleting" | "PreDelete"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn server(edit: impl FnOnce(&mut Value)) -> ScaledServer {
        let mut server = json!({
            "metadata": {"name": "arena-0", "namespace": "games", "labels": {"game.kruise.io/owner-gss": "arena"}},
            "spec": {"opsState": "Allocated"},
            "status": {"currentState": "Ready"},
        });
        edit(&mut server);
        serde_json::from_value(server).unwrap()
    }

    #[test]
    fn whatever_takes_a_server_away_makes_it_leave() {
        assert!(!server(|_| {}).leaves());
        let taken: [fn(&mut Value); 5] = [
            |it| it["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"),
            |it| it["status"]["deletionClaim"] = json!({"podUID": "p1", "reason": "ScaleIn", "time": "x"}),
            |it| it["spec"]["markedForDeletion"] = json!(true),
            |it| it["status"]["currentState"] = json!("Deleting"),
            |it| it["status"]["currentState"] = json!("PreDelete"),
        ];
        for edit in taken {
            assert!(server(edit).leaves());
        }
    }

    #[test]
    fn a_bare_server_is_read() {
        let bare: ScaledServer = serde_json::from_value(json!({"metadata": {"name": "a-0"}})).unwrap();
        assert_eq!((bare.owner_set(), bare.leaves()), (None, false));
        assert_eq!(server(|_| {}).owner_set(), Some("arena"));
    }
}

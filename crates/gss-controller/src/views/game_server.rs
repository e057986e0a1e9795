//! A GameServer as this controller keeps it.

use api_types::{DeletionClaim, GameServerSpec, keys::label, ops_state, views::Meta};
use jiff::Timestamp;
use serde::Deserialize;

/// A GameServer: what is wanted of it, and of its status the deletion claim and what the server reported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Wire")]
pub struct GameServerView {
    /// Metadata without `kubectl`'s copy of the object.
    pub metadata: Meta,
    /// What operators, allocators and service qualities want of the server.
    pub spec: GameServerSpec,
    /// Whether, and why, the server is being taken away.
    pub deletion_claim: Option<DeletionClaim>,
    /// What the server reported; most games never do, and pay a pointer.
    pub heard: Option<Box<Heard>>,
}

/// What a server reported, in a hundred bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// UID of the Pod whose report it is.
    pub pod_uid: String,
    /// Players on it.
    pub players: u32,
    /// How many it takes, where it said so.
    pub capacity: Option<u32>,
    /// Whether it called itself failed.
    pub failed: bool,
    /// When it was last heard, in seconds since 1970; `None` where that is not known.
    pub heartbeat: Option<i64>,
}

impl GameServerView {
    /// The opsState to act on.
    pub fn ops_state(&self) -> &str {
        ops_state::normalise(self.spec.ops_state.as_deref())
    }

    /// Name of the GameServerSet the GameServer is labelled with.
    pub fn owner_set(&self) -> Option<&str> {
        self.metadata.label(label::OWNER_GSS)
    }

    /// What this very Pod reported. A report of an earlier one says nothing about it.
    pub fn heard_of(&self, pod_uid: &str) -> Option<&Heard> {
        self.heard.as_deref().filter(|heard| heard.pod_uid == pod_uid)
    }

    /// Players on this Pod; where none were reported, there are none.
    pub fn players_of(&self, pod_uid: &str) -> u32 {
        self.heard_of(pod_uid).map_or(0, |heard| heard.players)
    }

    /// Whether operators want the server to go when it is empty.
    pub fn is_marked(&self) -> bool {
        self.spec.marked_for_deletion == Some(true)
    }
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    metadata: Meta,
    #[serde(default)]
    spec: GameServerSpec,
    #[serde(default)]
    status: WireStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireStatus {
    deletion_claim: Option<DeletionClaim>,
    players: Option<WirePlayers>,
    reported: Option<WireReported>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WirePlayers {
    count: u32,
    capacity: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireReported {
    #[serde(rename = "podUID")]
    pod_uid: String,
    health: Option<String>,
    heartbeat_at: Option<String>,
}

impl From<Wire> for GameServerView {
    fn from(wire: Wire) -> Self {
        let status = wire.status;
        let players = status.players.unwrap_or_default();
        let heard = status
            .reported
            .filter(|reported| !reported.pod_uid.is_empty())
            .map(|reported| {
                Box::new(Heard {
                    pod_uid: reported.pod_uid,
                    players: players.count,
                    capacity: players.capacity,
                    failed: reported.health.as_deref() == Some("Failed"),
                    heartbeat: reported
                        .heartbeat_at
                        .and_then(|time| time.parse::<Timestamp>().ok())
                        .map(Timestamp::as_second),
                })
            });
        Self {
            metadata: wire.metadata,
            spec: wire.spec,
            deletion_claim: status.deletion_claim,
            heard,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_is_one_pods() {
        let found: GameServerView = serde_json::from_value(json!({
            "metadata": { "name": "arena-0" },
            "status": {
                "players": { "count": 7, "capacity": 16, "reportedAt": "2026-05-04T03:02:01Z" },
                "reported": { "podUID": "p", "health": "Failed", "state": "Running", "heartbeatAt": "2026-05-04T03:02:01Z" },
            },
        }))
        .unwrap();
        let heard = found.heard_of("p").unwrap();
        assert_eq!((heard.players, heard.capacity, heard.failed), (7, Some(16), true));
        assert_eq!(heard.heartbeat, Some(1_777_863_721));
        assert_eq!(found.players_of("q"), 0);
    }

    #[test]
    fn players_of_no_pod_count_for_nobody_and_a_strange_time_is_none() {
        let found = |status| -> GameServerView {
            serde_json::from_value(json!({ "metadata": {}, "status": status })).unwrap()
        };
        assert_eq!(found(json!({ "players": { "count": 3 } })).heard, None);
        let strange = found(json!({ "reported": { "podUID": "p", "heartbeatAt": "yesterday" } }));
        assert_eq!(strange.heard_of("p").unwrap().heartbeat, None);
    }
}

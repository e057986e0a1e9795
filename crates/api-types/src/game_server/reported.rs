//! What a game server says about itself: written by game-api from the server's own reports, and by nothing else.
//!
//! A report is one Pod's. [`Reported::pod_uid`] says whose; a new Pod of the name starts with no players, no state and no
//! health, whatever the status still holds of the one before. [`Report`] answers for one Pod.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    open_enum::{empty_as_none, open_enum},
    schema::date_time,
};

/// The most players a server may report, and the largest capacity.
pub const MOST_PLAYERS: u32 = 1_000_000;
/// The longest reason a server may give for its health, in characters.
pub const LONGEST_HEALTH_REASON: u32 = 256;

/// Players of one server, as it reported them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ReportedPlayers {
    /// Players who are on the server.
    pub count: u32,
    /// How many players the server takes, where it said so; otherwise the set's spec.players.capacity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
    /// When count or capacity last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time")]
    pub reported_at: Option<String>,
}

open_enum! {
    /// Where a server is in its match. Informative: nothing in Gamekeeper acts on it.
    ReportedState {
        /// No match.
        Idle,
        /// A match was given to the server, and it waits for the players.
        Assigned,
        /// The match is on.
        Running,
        /// The match is over.
        PostMatch,
    }
}

open_enum! {
    /// How a server says it is.
    ReportedHealth {
        /// It starts.
        Creating,
        /// It is well.
        Healthy,
        /// It can do no more work; the set's failurePolicy says what follows.
        Failed,
    }
}

/// What one server reported, apart from its players.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Reported {
    /// UID of the Pod whose reports these are, players included. For any other Pod nothing has been reported.
    #[serde(rename = "podUID")]
    pub pod_uid: String,
    /// Where the server is in its match: Idle, Assigned, Running or PostMatch.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "empty_as_none")]
    pub state: Option<ReportedState>,
    /// How the server says it is: Creating, Healthy or Failed.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "empty_as_none")]
    pub health: Option<ReportedHealth>,
    /// Why the health is what it is, in the server's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_reason: Option<String>,
    /// When state, health or its reason last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time")]
    pub reported_at: Option<String>,
    /// When the server was last heard. Renewed with every change; without one, three times within the set's heartbeat timeout, and
    /// not at all where the set has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time")]
    pub heartbeat_at: Option<String>,
}

/// What a GameServer's status holds of its server's reports: `status.players` and `status.reported`.
///
/// For narrow views of GameServers: decode the two fields as they are, and ask for the Pod that is there now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// `status.players`.
    pub players: Option<ReportedPlayers>,
    /// `status.reported`.
    pub reported: Option<Box<Reported>>,
}

impl Report {
    /// What this Pod reported; `None` while it has reported nothing.
    pub fn of(&self, pod_uid: &str) -> Option<&Reported> {
        self.reported
            .as_deref()
            .filter(|reported| !pod_uid.is_empty() && reported.pod_uid == pod_uid)
    }

    /// Players this Pod reported.
    pub fn players_of(&self, pod_uid: &str) -> Option<&ReportedPlayers> {
        self.of(pod_uid).and(self.players.as_ref())
    }

    /// How many players are on this Pod; none have been reported, none are there.
    pub fn count_of(&self, pod_uid: &str) -> u32 {
        self.players_of(pod_uid).map_or(0, |players| players.count)
    }

    /// How this Pod said it is.
    pub fn health_of(&self, pod_uid: &str) -> Option<&ReportedHealth> {
        self.of(pod_uid)?.health.as_ref()
    }

    /// RFC 3339 time this Pod was last heard.
    pub fn heartbeat_of(&self, pod_uid: &str) -> Option<&str> {
        self.of(pod_uid)?.heartbeat_at.as_deref()
    }
}

/// The part of a GameServer's status that [`Report`] is decoded from.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ReportWire {
    players: Option<ReportedPlayers>,
    reported: Option<Box<Reported>>,
}

impl<'de> Deserialize<'de> for Report {
    /// Decodes a whole `status`, of which everything else is skipped.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ReportWire::deserialize(deserializer).map(|wire| Self {
            players: wire.players,
            reported: wire.reported,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report() -> Report {
        serde_json::from_value(json!({
            "currentState": "Ready",
            "players": {"count": 7, "reportedAt": "2026-01-01T00:00:00Z"},
            "reported": {"podUID": "p1", "state": "Running", "health": "", "heartbeatAt": "2026-01-01T00:00:05Z"},
        }))
        .unwrap()
    }

    #[test]
    fn a_report_counts_for_its_own_pod_only() {
        let report = report();
        assert_eq!((report.count_of("p1"), report.count_of("p2")), (7, 0));
        assert_eq!(report.heartbeat_of("p1"), Some("2026-01-01T00:00:05Z"));
        assert_eq!(report.of("p2"), None);
        assert_eq!(Report::default().of(""), None, "a Pod without UID is no Pod");
    }

    #[test]
    fn players_that_no_pod_owns_count_for_nobody() {
        let orphaned = Report {
            reported: None,
            ..report()
        };
        assert_eq!(orphaned.players_of("p1"), None);
    }

    #[test]
    fn a_value_of_an_earlier_schema_is_kept_as_it_is() {
        let report: Report =
            serde_json::from_value(json!({"reported": {"podUID": "p1", "health": "Sick", "state": "Idle"}}))
                .unwrap();
        let found = report.of("p1").unwrap();
        assert_eq!(found.health, Some(ReportedHealth::Other("Sick".into())));
        assert_eq!(found.state, Some(ReportedState::Idle));
    }
}

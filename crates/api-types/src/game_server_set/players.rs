//! Players on the servers of a set: how many fit, and what happens to servers that have some.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many players a server takes, and whether a server that goes waits for them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Players {
    /// Players one server takes. A server that reports a capacity of its own has that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<i32>,
    /// Whether a server that is scaled in, or replaced by an update, stays until its last player has left. It leaves the
    /// count at once and cannot be allocated any more. Absent means false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_when_empty: Option<bool>,
    /// Seconds after which a server that waits for its players is deleted all the same. Absent means that it waits for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_timeout_seconds: Option<i32>,
}

/// Players on all servers of a set that count, those that drain left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SetPlayers {
    /// Players who are on the servers.
    pub count: i64,
    /// Players the servers take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<i64>,
    /// The count in percent of the capacity, rounded down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_percent: Option<i32>,
}

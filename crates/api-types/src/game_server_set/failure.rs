//! What happens to servers that say that they have failed, or say nothing any more.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::open_enum::{empty_as_none, open_enum};

/// What happens to servers that have failed: their reported health is Failed, their heartbeat stopped, or their Pod's phase is
/// Failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailurePolicy {
    /// Remove: the server is taken out of the set and left running, to be looked at. Delete: it is deleted. Either way another one
    /// takes its place. Absent means Remove.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "empty_as_none"
    )]
    pub behavior: Option<FailureBehavior>,
    /// Failures after which no more servers are replaced and condition NeedsIntervention is True, until the set's spec is changed.
    /// Absent means that there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_failures: Option<i32>,
    /// Seconds without a heartbeat after which a server that has reported before counts as failed. Absent means never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_timeout_seconds: Option<i32>,
}

open_enum! {
    /// What happens to a failed server.
    FailureBehavior {
        /// It is taken out of the set and left running.
        Remove,
        /// It is deleted.
        Delete,
    }
}

/// Failures of a set's servers, counted once for each Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Failures {
    /// Failures since the spec was last changed.
    pub count: i32,
    /// What the spec was then, without replicas and reserved ids, which controllers change too.
    pub spec_hash: String,
    /// UIDs of the Pods that were counted, latest last.
    #[serde(rename = "podUIDs", skip_serializing_if = "Vec::is_empty")]
    pub pod_uids: Vec<String>,
}

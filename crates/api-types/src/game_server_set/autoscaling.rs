//! Scaling by players, and what came of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::date_time;

/// How replicas follow the number of players. Where a HorizontalPodAutoscaler or KEDA scales the set, nothing is done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PlayerAutoscaling {
    /// Whether replicas follow the players. Absent means false. Needs spec.players.capacity.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub enabled: bool,
    /// The fewest servers, at least 1: a set without servers has no players to be measured by. Absent means 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_replicas: Option<i32>,
    /// The most servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_replicas: Option<i32>,
    /// Servers are added while the players take more than this percentage of all servers' capacity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_out_threshold: Option<i32>,
    /// Servers are taken away while the players take less than this percentage of all servers' capacity, and would take less than
    /// scaleOutThreshold of what is left. 0: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_in_threshold: Option<i32>,
    /// The most servers added or taken away at once. Absent means 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<i32>,
    /// Seconds after a change of replicas, whoever made it, before the next. Absent means 300.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cooldown_seconds: Option<i32>,
}

/// What came of scaling by players. Written by player-autoscaler only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PlayerAutoscalingStatus {
    /// Whether replicas would follow the players now. False where something else scales the set, settings are missing, or the set
    /// needs a person.
    pub able_to_scale: bool,
    /// One word saying why replicas are what they are, for programs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The same in a sentence, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When reason or message last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time")]
    pub last_transition_time: Option<String>,
    /// When replicas last changed, whoever changed them; the cooldown counts from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time")]
    pub last_scale_time: Option<String>,
    /// What that change was, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_scale: Option<String>,
    /// Replicas after it. Other replicas than these were set by somebody else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
}

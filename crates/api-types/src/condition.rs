//! Conditions of both resources.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::date_time;

/// One condition of a GameServerSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Kind of condition: Ready, Progressing, ScaleInBlocked or Degraded.
    #[serde(rename = "type")]
    pub type_: String,
    /// True, False or Unknown.
    pub status: String,
    /// Generation of the GameServerSet that the condition speaks about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When the status last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time")]
    pub last_transition_time: Option<String>,
    /// One word saying why, for programs.
    #[serde(default)]
    pub reason: String,
    /// A sentence saying why, for people.
    #[serde(default)]
    pub message: String,
}

/// One condition of a GameServer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GameServerCondition {
    /// Kind of condition: PodNormal, NodeNormal, PersistentVolumeNormal or NetworkReady.
    #[serde(rename = "type")]
    pub type_: String,
    /// True or False.
    pub status: String,
    /// Never set; kept because OpenKruiseGame's schema has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time")]
    pub last_probe_time: Option<String>,
    /// When type, status, reason or message last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time")]
    pub last_transition_time: Option<String>,
    /// Why the status is False, for programs; several reasons are joined by `; `.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why the status is False, for people; several messages are joined by `; `.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

//! Template of the servers' Pods and volume claims.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    open_enum::{empty_as_none, open_enum},
    schema::any_object,
};

/// Template of the servers' Pods. Fields not listed here are kept as written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GameServerTemplate {
    /// Labels and annotations of the Pods and GameServers.
    #[serde(default, skip_serializing_if = "TemplateMeta::is_empty")]
    pub metadata: TemplateMeta,
    /// PodSpec, kept exactly as written: fields newer than Gamekeeper are passed on to the API server.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schemars(schema_with = "any_object")]
    pub spec: Value,
    /// Volume claims that each server gets of its own, named `<template>-<server>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volume_claim_templates: Vec<VolumeClaimTemplate>,
    /// How long a GameServer lives. Cascade (the default): as long as its Pod. Delete: until scale-in, so that its spec
    /// outlives a recreated Pod.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "empty_as_none"
    )]
    pub reclaim_policy: Option<ReclaimPolicy>,
    /// Any other field of the template.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl GameServerTemplate {
    /// The effective policy: absent means Cascade, and so does a stored value the schema no longer accepts.
    pub fn keeps_game_server(&self) -> bool {
        self.reclaim_policy == Some(ReclaimPolicy::Delete)
    }
}

open_enum! {
    /// Lifetime of a GameServer relative to its Pod.
    ReclaimPolicy {
        /// The GameServer goes with its Pod.
        Cascade,
        /// The GameServer goes when its set no longer wants it.
        Delete,
    }
}

/// Labels and annotations of the Pods and GameServers; anything else in the template's metadata is kept and not used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateMeta {
    /// Labels of each Pod and GameServer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of each Pod and GameServer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Any other field of the metadata.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl TemplateMeta {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A volume claim that each server gets of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeClaimTemplate {
    /// Name, labels and annotations of the claims.
    #[serde(default)]
    pub metadata: ClaimMeta,
    /// PersistentVolumeClaimSpec, kept exactly as written.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schemars(schema_with = "any_object")]
    pub spec: Value,
    /// Any other field, such as `apiVersion`, `kind` and an empty `status`.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Name, labels and annotations of the claims made from one template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimMeta {
    /// Name of the template; a volume of this name is mounted in each Pod.
    #[serde(default)]
    pub name: String,
    /// Labels of each claim.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of each claim.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Any other field of the metadata.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What happens to the volume claims of servers that go away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimRetentionPolicy {
    /// When the set is deleted: Retain (the default) or Delete.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "empty_as_none"
    )]
    pub when_deleted: Option<ClaimRetention>,
    /// When the server is scaled in: Retain (the default) or Delete.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "empty_as_none"
    )]
    pub when_scaled: Option<ClaimRetention>,
}

open_enum! {
    /// What happens to a volume claim.
    ClaimRetention {
        /// The claim stays.
        Retain,
        /// The claim is deleted.
        Delete,
    }
}

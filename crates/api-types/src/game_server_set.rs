//! The GameServerSet resource: a batch of game servers made from one template.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{int_or_string::IntOrString, keys, object::custom_object};

mod autoscaling;
mod eviction;
mod failure;
mod lifecycle;
mod players;
mod quality;
mod status;
mod template;
mod update;

pub use autoscaling::{PlayerAutoscaling, PlayerAutoscalingStatus};
pub use eviction::{Eviction, EvictionSafety};
pub use failure::{FailureBehavior, FailurePolicy, Failures};
pub use lifecycle::{Lifecycle, LifecycleHook, Network, NetworkParam};
pub use players::{Players, SetPlayers};
pub use quality::{ServiceQuality, ServiceQualityAction};
pub use status::{GameServerSetStatus, PlanRecord, PlannedDeletion, PlannedUpdate, RevisionStatus};
pub use template::{
    ClaimMeta, ClaimRetention, ClaimRetentionPolicy, GameServerTemplate, ReclaimPolicy, TemplateMeta,
    VolumeClaimTemplate,
};
pub use update::{
    InPlaceUpdateStrategy, PodUpdatePolicy, RollingUpdate, ScaleDownStrategyType, ScaleStrategy,
    UpdateStrategy, UpdateStrategyType,
};

/// A batch of game servers made from one template, each with an ordinal, a Pod and a GameServer of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GameServerSet {
    /// Always `game.kruise.io/v1alpha1`.
    #[serde(default)]
    #[schemars(skip)]
    pub api_version: String,
    /// Always `GameServerSet`.
    #[serde(default)]
    #[schemars(skip)]
    pub kind: String,
    /// Standard object metadata.
    #[schemars(skip)]
    pub metadata: ObjectMeta,
    /// How many servers of what kind are wanted.
    #[serde(default)]
    pub spec: GameServerSetSpec,
    /// How the servers are. Written by Gamekeeper only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<GameServerSetStatus>,
}

custom_object!(
    GameServerSet,
    GameServerSetSpec,
    keys::KIND_GAME_SERVER_SET,
    "gameserversets"
);

/// How many servers of what kind are wanted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GameServerSetSpec {
    /// How many servers are wanted. `kubectl scale`, autoscalers, and the opsState Kill change it too.
    pub replicas: i32,
    /// Template of the servers' Pods.
    #[serde(default)]
    pub game_server_template: GameServerTemplate,
    /// Name of the headless Service that gives the Pods their host names. Absent means the set's own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// Ordinals that must not exist: numbers, and ranges such as "3-7" with both ends included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reserve_game_server_ids: Vec<IntOrString>,
    /// Probes of the servers, and what to do with a GameServer when their results change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_qualities: Vec<ServiceQuality>,
    /// How Pods are brought to a new template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_strategy: Option<UpdateStrategy>,
    /// How the set grows and shrinks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_strategy: Option<ScaleStrategy>,
    /// Network plugin that gives each server its addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// Hooks that hold a Pod back until a label or finalizer allows the next step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Lifecycle>,
    /// What happens to the volume claims of servers that go away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim_retention_policy: Option<ClaimRetentionPolicy>,
    /// Whether node drains and the cluster autoscaler may evict servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eviction: Option<Eviction>,
    /// How many players a server takes, and whether a server that goes waits for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub players: Option<Players>,
    /// What happens to servers that have failed. Absent: a Pod that has ended is replaced, and nothing else is judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_policy: Option<FailurePolicy>,
    /// How replicas follow the number of players.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub player_autoscaling: Option<PlayerAutoscaling>,
}

#[cfg(test)]
mod tests;

//! The GameServer resource: one server's operational record, one to one with a Pod of the same name.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    condition::GameServerCondition,
    int_or_string::IntOrString,
    keys,
    network_status::NetworkStatus,
    object::custom_object,
    schema::{any_object, date_time},
};

mod eviction;
pub mod reported;

pub use eviction::EvictionInForce;
use reported::{Reported, ReportedPlayers};

/// The operational record of one game server: what its operators want of it, and how it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GameServer {
    /// Always `game.kruise.io/v1alpha1`.
    #[serde(default)]
    #[schemars(skip)]
    pub api_version: String,
    /// Always `GameServer`.
    #[serde(default)]
    #[schemars(skip)]
    pub kind: String,
    /// Standard object metadata.
    #[schemars(skip)]
    pub metadata: ObjectMeta,
    /// What operators, allocators and service qualities want of this server.
    #[serde(default)]
    pub spec: GameServerSpec,
    /// How the server is. Written by Gamekeeper only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<GameServerStatus>,
}

custom_object!(GameServer, GameServerSpec, keys::KIND_GAME_SERVER, "gameservers");

/// What operators, allocators and service qualities want of one server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GameServerSpec {
    /// Operational state: None, Allocated, Maintaining, WaitToBeDeleted, Kill, or a word of your own. Shown as Pod label
    /// game.kruise.io/gs-opsState. Absent and empty mean None. Once status.deletionClaim exists it cannot become
    /// Allocated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ops_state: Option<String>,
    /// Servers with a higher number are updated earlier. A number, or a string of digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_priority: Option<IntOrString>,
    /// Servers with a higher number are deleted earlier, among servers of equal opsState. A number, or a string of
    /// digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_priority: Option<IntOrString>,
    /// Whether the server is to be cut off from its network, where the network plugin can do that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_disabled: Option<bool>,
    /// Whether the server is to go when its last player has left. It is replaced at once, and cannot be allocated any more. It
    /// cannot be taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marked_for_deletion: Option<bool>,
    /// Images and resources of this one server that differ from the set's template.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<GameServerContainer>,
}

/// What differs from the template in one container of one server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GameServerContainer {
    /// Name of a container of the template.
    pub name: String,
    /// Image to run instead of the template's; applied to the running Pod at once, in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// CPU and memory instead of the template's; applied when the Pod is next created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ContainerResources>,
}

/// Compute resources of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerResources {
    /// The most the container may use, by resource name, for example `cpu: 500m`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, IntOrString>,
    /// What the container is sure to get, by resource name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, IntOrString>,
    /// Resource claims of the Pod that the container uses. Kept as written; Gamekeeper does not act on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<ResourceClaimRef>,
}

/// A resource claim of the Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResourceClaimRef {
    /// Name of an entry of the Pod's `spec.resourceClaims`.
    pub name: String,
    /// Name of one request within the claim; absent means all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

/// How one server is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GameServerStatus {
    /// State the server should be in; always Ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired_state: Option<String>,
    /// State the server is in: Creating, Ready, NotReady, PreUpdate, Updating, PreDelete, Deleting, Crash or Unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_state: Option<String>,
    /// Addresses of the server and how far its network is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_status: Option<NetworkStatus>,
    /// Copy of the Pod's status, whatever fields the cluster's version has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub pod_status: Option<Value>,
    /// Node of the server's Pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// The node's address of type ExternalIP. Absent where the node has none: podStatus.hostIP is its address inside the cluster.
    #[serde(rename = "publicIP", skip_serializing_if = "Option::is_none")]
    pub public_ip: Option<String>,
    /// Latest result of each service quality of the set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub service_qualities_conditions: Vec<ServiceQualityCondition>,
    /// Update priority the Pod shows, as a string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_priority: Option<IntOrString>,
    /// Deletion priority the Pod shows, as a string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_priority: Option<IntOrString>,
    /// When anything else in the status last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time")]
    pub last_transition_time: Option<String>,
    /// PodNormal, NodeNormal and PersistentVolumeNormal.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<GameServerCondition>,
    /// Present once this server is being taken away; from then on it cannot be allocated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_claim: Option<DeletionClaim>,
    /// Players on the server, as it reported them; of the Pod that `reported` names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub players: Option<ReportedPlayers>,
    /// What else the server reported about itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported: Option<Box<Reported>>,
    /// Who may evict this server now. Absent while its Pod does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eviction: Option<EvictionInForce>,
}

/// The decision to take a server away, written before anything is deleted.
///
/// It is written with the `resourceVersion` the decision was made from, and the API server refuses an allocation after
/// it: allocation and deletion of a server are in one order that everybody sees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeletionClaim {
    /// UID of the Pod that is being taken away; a later Pod of the same name is not meant.
    #[serde(rename = "podUID")]
    pub pod_uid: String,
    /// Why: ScaleIn, Update, Kill, Replaced, Draining, Marked, Failed, Removed; or what somebody else did to the Pod: Evicted,
    /// Preempted, Deleted.
    pub reason: String,
    /// The server goes because nobody is on it: from then on no report of players is accepted for this Pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty: Option<bool>,
    /// When the claim was made.
    #[schemars(schema_with = "date_time")]
    pub time: String,
}

/// Latest result of one service quality.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceQualityCondition {
    /// Name of the service quality.
    pub name: String,
    /// True where the probe succeeded, False where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// What the probe printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// When the probe last ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time")]
    pub last_probe_time: Option<String>,
    /// When the result last changed or acted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time")]
    pub last_transition_time: Option<String>,
    /// When an action of this service quality last ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time")]
    pub last_action_transition_time: Option<String>,
}

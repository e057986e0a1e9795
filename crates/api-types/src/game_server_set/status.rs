//! How the servers of a set are, and what the set has decided.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PlayerAutoscalingStatus, failure::Failures, players::SetPlayers};
use crate::{condition::Condition, int_or_string::IntOrString};

/// How the servers of a set are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GameServerSetStatus {
    /// Generation of the set that the status speaks about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Replicas as last read from the spec, which is what autoscalers expect here.
    pub replicas: i32,
    /// Pods that exist, those being deleted included.
    pub current_replicas: i32,
    /// Pods that are ready.
    pub ready_replicas: i32,
    /// Pods that have been ready for minReadySeconds.
    pub available_replicas: i32,
    /// Pods made from, or updated to, the current template.
    pub updated_replicas: i32,
    /// Updated Pods that are ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_ready_replicas: Option<i32>,
    /// Servers with opsState Maintaining.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintaining_replicas: Option<i32>,
    /// Servers with opsState WaitToBeDeleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_to_be_deleted_replicas: Option<i32>,
    /// Servers in state PreDelete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_delete_replicas: Option<i32>,
    /// Servers that wait for their last player before they go. They count neither as available nor among the players.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draining_replicas: Option<i32>,
    /// Players on the servers; only with spec.players. At most five seconds old.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub players: Option<SetPlayers>,
    /// Failures of servers; only with spec.failurePolicy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures: Option<Failures>,
    /// Selector of the set's Pods, for autoscalers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<String>,
    /// Revision of the template that the Pods of a partition have; after an update, updateRevision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_revision: Option<String>,
    /// Revision of the template as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_revision: Option<String>,
    /// History of the template, latest first; at most 20 are shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<RevisionStatus>,
    /// Ready, Progressing, ScaleInBlocked, UpdateBlocked, Degraded, and more where there is something to say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// What the set has decided about its servers. Where it is absent it is rebuilt from the Pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanRecord>,
    /// What came of scaling by players.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub player_autoscaling: Option<PlayerAutoscalingStatus>,
}

/// One revision of the template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RevisionStatus {
    /// Name of the ControllerRevision, which is also the value of the Pods' label controller-revision-hash.
    pub name: String,
    /// Its place in the history; the largest is the latest.
    pub revision: i64,
    /// Pods that have it.
    pub pods: i32,
}

/// What the set has decided about its servers, written before it is acted on.
///
/// Lists of ordinals are ascending and compact: a run of three or more is one string `"a-b"`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PlanRecord {
    /// Generation of the set that the plan was made from.
    pub generation: i64,
    /// Ordinals that should have a server.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub desired: Vec<IntOrString>,
    /// Ordinals of reserveGameServerIds already acted on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reserved: Vec<IntOrString>,
    /// Ordinals given up by scale-in and not used again since.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub implicit: Vec<IntOrString>,
    /// Ordinals whose server has yet to be available for the first time. Only with scaleStrategy.maxUnavailable, which
    /// limits how many of them have a Pod; a Pod that is lost later is replaced without a limit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub growing: Vec<IntOrString>,
    /// Deletions decided on and not yet seen to be done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deleting: Vec<PlannedDeletion>,
    /// Servers taken out of service for an update and not seen back in service.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub updating: Vec<PlannedUpdate>,
}

/// A server taken out of service for an update.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedUpdate {
    /// Ordinal of the server.
    pub id: u32,
    /// UID of the Pod that is meant.
    #[serde(rename = "podUID")]
    pub pod_uid: String,
    /// Version of that Pod from which it was decided.
    pub resource_version: String,
    /// Whether the Pod is replaced; otherwise it is changed in place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recreate: bool,
}

/// A deletion decided on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedDeletion {
    /// Ordinal of the server.
    pub id: u32,
    /// UID of the Pod that is meant.
    #[serde(rename = "podUID")]
    pub pod_uid: String,
    /// Why: ScaleIn, Update, Kill, Evicted, Replaced, Draining, Marked, Failed, Removed.
    pub reason: String,
}

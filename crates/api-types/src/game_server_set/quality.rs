//! Service qualities: probes of the servers, and what to do when their results change.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ExecAction, GRPCAction, HTTPGetAction, TCPSocketAction};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::game_server::GameServerSpec;

/// A probe that runs in or against each server, and the actions its results cause.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceQuality {
    /// Name of the service quality; its result is Pod condition `game.kruise.io/<name>`.
    pub name: String,
    /// Container in which the probe runs. Absent means the first container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_name: Option<String>,
    /// Whether the actions run once only. Where false, they run each time the result changes.
    pub permanent: bool,
    /// What to do for which result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_quality_action: Vec<ServiceQualityAction>,
    /// Probe by a command in the container: exit code 0 is state true, its output is the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecAction>,
    /// Probe by an HTTP GET to the Pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_get: Option<HTTPGetAction>,
    /// Probe by opening a TCP connection to the Pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_socket: Option<TCPSocketAction>,
    /// Probe by gRPC health check of the Pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GRPCAction>,
    /// Seconds after the container's start before the first probe. Absent and 0 mean 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_delay_seconds: Option<i32>,
    /// Seconds after which a probe has failed. Absent and 0 mean 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<i32>,
    /// Seconds between probes. Absent and 0 mean 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_seconds: Option<i32>,
    /// Successes in a row after which the state is true. Absent and 0 mean 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_threshold: Option<i32>,
    /// Failures in a row after which the state is false. Absent and 0 mean 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_threshold: Option<i32>,
    /// Not used: a service quality never ends a Pod. Kept because a core Probe has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_grace_period_seconds: Option<i64>,
}

/// What to do with the GameServer when the probe has this state and result.
///
/// In `opsState`, the priorities, and the values of labels and annotations, `{{ .Result }}` stands for what the probe
/// printed. Templates may use if, else, end, eq, ne, lt, le, gt, ge, and, or, not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceQualityAction {
    /// State of the probe at which the action runs.
    pub state: bool,
    /// Result of the probe at which the action runs, compared exactly. Absent and empty mean any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Fields of the GameServer's spec to set. `containers` go over the GameServer's own by name, what they give of each.
    #[serde(flatten)]
    pub spec: GameServerSpec,
    /// Annotations to set on the GameServer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Labels to set on the GameServer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

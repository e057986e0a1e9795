//! Hooks and network of the servers.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Hooks that hold a Pod back until a label or finalizer allows the next step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lifecycle {
    /// While the hook matches, a Pod chosen for deletion stays in state PreDelete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_delete: Option<LifecycleHook>,
    /// While the hook matches, a Pod chosen for an update in place stays in state PreUpdate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_place_update: Option<LifecycleHook>,
    /// Until the hook matches, a new Pod does not count as in service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_normal: Option<LifecycleHook>,
}

/// When a hook matches: all of its labels and all of its finalizers are on the Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LifecycleHook {
    /// Labels, each of which must be on the Pod with this value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels_handler: BTreeMap<String, String>,
    /// Finalizers, each of which must be on the Pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finalizers_handler: Vec<String>,
    /// Whether the Pod is taken out of service while the hook holds it. Absent means false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark_pod_not_ready: Option<bool>,
}

/// Network plugin that gives each server its addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// Name of the plugin, for example Kubernetes-HostPort. It cannot be changed; the whole network may be removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_type: Option<String>,
    /// Parameters of the plugin. A name may occur more than once where the plugin says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub network_conf: Vec<NetworkParam>,
}

/// One parameter of a network plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkParam {
    /// Name of the parameter.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Value of the parameter, always a string: write "80", not 80.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
}

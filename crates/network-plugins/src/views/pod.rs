//! A Pod with a network: what its plugin reads, and what was written to it.

use std::sync::Arc;

use api_types::{
    keys::{self, annotation, label},
    views::Meta,
};
use serde::Deserialize;

use super::{is_same, null_as_default};
use crate::params::Protocol;

/// A Pod as this controller keeps it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "WirePod")]
pub(crate) struct PodView {
    /// Identity and owners.
    pub metadata: Meta,
    /// What a server's network depends on.
    pub facts: PodFacts,
}

/// What a server's network depends on; two equal ones lead to the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PodFacts {
    /// Annotation `network-type`; empty for a Pod without a network.
    pub network_type: Arc<str>,
    /// Annotation `network-conf`.
    pub network_conf: Arc<str>,
    /// Annotation `network-status`.
    pub network_status: Option<Arc<str>>,
    /// Name of the set.
    pub set: Arc<str>,
    /// Label `network-disabled`.
    pub disabled: bool,
    /// Where the Pod is in its lifecycle.
    pub lifecycle: Arc<str>,
    /// Label `inplace-update-not-ready-blocker`.
    pub blocker: Option<Arc<str>>,
    /// The node it is bound to.
    pub node_name: Option<String>,
    /// `status.podIP`.
    pub ip: Option<String>,
    /// Whether it is ready.
    pub ready: bool,
    /// Names and images of its containers.
    pub containers: Vec<(String, String)>,
    /// Its host ports.
    pub host_ports: Vec<HostPort>,
}

/// A port of a container that is open on its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostPort {
    /// The container.
    pub container: String,
    /// The port in the container.
    pub container_port: u16,
    /// The port of the node.
    pub node_port: u16,
    /// The protocol.
    pub protocol: Protocol,
}

impl PodView {
    /// Whether it has a network.
    pub(crate) fn has_network(&self) -> bool {
        !self.facts.network_type.is_empty()
    }

    /// Whether it is being taken away and its hook still holds it.
    pub(crate) fn is_preparing_delete(&self) -> bool {
        &*self.facts.lifecycle == keys::lifecycle::PREPARING_DELETE
    }

    /// Whether an update in place waits for leave to begin.
    pub(crate) fn is_preparing_update(&self) -> bool {
        &*self.facts.lifecycle == keys::lifecycle::PREPARING_UPDATE
    }

    /// Whether anything of its network may differ between the two.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        !is_same(&self.metadata, &other.metadata) || self.facts != other.facts
    }
}

#[derive(Deserialize)]
struct WirePod {
    metadata: Meta,
    #[serde(default)]
    spec: WireSpec,
    #[serde(default)]
    status: WireStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSpec {
    node_name: Option<String>,
    #[serde(deserialize_with = "null_as_default")]
    containers: Vec<WireContainer>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireContainer {
    name: String,
    image: String,
    #[serde(deserialize_with = "null_as_default")]
    ports: Vec<WirePort>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WirePort {
    container_port: u16,
    host_port: u16,
    protocol: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireStatus {
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(deserialize_with = "null_as_default")]
    conditions: Vec<WireCondition>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireCondition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
}

impl From<WirePod> for PodView {
    fn from(pod: WirePod) -> Self {
        let mut metadata = pod.metadata;
        let network_type = metadata
            .annotations
            .remove(annotation::NETWORK_TYPE)
            .unwrap_or_default();
        if network_type.is_empty() {
            // Not kept: the watch drops it.
            return Self {
                metadata: metadata.into_identity(),
                facts: PodFacts::default(),
            };
        }
        let mut host_ports = Vec::new();
        let mut containers = Vec::new();
        for container in pod.spec.containers {
            let open = container.ports.iter().filter(|port| port.host_port > 0);
            host_ports.extend(open.map(|port| HostPort {
                container: container.name.clone(),
                container_port: port.container_port,
                node_port: port.host_port,
                protocol: Protocol::of(port.protocol.as_deref()).unwrap_or(Protocol::Tcp),
            }));
            containers.push((container.name, container.image));
        }
        let mut label = |key: &str| metadata.labels.remove(key);
        let facts = PodFacts {
            set: label(label::OWNER_GSS).unwrap_or_default(),
            disabled: label(label::NETWORK_DISABLED).as_deref() == Some("true"),
            lifecycle: label(label::LIFECYCLE_STATE).unwrap_or_default(),
            blocker: label(label::INPLACE_NOT_READY_BLOCKER),
            network_conf: metadata
                .annotations
                .remove(annotation::NETWORK_CONF)
                .unwrap_or_default(),
            network_status: metadata.annotations.remove(annotation::NETWORK_STATUS),
            network_type,
            node_name: pod.spec.node_name.filter(|name| !name.is_empty()),
            ip: pod.status.pod_ip.filter(|ip| !ip.is_empty()),
            ready: pod
                .status
                .conditions
                .iter()
                .any(|condition| condition.type_ == "Ready" && condition.status == "True"),
            containers,
            host_ports,
        };
        Self {
            metadata: metadata.into_identity(),
            facts,
        }
    }
}

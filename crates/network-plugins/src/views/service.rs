//! A Service: where it leads, and what a cloud has made of it.

use std::collections::BTreeMap;

use api_types::{IntOrString, keys::label, views::Meta};
use serde::Deserialize;

use super::null_as_default;
use crate::params::Protocol;

/// A Service as this controller keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "WireService")]
pub(crate) struct ServiceView {
    /// Metadata with all labels and annotations.
    pub metadata: Meta,
    /// `ClusterIP`, `NodePort`, `LoadBalancer`, …
    pub type_: String,
    /// `spec.selector`.
    pub selector: BTreeMap<String, String>,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
    /// `spec.publishNotReadyAddresses`.
    pub publishes_not_ready: bool,
    /// `spec.externalTrafficPolicy`.
    pub external_traffic_policy: Option<String>,
    /// `spec.allocateLoadBalancerNodePorts`.
    pub allocate_node_ports: Option<bool>,
    /// `spec.loadBalancerClass`.
    pub class: Option<String>,
    /// First of `status.loadBalancer.ingress`.
    pub address: Option<Address>,
}

/// One of `spec.ports`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServicePort {
    /// Its name; empty where it has none.
    pub name: String,
    /// The port of the Service.
    pub port: u16,
    /// The port of the Pod, where it is a number.
    pub target: Option<u16>,
    /// The port of each node; 0 where there is none.
    pub node_port: u16,
    /// The protocol.
    pub protocol: Protocol,
}

/// What a load balancer answers under.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Address {
    /// Its IP address.
    pub ip: Option<String>,
    /// Its name.
    pub hostname: Option<String>,
}

pub(crate) const LOAD_BALANCER: &str = "LoadBalancer";

impl ServiceView {
    /// Whether it may be a server's, or have a port that a server must not be given.
    pub(crate) fn is_of_concern(&self) -> bool {
        self.metadata.labels.contains_key(label::OWNER_GSS)
            || self.selector.contains_key(label::POD_NAME)
            || self.selector.contains_key(label::SERVICE_SELECTOR_DISABLED)
            || self.type_ == LOAD_BALANCER
    }
}

#[derive(Deserialize)]
struct WireService {
    metadata: Meta,
    #[serde(default)]
    spec: WireSpec,
    #[serde(default)]
    status: WireStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSpec {
    #[serde(rename = "type")]
    type_: String,
    #[serde(deserialize_with = "null_as_default")]
    selector: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_as_default")]
    ports: Vec<WirePort>,
    publish_not_ready_addresses: bool,
    external_traffic_policy: Option<String>,
    allocate_load_balancer_node_ports: Option<bool>,
    load_balancer_class: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WirePort {
    name: String,
    port: u16,
    target_port: Option<IntOrString>,
    node_port: u16,
    protocol: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireStatus {
    #[serde(deserialize_with = "null_as_default")]
    load_balancer: WireLoadBalancer,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireLoadBalancer {
    #[serde(deserialize_with = "null_as_default")]
    ingress: Vec<Address>,
}

impl From<WireService> for ServiceView {
    fn from(service: WireService) -> Self {
        let spec = service.spec;
        let port = |port: WirePort| ServicePort {
            target: port
                .target_port
                .and_then(|target| u16::try_from(target.as_i64()?).ok()),
            protocol: Protocol::of(port.protocol.as_deref()).unwrap_or(Protocol::Tcp),
            name: port.name,
            port: port.port,
            node_port: port.node_port,
        };
        Self {
            metadata: service.metadata,
            type_: spec.type_,
            selector: spec.selector,
            ports: spec.ports.into_iter().map(port).collect(),
            publishes_not_ready: spec.publish_not_ready_addresses,
            external_traffic_policy: spec.external_traffic_policy,
            allocate_node_ports: spec.allocate_load_balancer_node_ports,
            class: spec.load_balancer_class,
            address: service.status.load_balancer.ingress.into_iter().next(),
        }
    }
}

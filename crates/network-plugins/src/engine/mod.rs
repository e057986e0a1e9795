//! One Service for each server: what it should be, whose the one is that is there, and what is to be done (pure).

mod whose;

use std::collections::BTreeMap;

pub(crate) use self::whose::{Whose, whose};
use crate::params::Protocol;

/// A server's Service as a plugin wants it. Its name is the Pod's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ServiceWant {
    /// Its type.
    pub kind: Kind,
    /// Its ports.
    pub ports: Vec<PortWant>,
    /// Whether it leads to the Pod: while nobody is to be sent there its selector names something no Pod has.
    pub routes: bool,
    /// Whether the Pod stays in it while it is not ready.
    pub publishes_not_ready: bool,
    /// Labels from the parameters.
    pub labels: BTreeMap<String, String>,
    /// Annotations from the parameters.
    pub annotations: BTreeMap<String, String>,
}

/// Type of a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Inside the cluster only.
    #[default]
    ClusterIp,
    /// A port of every node.
    NodePort,
    /// A provider's load balancer.
    LoadBalancer(Balancer),
}

/// What only a Service of type LoadBalancer has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Balancer {
    /// `loadBalancerClass`; whatever is there where the parameters say nothing.
    pub class: Option<String>,
    /// `externalTrafficPolicy`.
    pub external_traffic_policy: String,
    /// `allocateLoadBalancerNodePorts`.
    pub allocate_node_ports: bool,
}

impl Kind {
    /// As Kubernetes writes it.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::ClusterIp => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer(_) => crate::views::LOAD_BALANCER,
        }
    }
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PortWant {
    /// Its name.
    pub name: String,
    /// The port of the Service.
    pub port: u16,
    /// The port of the Pod.
    pub target: u16,
    /// The protocol.
    pub protocol: Protocol,
}

//! The network plugins: what each wants for a server, and what it says about it (pure).

mod host_port;
mod ingress;
mod load_balancer;
mod node_port;
#[cfg(test)]
mod tests;

use api_types::{
    IntOrString,
    names::ordinal_of,
    network_status::{NetworkAddress, NetworkPort},
};

use crate::{
    engine::ServiceWant,
    params::{Params, PortItem, Protocol},
    ports::{Held, Wish},
    problem::{Problem, Reason},
    views::{IngressView, PodView, ServicePort, ServiceView, Shape},
};

/// What a plugin is told about a server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Server<'a> {
    /// Its Pod.
    pub pod: &'a PodView,
    /// The parameters.
    pub params: &'a Params,
    /// The address of the Pod's node.
    pub node: Option<&'a str>,
    /// Why nobody is to be sent to it.
    pub isolation: Option<Isolation>,
    /// Ports of a load balancer that the server's Service holds.
    pub held: Option<&'a Held>,
}

/// Why nobody is to be sent to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// `networkDisabled` is set.
    Disabled,
    /// It is being taken away, under `DrainPolicy` `RemoveEndpoint`.
    Draining,
}

impl Server<'_> {
    /// Name of the Pod, and of everything that is made for it.
    pub(crate) fn name(&self) -> &str {
        &self.pod.metadata.name
    }

    /// Number of the server in its set; 0 where the name has none.
    pub(crate) fn id(&self) -> u32 {
        ordinal_of(self.name()).unwrap_or(0)
    }

    /// The Pod's own address.
    pub(crate) fn ip(&self) -> Result<&str, Problem> {
        let missing = || Problem::new(Reason::WaitingForPod, "the Pod has no IP address yet");
        self.pod.facts.ip.as_deref().ok_or_else(missing)
    }

    /// The address of the Pod's node.
    pub(crate) fn node(&self) -> Result<&str, Problem> {
        self.node.ok_or_else(|| {
            let message = match &self.pod.facts.node_name {
                None => "the Pod has no node yet".to_owned(),
                Some(node) => format!("node {node} has no address that players could use"),
            };
            Problem::new(Reason::WaitingForNode, message)
        })
    }
}

/// What a plugin wants for a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Want {
    /// Its Service.
    pub service: Option<ServiceWant>,
    /// Its Ingress.
    pub ingress: Option<IngressWant>,
    /// Whether both belong to the set, and outlive the Pod.
    pub fixed: bool,
    /// Ports of a load balancer that its Service does not hold yet.
    pub wish: Option<Wish>,
}

/// A server's Ingress.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct IngressWant {
    /// Its spec.
    pub shape: Shape,
    /// Annotations.
    pub annotations: std::collections::BTreeMap<String, String>,
}

/// The objects of a server, as they were last seen and as the plugin wants them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Live<'a> {
    /// Its Service.
    pub service: Option<&'a ServiceView>,
    /// Its Ingress.
    pub ingress: Option<&'a IngressView>,
}

/// Where a server is found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// Inside the cluster.
    pub internal: Vec<NetworkAddress>,
    /// By players.
    pub external: Vec<NetworkAddress>,
}

/// A network plugin.
pub(crate) trait Plugin: Sync {
    /// What `networkType` says.
    fn name(&self) -> &'static str;

    /// Whether it can keep players from a server.
    fn isolates(&self) -> bool {
        true
    }

    /// What is to be there for a server.
    ///
    /// # Errors
    /// When the parameters make no sense.
    fn want(&self, server: &Server<'_>) -> Result<Want, Problem>;

    /// Where the server is found.
    ///
    /// # Errors
    /// What is still missing.
    fn addresses(&self, server: &Server<'_>, live: Live<'_>) -> Result<Addresses, Problem>;
}

const PLUGINS: [&dyn Plugin; 4] = [
    &host_port::HostPortPlugin,
    &node_port::NodePortPlugin,
    &ingress::IngressPlugin,
    &load_balancer::LoadBalancerPlugin,
];

/// The plugin of this name.
///
/// # Errors
/// When there is none.
pub(crate) fn plugin(name: &str) -> Result<&'static dyn Plugin, Problem> {
    PLUGINS
        .into_iter()
        .find(|plugin| plugin.name() == name)
        .ok_or_else(|| {
            let known: Vec<_> = PLUGINS.iter().map(|plugin| plugin.name()).collect();
            let message = format!(
                "there is no network plugin {name}; there are {}",
                known.join(", ")
            );
            Problem::new(Reason::NoSuchPlugin, message)
        })
}

/// Parameter that says what becomes of a server's endpoint while the server is being taken away.
pub(crate) fn drains(params: &Params) -> Result<bool, Problem> {
    match params.last("DrainPolicy") {
        None | Some("None") => Ok(false),
        Some("RemoveEndpoint") => Ok(true),
        Some(other) => Err(Problem::parameter(format!(
            "DrainPolicy is None or RemoveEndpoint, not {other:?}"
        ))),
    }
}

/// The Service ports of a list: the same number outside as inside.
fn same_ports(items: &[PortItem]) -> Vec<crate::engine::PortWant> {
    let flat = items.iter().flat_map(|item| {
        let port = item.port.unwrap_or_default();
        item.protocols.iter().map(move |protocol| (port, port, *protocol))
    });
    named(&flat.collect::<Vec<_>>())
}

/// Names the ports: by their number in the Pod, and by their protocol too where a number has two.
fn named(ports: &[(u16, u16, Protocol)]) -> Vec<crate::engine::PortWant> {
    let twice = |target: u16| ports.iter().filter(|(_, other, _)| *other == target).count() > 1;
    ports
        .iter()
        .map(|(port, target, protocol)| crate::engine::PortWant {
            name: if twice(*target) {
                format!("{target}-{}", protocol.as_str().to_lowercase())
            } else {
                target.to_string()
            },
            port: *port,
            target: *target,
            protocol: *protocol,
        })
        .collect()
}

/// A port of an address.
fn network_port(name: impl Into<String>, port: u16, protocol: Option<Protocol>) -> NetworkPort {
    NetworkPort {
        name: name.into(),
        protocol: protocol.map(|protocol| protocol.as_str().to_owned()),
        port: Some(IntOrString::from(u32::from(port))),
    }
}

/// One address inside and one outside for each port of a Service, which is how OpenKruiseGame lists them.
fn per_port(
    ip: &str,
    ports: &[ServicePort],
    outside: impl Fn(&ServicePort) -> (NetworkAddress, u16),
) -> Addresses {
    let mut addresses = Addresses::default();
    for port in ports {
        let target = port.target.unwrap_or(port.port);
        addresses.internal.push(NetworkAddress {
            ip: ip.to_owned(),
            ports: vec![network_port(target.to_string(), target, Some(port.protocol))],
            ..NetworkAddress::default()
        });
        let (address, number) = outside(port);
        addresses.external.push(NetworkAddress {
            ports: vec![network_port(target.to_string(), number, Some(port.protocol))],
            ..address
        });
    }
    addresses
}

/// A Service that is being made.
fn no_service() -> Problem {
    Problem::new(Reason::WaitingForObjects, "the Service is being made")
}

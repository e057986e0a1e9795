//! `Kubernetes-HostPort`: ports of the node a server is on. They are chosen before the Pod is made, see [`crate::decorate`].

use api_types::network_status::NetworkAddress;

use super::{Addresses, Live, Plugin, Server, Want, network_port};
use crate::{
    decorate::ContainerPorts,
    problem::{Problem, Reason},
    views::HostPort,
};

/// The plugin.
pub(super) struct HostPortPlugin;

impl Plugin for HostPortPlugin {
    fn name(&self) -> &'static str {
        crate::decorate::HOST_PORT
    }

    /// What listens on a node's port is the container itself: there is nothing between it and the players to be changed.
    fn isolates(&self) -> bool {
        false
    }

    fn want(&self, server: &Server<'_>) -> Result<Want, Problem> {
        let asked = ContainerPorts::parse(server.params)?;
        let has = |name: &str| {
            server
                .pod
                .facts
                .containers
                .iter()
                .any(|(container, _)| container == name)
        };
        if let Some(unknown) = asked.iter().find(|asked| !has(&asked.container)) {
            return Err(Problem::parameter(format!(
                "ContainerPorts names container {}, and the Pod has none of that name",
                unknown.container
            )));
        }
        Ok(Want::default())
    }

    fn addresses(&self, server: &Server<'_>, _: Live<'_>) -> Result<Addresses, Problem> {
        let asked = ContainerPorts::parse(server.params)?;
        let open: Vec<&HostPort> = server
            .pod
            .facts
            .host_ports
            .iter()
            .filter(|port| asked.iter().any(|asked| asked.container == port.container))
            .collect();
        if open.is_empty() {
            return Err(Problem::new(
                Reason::HostPortsMissing,
                "the Pod has no host ports: it was made before the network was asked for, or when the range of host ports \
                 had fewer ports than the Pod needs; a new Pod gets them: delete this one when nobody plays on it",
            ));
        }
        let (node, ip) = (server.node()?, server.ip()?);
        let address = |at: &str, number: fn(&HostPort) -> u16| NetworkAddress {
            ip: at.to_owned(),
            ports: open
                .iter()
                .map(|port| {
                    let name = format!("{}-{}", port.container, port.container_port);
                    network_port(name, number(port), Some(port.protocol))
                })
                .collect(),
            ..NetworkAddress::default()
        };
        Ok(Addresses {
            internal: vec![address(ip, |port| port.container_port)],
            external: vec![address(node, |port| port.node_port)],
        })
    }
}

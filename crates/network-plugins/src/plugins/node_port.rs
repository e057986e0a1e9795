//! `Kubernetes-NodePort`: a Service of type NodePort for each server.

use api_types::network_status::NetworkAddress;

use super::{Addresses, Live, Plugin, Server, Want, no_service, per_port, same_ports};
use crate::{
    engine::{Kind, ServiceWant},
    problem::{Problem, Reason},
};

/// The plugin.
pub(super) struct NodePortPlugin;

impl Plugin for NodePortPlugin {
    fn name(&self) -> &'static str {
        "Kubernetes-NodePort"
    }

    fn want(&self, server: &Server<'_>) -> Result<Want, Problem> {
        Ok(Want {
            service: Some(ServiceWant {
                kind: Kind::NodePort,
                ports: same_ports(&server.params.ports("PortProtocols")?),
                routes: server.isolation.is_none(),
                ..ServiceWant::default()
            }),
            fixed: server.params.flag("Fixed")?,
            ..Want::default()
        })
    }

    fn addresses(&self, server: &Server<'_>, live: Live<'_>) -> Result<Addresses, Problem> {
        let service = live.service.ok_or_else(no_service)?;
        let (node, ip) = (server.node()?, server.ip()?);
        if service.ports.iter().any(|port| port.node_port == 0) {
            return Err(Problem::new(
                Reason::WaitingForObjects,
                "the Service has no node ports yet",
            ));
        }
        Ok(per_port(ip, &service.ports, |port| {
            let address = NetworkAddress {
                ip: node.to_owned(),
                ..NetworkAddress::default()
            };
            (address, port.node_port)
        }))
    }
}

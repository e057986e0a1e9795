//! `Kubernetes-LoadBalancer`: a Service of type LoadBalancer for each server, of any provider.
//!
//! Without `LoadBalancerIds` the provider makes a load balancer for each server. With them servers share those that are there:
//! each has ports of its own on one of them.

use std::collections::BTreeMap;

use api_types::network_status::NetworkAddress;

use super::{
    Addresses, Live, Plugin, Server, Want,
    ingress::{annotations, pairs},
    named, no_service, per_port, same_ports,
};
use crate::{
    engine::{Balancer, Kind, ServiceWant},
    params::{Params, PortItem},
    ports::{Held, Range, Wish},
    problem::{Problem, Reason},
    views::LOAD_BALANCER,
};

/// The plugin.
pub(super) struct LoadBalancerPlugin;

/// Ports of a shared load balancer where the parameters say nothing.
const MIN_PORT: u16 = 500;
const MAX_PORT: u16 = 700;

impl Plugin for LoadBalancerPlugin {
    fn name(&self) -> &'static str {
        "Kubernetes-LoadBalancer"
    }

    fn want(&self, server: &Server<'_>) -> Result<Want, Problem> {
        let (params, id) = (server.params, server.id());
        let items = params.ports("PortProtocols")?;
        let mut service = ServiceWant {
            kind: Kind::LoadBalancer(balancer(params)?),
            ports: same_ports(&items),
            routes: server.isolation.is_none(),
            labels: pairs(params, "Label", id)?,
            annotations: annotations(params, id)?,
            ..ServiceWant::default()
        };
        let mut wish = None;
        if let Some(shared) = shared(params, &items)? {
            if let Some(held) = server.held.filter(|held| held.covers(&items)) {
                service.ports = held_ports(held, &items);
                service.annotations.insert(shared.id_annotation, held.id.clone());
            } else {
                // Without ports of its own it is nobody's business yet, and no cloud's.
                service.kind = Kind::ClusterIp;
                wish = Some(shared);
            }
        }
        if server.isolation == Some(super::Isolation::Disabled) {
            service.kind = Kind::ClusterIp;
            service.routes = true;
        }
        Ok(Want {
            service: Some(service),
            fixed: params.flag("Fixed")?,
            wish,
            ..Want::default()
        })
    }

    fn addresses(&self, server: &Server<'_>, live: Live<'_>) -> Result<Addresses, Problem> {
        let service = live.service.ok_or_else(no_service)?;
        let ip = server.ip()?;
        let address = service
            .address
            .as_ref()
            .filter(|_| service.type_ == LOAD_BALANCER)
            .ok_or_else(|| Problem::new(Reason::WaitingForAddress, "the load balancer has no address yet: whatever provides load balancers in this cluster gives it one"))?;
        Ok(per_port(ip, &service.ports, |port| {
            let outside = NetworkAddress {
                ip: address.ip.clone().unwrap_or_default(),
                end_point: address.hostname.clone(),
                ..NetworkAddress::default()
            };
            (outside, port.port)
        }))
    }
}

fn balancer(params: &Params) -> Result<Balancer, Problem> {
    let policy = params.last("ExternalTrafficPolicy").unwrap_or("Cluster");
    if !["Cluster", "Local"].contains(&policy) {
        return Err(Problem::parameter(format!(
            "ExternalTrafficPolicy is Cluster or Local, not {policy:?}"
        )));
    }
    Ok(Balancer {
        class: params.last("LoadBalancerClass").map(str::to_owned),
        external_traffic_policy: policy.to_owned(),
        allocate_node_ports: match params.last("AllocateLoadBalancerNodePorts") {
            None => true,
            Some(_) => params.flag("AllocateLoadBalancerNodePorts")?,
        },
    })
}

/// What a server needs of shared load balancers; `None` where it gets one of its own.
fn shared(params: &Params, items: &[PortItem]) -> Result<Option<Wish>, Problem> {
    let list = |name: &'static str| {
        params
            .all(name)
            .flat_map(|list| list.split(','))
            .map(str::trim)
            .filter(|item| !item.is_empty())
    };
    let mut ids: Vec<String> = Vec::new();
    for id in list("LoadBalancerIds") {
        if !ids.iter().any(|known| known == id) {
            ids.push(id.to_owned());
        }
    }
    if ids.is_empty() {
        return Ok(None);
    }
    let id_annotation = params.last("IdAnnotation").ok_or_else(|| {
        Problem::parameter(
            "LoadBalancerIds needs IdAnnotation: the annotation in which the provider reads the load balancer's id",
        )
    })?;
    let low = params.number("MinPort", 1)?.unwrap_or(MIN_PORT);
    let high = params.number("MaxPort", 1)?.unwrap_or(MAX_PORT.max(low));
    if low > high {
        return Err(Problem::parameter(format!(
            "MinPort {low} is above MaxPort {high}"
        )));
    }
    let blocked = list("BlockPorts")
        .map(|port| {
            port.parse::<u16>().map_err(|_| {
                Problem::parameter(format!("BlockPorts is a list of ports, and {port:?} is none"))
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(Some(Wish {
        ids,
        id_annotation: id_annotation.to_owned(),
        range: Range { low, high, blocked },
        items: items.to_vec(),
        fixed: params.flag("Fixed")?,
    }))
}

/// The Service ports for what is held.
fn held_ports(held: &Held, items: &[PortItem]) -> Vec<crate::engine::PortWant> {
    let of: BTreeMap<_, _> = held
        .ports
        .iter()
        .map(|port| ((port.target, port.protocol), port.port))
        .collect();
    let flat = items.iter().flat_map(|item| {
        let (of, target) = (&of, item.port.unwrap_or_default());
        item.protocols
            .iter()
            .filter_map(move |protocol| Some((*of.get(&(target, *protocol))?, target, *protocol)))
    });
    named(&flat.collect::<Vec<_>>())
}

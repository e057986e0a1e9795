//! A server's Service.

use api_types::keys::label;
use serde_json::{Map, Value, json};

use super::Belongings;
use crate::{
    engine::{Kind, PortWant, ServiceWant},
    views::{LOAD_BALANCER, ServicePort, ServiceView},
};

/// The Service to create.
pub(crate) fn create(want: &ServiceWant, belongings: &Belongings<'_>) -> Value {
    let mut spec = json!({
        "type": want.kind.as_str(),
        "selector": { selector_key(want): belongings.pod.metadata.name },
        "ports": want.ports.iter().map(|port| port_json(port, 0)).collect::<Vec<_>>(),
    });
    if want.publishes_not_ready {
        spec["publishNotReadyAddresses"] = json!(true);
    }
    if let (Value::Object(spec), Kind::LoadBalancer(_)) = (&mut spec, &want.kind) {
        spec.append(&mut balancer_fields(want));
    }
    json!({ "apiVersion": "v1", "kind": "Service", "metadata": belongings.create(), "spec": spec })
}

/// The merge patch that makes the Service that is there the wanted one; `None` where it is.
///
/// Only what the plugin has a word in is compared: what a cloud or its admission put there stays.
pub(crate) fn patch(want: &ServiceWant, belongings: &Belongings<'_>, live: &ServiceView) -> Option<Value> {
    let mut spec = Map::new();
    let turns = want.kind.as_str() != live.type_;
    if turns {
        spec.insert("type".into(), json!(want.kind.as_str()));
        if live.type_ == LOAD_BALANCER {
            // They exist for this type only; the API server refuses some of them on another one.
            for field in [
                "externalTrafficPolicy",
                "allocateLoadBalancerNodePorts",
                "loadBalancerClass",
                "healthCheckNodePort",
            ] {
                spec.insert(field.into(), Value::Null);
            }
        }
    }
    let selector = selector(want, &belongings.pod.metadata.name, live);
    if !selector.is_empty() {
        spec.insert("selector".into(), Value::Object(selector));
    }
    if turns || !same_ports(&want.ports, &live.ports) {
        spec.insert("ports".into(), json!(ports(want, live)));
    }
    if want.publishes_not_ready != live.publishes_not_ready {
        spec.insert("publishNotReadyAddresses".into(), json!(want.publishes_not_ready));
    }
    if let Kind::LoadBalancer(balancer) = &want.kind {
        // A Service that was of another type in between has lost them all.
        let class = balancer.class.is_some() && balancer.class != live.class;
        let policy = live.external_traffic_policy.as_deref() != Some(&balancer.external_traffic_policy);
        let node_ports = live.allocate_node_ports.unwrap_or(true) != balancer.allocate_node_ports;
        if turns || class || policy || node_ports {
            spec.append(&mut balancer_fields(want));
        }
    }
    let mut patch = Map::new();
    if let Some(metadata) = belongings.patch(&live.metadata) {
        patch.insert("metadata".into(), metadata);
    }
    if !spec.is_empty() {
        patch.insert("spec".into(), Value::Object(spec));
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

fn selector_key(want: &ServiceWant) -> &'static str {
    if want.routes {
        label::POD_NAME
    } else {
        label::SERVICE_SELECTOR_DISABLED
    }
}

/// The changes of the selector: one key, and nothing else.
fn selector(want: &ServiceWant, pod: &str, live: &ServiceView) -> Map<String, Value> {
    let key = selector_key(want);
    let mut changes = Map::new();
    for other in live.selector.keys().filter(|other| *other != key) {
        changes.insert(other.clone(), Value::Null);
    }
    if live.selector.get(key).is_none_or(|value| value != pod) {
        changes.insert(key.to_owned(), json!(pod));
    }
    changes
}

fn same_ports(wanted: &[PortWant], live: &[ServicePort]) -> bool {
    wanted.len() == live.len()
        && wanted.iter().zip(live).all(|(wanted, live)| {
            (
                wanted.name.as_str(),
                wanted.port,
                Some(wanted.target),
                wanted.protocol,
            ) == (live.name.as_str(), live.port, live.target, live.protocol)
        })
}

/// The whole list, which a merge patch replaces. A port that stays keeps its port of the nodes.
fn ports(want: &ServiceWant, live: &ServiceView) -> Vec<Value> {
    let node_port = |wanted: &PortWant| {
        let same =
            |live: &&ServicePort| (live.target, live.protocol) == (Some(wanted.target), wanted.protocol);
        match want.kind {
            Kind::ClusterIp => 0,
            _ => live.ports.iter().find(same).map_or(0, |live| live.node_port),
        }
    };
    want.ports
        .iter()
        .map(|port| port_json(port, node_port(port)))
        .collect()
}

fn port_json(port: &PortWant, node_port: u16) -> Value {
    let mut json = json!({
        "name": port.name,
        "port": port.port,
        "targetPort": port.target,
        "protocol": port.protocol.as_str(),
    });
    if node_port > 0 {
        json["nodePort"] = json!(node_port);
    }
    json
}

fn balancer_fields(want: &ServiceWant) -> Map<String, Value> {
    let mut fields = Map::new();
    if let Kind::LoadBalancer(balancer) = &want.kind {
        if let Some(class) = &balancer.class {
            fields.insert("loadBalancerClass".into(), json!(class));
        }
        fields.insert(
            "externalTrafficPolicy".into(),
            json!(balancer.external_traffic_policy),
        );
        fields.insert(
            "allocateLoadBalancerNodePorts".into(),
            json!(balancer.allocate_node_ports),
        );
    }
    fields
}

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Belongings, service};
use crate::{
    engine::{Balancer, Kind, PortWant, ServiceWant},
    fixture::{pod, set, stored, view},
    params::Protocol,
    views::ServiceView,
};

fn kind() -> impl Strategy<Value = Kind> {
    let balancer = (proptest::option::of("[ab]"), any::<bool>(), any::<bool>()).prop_map(
        |(class, local, node_ports)| {
            Kind::LoadBalancer(Balancer {
                class,
                external_traffic_policy: if local { "Local" } else { "Cluster" }.to_owned(),
                allocate_node_ports: node_ports,
            })
        },
    );
    prop_oneof![Just(Kind::ClusterIp), Just(Kind::NodePort), balancer]
}

fn want() -> impl Strategy<Value = ServiceWant> {
    let port = (1_u16..4, 1_u16..4, any::<bool>()).prop_map(|(port, target, udp)| PortWant {
        name: format!("{port}-{udp}"),
        port,
        target,
        protocol: if udp { Protocol::Udp } else { Protocol::Tcp },
    });
    let map = || proptest::collection::btree_map("[xyz]", "[12]", 0..3);
    let ports = proptest::collection::vec(port, 1..4);
    (kind(), ports, any::<bool>(), any::<bool>(), map(), map()).prop_map(
        |(kind, ports, routes, publishes_not_ready, labels, annotations)| ServiceWant {
            kind,
            ports,
            routes,
            publishes_not_ready,
            labels,
            annotations,
        },
    )
}

fn merge(into: &mut Value, patch: &Value) {
    let (Value::Object(into), Value::Object(patch)) = (&mut *into, patch) else {
        *into = patch.clone();
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            into.remove(key);
        } else {
            merge(into.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

fn belongings<'a>(
    pod: &'a crate::views::PodView,
    set: Option<&'a crate::views::SetView>,
    want: &'a ServiceWant,
) -> Belongings<'a> {
    Belongings {
        pod,
        kept_by: set,
        labels: &want.labels,
        annotations: &want.annotations,
    }
}

/// What a plugin has a word in, read from the stored object without the code under test.
fn meaning(service: &ServiceView) -> Value {
    let is_balancer = service.type_ == "LoadBalancer";
    let only = |value: Value| if is_balancer { value } else { Value::Null };
    json!({
        "type": service.type_,
        "selector": service.selector,
        "ports": service.ports.iter().map(|port| json!([port.name, port.port, port.target, port.protocol.as_str()])).collect::<Vec<_>>(),
        "publishes": service.publishes_not_ready,
        "policy": only(json!(service.external_traffic_policy)),
        "node ports": only(json!(service.allocate_node_ports.unwrap_or(true))),
        "owner": service.metadata.owner_references[0].uid,
    })
}

proptest! {
    // From any Service to any other: one patch, then nothing is left to do, and it is what a new one would be.
    #[test]
    fn one_patch_makes_any_service_the_wanted_one(first in want(), second in want(), fixed in any::<(bool, bool)>()) {
        let (pod, set) = (view(&pod("x", &[])), set());
        let kept = |fixed: bool| fixed.then_some(&set);
        let mut object = service::create(&first, &belongings(&pod, kept(fixed.0), &first));
        // Somebody else's.
        merge(&mut object, &json!({"metadata": {"labels": {"theirs": "1"}, "annotations": {"theirs": "1"}}}));
        let live = stored(&object);
        prop_assert_eq!(service::patch(&first, &belongings(&pod, kept(fixed.0), &first), &live), None);

        let wanted = belongings(&pod, kept(fixed.1), &second);
        if let Some(patch) = service::patch(&second, &wanted, &live) {
            merge(&mut object, &patch);
        }
        let live = stored(&object);
        prop_assert_eq!(service::patch(&second, &wanted, &live), None);
        prop_assert_eq!(meaning(&live), meaning(&stored(&service::create(&second, &wanted))));
        let shown = |map: &api_types::views::StringMap| -> BTreeMap<String, String> {
            map.iter().filter(|(key, _)| key.len() == 1 || *key == "theirs").map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
        };
        let mut labels = second.labels.clone();
        labels.insert("theirs".into(), "1".into());
        prop_assert_eq!(shown(&live.metadata.labels), labels);
        let mut annotations = second.annotations.clone();
        annotations.insert("theirs".into(), "1".into());
        prop_assert_eq!(shown(&live.metadata.annotations), annotations);
    }
}

#[test]
fn a_port_that_stays_keeps_its_port_of_the_nodes() {
    let pod = view(&pod("x", &[]));
    let port = |port: u16| PortWant {
        name: port.to_string(),
        port,
        target: port,
        protocol: Protocol::Tcp,
    };
    let with = |ports: &[u16]| ServiceWant {
        kind: Kind::NodePort,
        ports: ports.iter().map(|number| port(*number)).collect(),
        routes: true,
        ..ServiceWant::default()
    };
    let live = stored(&service::create(
        &with(&[80, 81]),
        &belongings(&pod, None, &with(&[80, 81])),
    ));
    let more = with(&[79, 81]);
    let patch = service::patch(&more, &belongings(&pod, None, &more), &live).unwrap();
    assert_eq!(patch["spec"]["ports"][0].get("nodePort"), None);
    assert_eq!(patch["spec"]["ports"][1]["nodePort"], 30001);
}

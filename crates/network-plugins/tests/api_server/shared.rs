//! `Kubernetes-LoadBalancer` where servers share load balancers: every port once, and back when its Service is gone.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use test_bed::{Process, uid};

use crate::world::{World, condition, conf, eventually};

const ID: &str = "example.org/id";
const PARAMETERS: [(&str, &str); 6] = [
    ("PortProtocols", "80"),
    ("LoadBalancerIds", "lb-a,lb-b"),
    ("IdAnnotation", ID),
    ("MinPort", "1000"),
    ("MaxPort", "1002"),
    ("BlockPorts", "1001"),
];

/// Id and first port of a Service that is on a load balancer.
fn place(service: &Value) -> Option<(String, i64)> {
    let id = service["metadata"]["annotations"][ID].as_str()?;
    let port = service["spec"]["ports"][0]["port"].as_i64()?;
    (service["spec"]["type"] == "LoadBalancer").then(|| (id.to_owned(), port))
}

async fn placed(world: &World, name: &str) -> (String, i64) {
    let service = world.when(&world.service(name), |it| place(it).is_some()).await;
    place(&service).unwrap()
}

/// Every entry of every record: id and port.
async fn recorded(world: &World) -> BTreeSet<String> {
    let records = world.get(&world.path("configmaps", "")).await.unwrap();
    let of = |record: &Value| {
        let id = record["metadata"]["annotations"]["game.kruise.io/load-balancer-id"].as_str()?;
        let ports = record["data"].as_object()?.keys();
        Some(ports.map(|port| format!("{id} {port}")).collect::<Vec<_>>())
    };
    records["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(of)
        .flatten()
        .collect()
}

async fn recorded_until(world: &World, wanted: &[&str]) {
    let look = async || recorded(world).await;
    eventually("the record", look, |found| {
        found.iter().map(String::as_str).eq(wanted.iter().copied())
    })
    .await;
}

#[tokio::test]
async fn ports_are_given_once_kept_while_disabled_and_free_when_the_service_is_gone() {
    let world = World::new("Kubernetes-LoadBalancer", &PARAMETERS).await;
    let _process = world.start().await;
    for (name, id, port) in [
        ("arena-0", "lb-a", 1000),
        ("arena-1", "lb-a", 1002),
        ("arena-2", "lb-b", 1000),
        ("arena-3", "lb-b", 1002),
    ] {
        world.server(name).await;
        assert_eq!(placed(&world, name).await, (id.to_owned(), port));
    }
    recorded_until(
        &world,
        &["lb-a TCP-1000", "lb-a TCP-1002", "lb-b TCP-1000", "lb-b TCP-1002"],
    )
    .await;
    world.server("arena-4").await;
    let server = world.reason_until("arena-4", "PortsExhausted").await;
    let message = condition(&server, "NetworkReady")["message"].clone();
    assert!(message.as_str().unwrap().contains("lb-a, lb-b"), "{message}");

    world.disable("arena-0", true).await;
    world.reason_until("arena-0", "NetworkDisabled").await;
    world.disable("arena-0", false).await;
    assert_eq!(placed(&world, "arena-0").await, ("lb-a".to_owned(), 1000));

    // A cloud that is still taking the load balancer down: the port is its until it is done.
    let hold = json!({"metadata": {"finalizers": ["service.kubernetes.io/load-balancer-cleanup"]}});
    world.merge(&world.service("arena-1"), &hold).await;
    world.delete(&world.path("pods", "arena-1"), &json!({})).await;
    world
        .when(&world.service("arena-1"), |it| {
            it["metadata"]["deletionTimestamp"].is_string()
        })
        .await;
    assert!(recorded(&world).await.contains("lb-a TCP-1002"));
    assert!(place(&world.get(&world.service("arena-4")).await.unwrap()).is_none());
    world
        .merge(
            &world.service("arena-1"),
            &json!({"metadata": {"finalizers": null}}),
        )
        .await;
    assert_eq!(placed(&world, "arena-4").await, ("lb-a".to_owned(), 1002));
    for name in ["arena-0", "arena-2", "arena-3", "arena-4"] {
        world.delete(&world.path("pods", name), &json!({})).await;
    }
    recorded_until(&world, &[]).await;
    world.end().await;
}

#[tokio::test]
async fn what_is_on_a_load_balancer_already_is_taken_over_and_never_given_to_another() {
    let world = World::new("Kubernetes-LoadBalancer", &PARAMETERS).await;
    let pod = world.server("arena-0").await;
    let on = |name: &str, port: u16, owners: Value| {
        json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "annotations": {ID: "lb-a"}, "ownerReferences": owners},
            "spec": {"type": "LoadBalancer", "ports": [{"name": "80", "port": port, "targetPort": 80, "protocol": "TCP"}],
                "selector": {"statefulset.kubernetes.io/pod-name": name}}})
    };
    let owner =
        json!([{"apiVersion": "v1", "kind": "Pod", "name": "arena-0", "uid": pod, "controller": true}]);
    let theirs = world
        .post(&world.service(""), &on("arena-0", 1002, owner))
        .await
        .unwrap();
    // One that is nobody's server.
    world
        .post(&world.service(""), &on("by-hand", 1000, Value::Null))
        .await
        .unwrap();
    let _process = world.start().await;
    world.server("arena-1").await;
    assert_eq!(placed(&world, "arena-1").await, ("lb-b".to_owned(), 1000));
    recorded_until(&world, &["lb-a TCP-1002", "lb-b TCP-1000"]).await;
    let after = world.get(&world.service("arena-0")).await.unwrap();
    assert_eq!((uid(&after), &after["spec"]), (uid(&theirs), &theirs["spec"]));
    world.end().await;
}

#[tokio::test]
async fn two_leaders_and_a_crash_give_no_port_twice_and_lose_none() {
    let world = World::new("Kubernetes-LoadBalancer", &PARAMETERS).await;
    let many = conf(&[
        ("PortProtocols", "80,81/TCPUDP"),
        ("LoadBalancerIds", "lb-a"),
        ("IdAnnotation", ID),
        ("MinPort", "1000"),
        ("MaxPort", "1100"),
    ]);
    let container = || json!({"name": "game", "image": "game:1"});
    let (first, second) = tokio::join!(world.start(), world.start());
    let names: Vec<String> = (0..12).map(|id| format!("arena-{id}")).collect();
    for name in &names {
        world.server_with(name, container(), many.clone()).await;
    }
    drop(first);
    let mut used = BTreeSet::new();
    for name in &names {
        let service = world.when(&world.service(name), |it| place(it).is_some()).await;
        for port in service["spec"]["ports"].as_array().unwrap() {
            assert!(
                used.insert(format!(
                    "lb-a {}-{}",
                    port["protocol"].as_str().unwrap(),
                    port["port"]
                )),
                "{port}"
            );
        }
    }
    assert_eq!(used.len(), 36);
    assert_eq!(recorded(&world).await, used);

    // Deleted while nobody looks; whoever comes next takes the ports back.
    drop(second);
    for name in &names {
        world.delete(&world.path("pods", name), &json!({})).await;
    }
    let services = async || {
        world.get(&world.service("")).await.unwrap()["items"]
            .as_array()
            .unwrap()
            .len()
    };
    eventually("the end of the Services", services, |left| *left == 0).await;
    assert_eq!(recorded(&world).await.len(), 36);
    let _third: Process = world.start().await;
    recorded_until(&world, &[]).await;
    world.end().await;
}

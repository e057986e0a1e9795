//! `Kubernetes-LoadBalancer` where each server has one of its own.

use serde_json::{Value, json};

use crate::world::{World, eventually};

#[tokio::test]
async fn a_load_balancer_is_published_when_the_cloud_has_answered_and_comes_back_as_it_was() {
    let parameters = [
        ("PortProtocols", "7777/UDP"),
        ("LoadBalancerClass", "example.org/l4"),
        ("ExternalTrafficPolicy", "Local"),
        ("AllocateLoadBalancerNodePorts", "false"),
        ("Annotation", "example.org/name: game-<id>"),
    ];
    let world = World::new("Kubernetes-LoadBalancer", &parameters).await;
    let process = world.start().await;
    world.server("arena-3").await;
    let is_balancer = |service: &Value| service["spec"]["type"] == "LoadBalancer";
    let service = world.when(&world.service("arena-3"), is_balancer).await;
    assert_eq!(service["spec"]["loadBalancerClass"], "example.org/l4");
    assert_eq!(service["metadata"]["annotations"]["example.org/name"], "game-3");
    world
        .cloud_answers("arena-3", json!({"ip": "198.51.100.9"}))
        .await;
    let server = world.network_until("arena-3", "Ready").await;
    let external = &server["status"]["networkStatus"]["externalAddresses"];
    assert_eq!(
        external,
        &json!([{"ip": "198.51.100.9", "ports": [{"name": "7777", "port": 7777, "protocol": "UDP"}]}])
    );
    assert_eq!(process.writes().await, 3);

    world.disable("arena-3", true).await;
    let server = world.reason_until("arena-3", "NetworkDisabled").await;
    let network = &server["status"]["networkStatus"];
    assert!(
        network.get("externalAddresses").is_none_or(|it| it == &json!([])),
        "{network}"
    );
    let service = world.get(&world.service("arena-3")).await.unwrap();
    assert_eq!(service["spec"]["type"], "ClusterIP");
    assert_eq!(service["spec"].get("loadBalancerClass"), None);

    world.disable("arena-3", false).await;
    let service = world.when(&world.service("arena-3"), is_balancer).await;
    let spec = &service["spec"];
    assert_eq!(spec["loadBalancerClass"], "example.org/l4");
    assert_eq!(spec["externalTrafficPolicy"], "Local");
    assert_eq!(spec["allocateLoadBalancerNodePorts"], false);
    world
        .cloud_answers("arena-3", json!({"hostname": "lb.example.org"}))
        .await;
    world.network_until("arena-3", "Ready").await;
    let published = async || world.annotation("arena-3").await;
    eventually("the name", published, |text| {
        text.contains(r#""endPoint":"lb.example.org""#)
    })
    .await;
    world.end().await;
}

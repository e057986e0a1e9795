//! `Kubernetes-NodePort` and `Kubernetes-HostPort`.

use serde_json::{Value, json};
use test_bed::uid;

use crate::world::{World, conf, eventually};

fn node_port(service: &Value) -> i64 {
    service["spec"]["ports"][0]["nodePort"].as_i64().unwrap()
}

#[tokio::test]
async fn node_ports_are_published_and_follow_the_address_of_the_node() {
    let world = World::new("Kubernetes-NodePort", &[("PortProtocols", "80,7777/UDP")]).await;
    let process = world.start().await;
    world.server("arena-0").await;
    let server = world.network_until("arena-0", "Ready").await;
    let service = world.get(&world.service("arena-0")).await.unwrap();
    let external = &server["status"]["networkStatus"]["externalAddresses"];
    assert_eq!(external[0]["ip"], "203.0.113.5");
    assert_eq!(
        external[0]["ports"][0],
        json!({"name": "80", "port": node_port(&service), "protocol": "TCP"})
    );
    assert_eq!(external[1]["ports"][0]["protocol"], "UDP");
    assert_eq!(process.writes().await, 3, "Service, annotation, status");

    world.node_address("203.0.113.6").await;
    let moved = async || world.annotation("arena-0").await;
    eventually("the new address", moved, |text| text.contains("203.0.113.6")).await;
    world.end().await;
}

#[tokio::test]
async fn a_fixed_service_outlives_the_pod_and_keeps_its_ports() {
    let parameters = [("PortProtocols", "80"), ("Fixed", "true")];
    let world = World::new("Kubernetes-NodePort", &parameters).await;
    let _process = world.start().await;
    world.server("arena-0").await;
    world.network_until("arena-0", "Ready").await;
    let before = world.get(&world.service("arena-0")).await.unwrap();
    assert_eq!(before["metadata"]["ownerReferences"][0]["kind"], "GameServerSet");
    world.delete(&world.path("pods", "arena-0"), &json!({})).await;
    let gone = async || world.get(&world.path("gameservers", "arena-0")).await;
    eventually("the end of the GameServer", gone, Option::is_none).await;
    world.server("arena-0").await;
    world.network_until("arena-0", "Ready").await;
    let after = world.get(&world.service("arena-0")).await.unwrap();
    assert_eq!(
        (uid(&after), node_port(&after)),
        (uid(&before), node_port(&before))
    );

    // No longer fixed: the Service is the Pod's, and keeps its port all the same.
    let text = conf(&[("PortProtocols", "80")]).to_string();
    let body = json!({"metadata": {"annotations": {"game.kruise.io/network-conf": text}}});
    world.merge(&world.path("pods", "arena-0"), &body).await;
    let owned = |service: &Value| service["metadata"]["ownerReferences"][0]["kind"] == "Pod";
    let after = world.when(&world.service("arena-0"), owned).await;
    assert_eq!(
        (uid(&after), node_port(&after)),
        (uid(&before), node_port(&before))
    );
    world.end().await;
}

#[tokio::test]
async fn containers_that_may_be_not_ready_stay_in_the_service_while_they_are_updated() {
    let parameters = [("PortProtocols", "80"), ("AllowNotReadyContainers", "side,game")];
    let world = World::new("Kubernetes-NodePort", &parameters).await;
    let _process = world.start().await;
    world.server("arena-0").await;
    world.network_until("arena-0", "Ready").await;
    let blocker = "game.kruise.io/inplace-update-not-ready-blocker";
    let blocks = |value: &'static str| move |pod: &Value| pod["metadata"]["labels"][blocker] == value;
    let publishes = |service: &Value| service["spec"]["publishNotReadyAddresses"] == true;
    let pod = world.path("pods", "arena-0");
    world.when(&pod, blocks("true")).await;

    let template = json!({"spec": {"gameServerTemplate": {"spec": {"containers": [{"name": "game", "image": "game:2"}]}}}});
    world
        .merge(&world.path("gameserversets", "arena"), &template)
        .await;
    world
        .label(
            "arena-0",
            json!({"lifecycle.apps.kruise.io/state": "PreparingUpdate"}),
        )
        .await;
    world.when(&pod, blocks("false")).await;
    assert!(
        publishes(&world.get(&world.service("arena-0")).await.unwrap()),
        "before the update may begin"
    );

    let ready = |status: &str| json!({"status": {"conditions": [{"type": "Ready", "status": status}]}});
    world
        .strategic_merge(&format!("{pod}/status"), &ready("False"))
        .await;
    world
        .label("arena-0", json!({"lifecycle.apps.kruise.io/state": "Updating"}))
        .await;
    world.when(&pod, blocks("true")).await;
    assert!(
        publishes(&world.get(&world.service("arena-0")).await.unwrap()),
        "until it is ready again"
    );
    world
        .strategic_merge(&format!("{pod}/status"), &ready("True"))
        .await;
    world
        .when(&world.service("arena-0"), |service| !publishes(service))
        .await;
    world.end().await;
}

#[tokio::test]
async fn host_ports_of_the_pod_are_published_without_any_object() {
    let parameters = [("ContainerPorts", "game:7777/UDP,9000/TCPUDP")];
    let world = World::new("Kubernetes-HostPort", &parameters).await;
    let process = world.start().await;
    let container = json!({"name": "game", "image": "game:1", "ports": [
        {"containerPort": 7777, "hostPort": 8001, "protocol": "UDP"},
        {"containerPort": 9000, "hostPort": 8000, "protocol": "TCP"},
        {"containerPort": 9000, "hostPort": 8000, "protocol": "UDP"}]});
    world.server_with("arena-0", container, conf(&parameters)).await;
    let server = world.network_until("arena-0", "Ready").await;
    let external = &server["status"]["networkStatus"]["externalAddresses"];
    assert_eq!(
        external,
        &json!([{"ip": "203.0.113.5", "ports": [
            {"name": "game-7777", "port": 8001, "protocol": "UDP"},
            {"name": "game-9000", "port": 8000, "protocol": "TCP"},
            {"name": "game-9000", "port": 8000, "protocol": "UDP"}]}])
    );
    assert_eq!(process.writes().await, 2);
    world.server("arena-1").await;
    world.reason_until("arena-1", "HostPortsMissing").await;
    world.end().await;
}

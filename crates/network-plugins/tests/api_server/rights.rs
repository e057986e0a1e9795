//! The rights of `e2e/rbac/network-plugins.yaml` are enough, in one namespace as a Role and a ClusterRole for nodes.

use serde_json::{Value, json};
use test_bed::{Process, Scope, allow, rules, service_account};

use crate::world::{World, eventually};

const ACCOUNT: &str = "network-plugins";

#[tokio::test]
async fn the_documented_rights_are_enough_for_all_that_is_done() {
    let parameters = [
        ("PortProtocols", "80"),
        ("LoadBalancerIds", "lb-a"),
        ("IdAnnotation", "example.org/id"),
    ];
    let world = World::new("Kubernetes-LoadBalancer", &parameters).await;
    let kubeconfig = service_account(&world, ACCOUNT).await;
    let (of_nodes, others): (Vec<Value>, Vec<Value>) = rules(ACCOUNT, "ClusterRole")
        .into_iter()
        .partition(|rule| rule["resources"] == json!(["nodes"]));
    allow(&world, ACCOUNT, ACCOUNT, &of_nodes, Scope::Cluster).await;
    allow(&world, ACCOUNT, ACCOUNT, &others, Scope::Namespace).await;
    let own = rules(ACCOUNT, "Role");
    allow(&world, ACCOUNT, "network-plugins-own", &own, Scope::Namespace).await;
    let program = env!("CARGO_BIN_EXE_network-plugins");
    let flags = ["--lease-namespace", &world.namespace];
    let process = Process::start(program, &kubeconfig, &world.namespace, &flags).await;

    // Each right is used: a Service, a record, an annotation, a status, an event, a network that is taken back.
    world.server("arena-0").await;
    world
        .when(&world.service("arena-0"), |it| {
            it["spec"]["type"] == "LoadBalancer"
        })
        .await;
    world
        .cloud_answers("arena-0", json!({"ip": "198.51.100.9"}))
        .await;
    world.network_until("arena-0", "Ready").await;
    let theirs = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "arena-1"}, "spec": {"ports": [{"port": 1}]}});
    world.post(&world.service(""), &theirs).await.unwrap();
    world.server("arena-1").await;
    world.warning_until("arena-1", "ServiceConflict").await;
    let none = json!({"game.kruise.io/network-type": null});
    world
        .merge(
            &world.path("pods", "arena-0"),
            &json!({"metadata": {"annotations": none}}),
        )
        .await;
    eventually(
        "the end of the Service",
        async || world.get(&world.service("arena-0")).await,
        Option::is_none,
    )
    .await;
    let ports = async || process.value("gamekeeper_network_ports", &[]).await;
    eventually("a free port", ports, |ports| *ports < 0.5).await;
    assert_eq!(process.forbidden().await, 0, "requests were refused");
    for plural in ["roles", "rolebindings"] {
        let path = format!(
            "/apis/rbac.authorization.k8s.io/v1/cluster{plural}/{}",
            world.namespace
        );
        world.delete(&path, &json!({})).await;
    }
    world.end().await;
}

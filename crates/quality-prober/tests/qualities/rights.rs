//! The rights of `e2e/rbac/` are enough, as a Role in one namespace.

use serde_json::{Value, json};
use test_bed::{Scope, allow, rules, service_account};

use crate::{
    process::Prober,
    world::{World, eventually},
};

async fn account(world: &World, name: &str, leases: bool) -> tempfile::TempPath {
    let kubeconfig = service_account(world, name).await;
    allow(world, name, name, &rules(name, "ClusterRole"), Scope::Namespace).await;
    if leases {
        let lease_rights = format!("{name}-leases");
        allow(world, name, &lease_rights, &rules(name, "Role"), Scope::Namespace).await;
    }
    kubeconfig
}

fn qualities() -> Value {
    json!([{"name": "open", "permanent": false, "tcpSocket": {"port": 1}, "periodSeconds": 1, "failureThreshold": 1,
        "serviceQualityAction": [{"state": false, "opsState": "Maintaining", "labels": {"a": "b"}}]}])
}

#[tokio::test]
async fn the_rights_are_enough_for_actions() {
    let world = World::new().await;
    let kubeconfig = account(&world, "quality-prober", true).await;
    let set = world.set(qualities()).await;
    world.server("arena-0", &set, "None").await;
    let flags = ["--mode", "actions", "--lease-namespace", &world.namespace];
    let process = Prober::start_as(&world, &kubeconfig, &flags).await;
    world.says("arena-0", "open", "False", "").await;
    world.ops_state_until("arena-0", "Maintaining").await;
    world.entry_until("arena-0", "open", "False", "").await;
    world.event_until("arena-0", "Normal ServiceQualityAction").await;
    assert_eq!(process.forbidden().await, 0, "requests were refused");
    world.delete_namespace().await;
}

/// Nobody listens on port 1: the probe fails.
#[tokio::test]
async fn the_rights_are_enough_for_probing_centrally() {
    let world = World::new().await;
    let kubeconfig = account(&world, "quality-prober-central", true).await;
    let mut qualities = qualities();
    // There is no node, and so no answer; but it may ask.
    let command = json!({"name": "shell", "permanent": false, "exec": {"command": ["true"]}, "periodSeconds": 1, "failureThreshold": 1});
    qualities.as_array_mut().unwrap().push(command);
    let set = world.set(qualities).await;
    world.server("arena-0", &set, "None").await;
    world.runs("arena-0").await;
    let flags = ["--mode", "central", "--lease-namespace", &world.namespace];
    let process = Prober::start_as(&world, &kubeconfig, &flags).await;
    world.ops_state_until("arena-0", "Maintaining").await;
    world
        .entry_until(
            "arena-0",
            "open",
            "False",
            "port 1: Connection refused (os error 111)",
        )
        .await;
    let lease = format!(
        "/apis/coordination.k8s.io/v1/namespaces/{}/leases/quality-prober",
        world.namespace
    );
    let look = async || world.get(&lease).await.unwrap_or_default();
    eventually("renewed Lease", look, |lease| {
        lease["spec"]["renewTime"].as_str() > lease["spec"]["acquireTime"].as_str()
    })
    .await;
    assert_eq!(process.forbidden().await, 0, "requests were refused");
    world.delete_namespace().await;
}

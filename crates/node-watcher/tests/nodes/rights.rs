//! The rights of `e2e/rbac/node-watcher.yaml` are enough, in one namespace as a Role and a ClusterRole for nodes.

use serde_json::{Value, json};
use test_bed::{Scope, allow, rules, service_account};

use crate::{process::NodeWatcher, world::World};

const ACCOUNT: &str = "node-watcher";

#[tokio::test]
async fn the_rights_are_enough_for_all_that_is_done() {
    let world = World::new().await;
    let kubeconfig = service_account(&world, ACCOUNT).await;
    let (of_nodes, others): (Vec<Value>, Vec<Value>) = rules(ACCOUNT, "ClusterRole")
        .into_iter()
        .partition(|rule| rule["resources"] == json!(["nodes"]));
    allow(&world, ACCOUNT, ACCOUNT, &of_nodes, Scope::Cluster).await;
    allow(&world, ACCOUNT, ACCOUNT, &others, Scope::Namespace).await;
    let leases = rules(ACCOUNT, "Role");
    allow(&world, ACCOUNT, "node-watcher-leases", &leases, Scope::Namespace).await;

    world.node("a").await;
    world.server("arena-0", "").await;
    let flags = ["--lease-namespace", &world.namespace];
    let process = NodeWatcher::start_as(&world, &kubeconfig, &flags).await;
    // Each right is used: a label, a condition, an event, the lease.
    world.bind("arena-0", "a").await;
    world.node_says("a", "Ready", "Unknown", 1).await;
    world.condition_until("arena-0", "NodeNormal", "False").await;
    world.warning_until("arena-0", "NodeNotReady").await;
    process
        .metric_until("gamekeeper_node_watcher_labels_total", &[], |labels| labels == 1)
        .await;
    assert_eq!(process.forbidden().await, 0, "requests were refused");
    for plural in ["roles", "rolebindings"] {
        let path = format!(
            "/apis/rbac.authorization.k8s.io/v1/cluster{plural}/{}",
            world.namespace
        );
        world.delete(&path, &json!({})).await;
    }
    world.end(&["a"]).await;
}

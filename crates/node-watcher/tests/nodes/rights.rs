//! The rights of `e2e/rbac/node-watcher.yaml` are enough, in one namespace as a Role and a ClusterRole for nodes.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{process::NodeWatcher, world::World};

fn rules(kind: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/rbac/node-watcher.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let documents: Vec<Value> = serde_yaml::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).unwrap())
        .collect();
    let document = documents
        .iter()
        .find(|document| document["kind"] == kind)
        .unwrap();
    document["rules"].as_array().unwrap().clone()
}

/// Binds `rules` to the service account, in the namespace or in the cluster.
async fn allow(world: &World, name: &str, rules: &[Value], cluster: bool) {
    let kind = if cluster { "ClusterRole" } else { "Role" };
    let subjects = json!([{"kind": "ServiceAccount", "name": "node-watcher", "namespace": world.namespace}]);
    let role = json!({"metadata": {"name": name}, "rules": rules});
    let binding = json!({"metadata": {"name": name}, "subjects": subjects,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}});
    let path = |plural: &str| {
        if cluster {
            format!("/apis/rbac.authorization.k8s.io/v1/cluster{plural}")
        } else {
            world.path(plural, "")
        }
    };
    world.post(&path("roles"), &role).await.unwrap();
    world.post(&path("rolebindings"), &binding).await.unwrap();
}

/// A kubeconfig with a token of the service account.
async fn service_account(world: &World, directory: &Path) -> PathBuf {
    let account = json!({"metadata": {"name": "node-watcher"}});
    world
        .post(&world.path("serviceaccounts", ""), &account)
        .await
        .unwrap();
    let ask = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"expirationSeconds": 600}});
    let path = format!("{}/token", world.path("serviceaccounts", "node-watcher"));
    let token = world.post(&path, &ask).await.unwrap()["status"]["token"].clone();
    let mut kubeconfig: Value =
        serde_yaml::from_str(&std::fs::read_to_string(&world.kubeconfig).unwrap()).unwrap();
    for user in kubeconfig["users"].as_array_mut().unwrap() {
        user["user"] = json!({ "token": token });
    }
    let path = directory.join("kubeconfig");
    std::fs::write(&path, serde_yaml::to_string(&kubeconfig).unwrap()).unwrap();
    path
}

#[tokio::test]
async fn the_rights_are_enough_for_all_that_is_done() {
    let world = World::new().await;
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = service_account(&world, directory.path()).await;
    let (of_nodes, others): (Vec<Value>, Vec<Value>) = rules("ClusterRole")
        .into_iter()
        .partition(|rule| rule["resources"] == json!(["nodes"]));
    allow(&world, &world.namespace, &of_nodes, true).await;
    allow(&world, "node-watcher", &others, false).await;
    allow(&world, "node-watcher-leases", &rules("Role"), false).await;

    world.node("a").await;
    world.server("arena-0", "").await;
    let flags = ["--lease-namespace", &world.namespace];
    let process = NodeWatcher::start_as(&world, &kubeconfig, &flags).await;
    // Each right is used: a label, a condition, an event, the lease.
    world.bind("arena-0", "a").await;
    world.node_says("a", "Ready", "Unknown", 1).await;
    world.condition_until("arena-0", "NodeNormal", "False").await;
    world.warning_until("arena-0", "NodeNotReady").await;
    let labelled = async || process.metric("gamekeeper_node_watcher_labels_total", "").await;
    crate::world::eventually("the label", labelled, |labels| *labels == 1).await;
    let refused = process
        .metric("gamekeeper_api_requests_total", "outcome=\"forbidden\"")
        .await;
    assert_eq!(refused, 0, "requests were refused");
    for plural in ["roles", "rolebindings"] {
        let path = format!(
            "/apis/rbac.authorization.k8s.io/v1/cluster{plural}/{}",
            world.namespace
        );
        world.delete(&path).await;
    }
    world.end(&["a"]).await;
}

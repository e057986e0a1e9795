//! The rights of `e2e/rbac/gs-controller.yaml` are enough, and in one namespace they are enough as a Role.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    process::Controller,
    support::{Arena, state},
};

/// The documents of the RBAC file.
fn rbac() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/rbac/gs-controller.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    serde_yaml::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).unwrap())
        .collect()
}

fn rules(kind: &str) -> Vec<Value> {
    let documents = rbac();
    let document = documents
        .iter()
        .find(|document| document["kind"] == kind)
        .unwrap();
    document["rules"].as_array().unwrap().clone()
}

/// Binds `rules` to a service account in the arena's namespace.
async fn allow(arena: &Arena, name: &str, rules: &[Value]) {
    let role = json!({"metadata": {"name": name}, "rules": rules});
    arena.post(&arena.path("roles", ""), &role).await.unwrap();
    let binding = json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "gs-controller", "namespace": arena.namespace}],
    });
    arena
        .post(&arena.path("rolebindings", ""), &binding)
        .await
        .unwrap();
}

/// A kubeconfig with a token of the service account `gs-controller`.
async fn service_account(arena: &Arena, directory: &Path) -> PathBuf {
    let account = json!({"metadata": {"name": "gs-controller"}});
    arena
        .post(&arena.path("serviceaccounts", ""), &account)
        .await
        .unwrap();
    let ask = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"expirationSeconds": 600}});
    let path = format!("{}/token", arena.path("serviceaccounts", "gs-controller"));
    let token = arena.post(&path, &ask).await.unwrap()["status"]["token"].clone();
    let mut kubeconfig: Value =
        serde_yaml::from_str(&std::fs::read_to_string(&arena.kubeconfig).unwrap()).unwrap();
    for user in kubeconfig["users"].as_array_mut().unwrap() {
        user["user"] = json!({ "token": token });
    }
    let path = directory.join("kubeconfig");
    std::fs::write(&path, serde_yaml::to_string(&kubeconfig).unwrap()).unwrap();
    path
}

#[tokio::test]
async fn rights_in_one_namespace_are_enough_for_everything_but_volumes() {
    let arena = Arena::new().await;
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = service_account(&arena, directory.path()).await;
    let mut namespaced = rules("ClusterRole");
    for rule in &mut namespaced {
        let resources = rule["resources"].as_array_mut().unwrap();
        resources.retain(|resource| resource != "persistentvolumes");
    }
    allow(&arena, "gs-controller", &namespaced).await;
    allow(&arena, "gs-controller-leases", &rules("Role")).await;

    let set = arena.set("arena", "Delete").await;
    let flags = ["--lease-namespace", &arena.namespace];
    let controller = Controller::start_with(&kubeconfig, &arena.namespace, &flags).await;
    arena.pod("arena-0", &set).await;
    arena.make_ready("arena-0", "10.0.0.7").await;
    arena.game_server_when("arena-0", |it| state(it) == "Ready").await;
    // Each right is used: an event, a patch of labels, a delete.
    arena
        .pod_status(
            "arena-0",
            &json!({"phase": "Failed", "reason": "Evicted", "message": "memory"}),
        )
        .await;
    arena.game_server_when("arena-0", |it| state(it) == "Crash").await;
    let template = json!({"spec": {"gameServerTemplate": {"metadata": {"labels": {"tier": "gold"}}}}});
    arena
        .patch(&arena.path("gameserversets", "arena"), None, &template)
        .await;
    arena
        .game_server_when("arena-0", |it| it["metadata"]["labels"]["tier"] == "gold")
        .await;
    arena
        .when(&arena.path("events", ""), |events| {
            events["items"]
                .as_array()
                .unwrap()
                .iter()
                .any(|event| event["reason"] == "Evicted")
        })
        .await;
    let going = json!({"metadata": {"labels": {"game.kruise.io/gs-deleting": "true"}}});
    arena
        .patch(&arena.path("gameservers", "arena-0"), None, &going)
        .await;
    arena.delete_pod("arena-0", 0).await;
    arena.gone("arena-0").await;
    let refused = controller
        .metric("gamekeeper_api_requests_total", &["outcome=\"forbidden\""])
        .await;
    assert_eq!(refused, 0, "requests were refused");
    arena.end().await;
}

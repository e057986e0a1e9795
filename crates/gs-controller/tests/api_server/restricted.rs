//! The rights of `e2e/rbac/gs-controller.yaml` are enough, and in one namespace they are enough as a Role.

use serde_json::json;
use test_bed::{Scope, allow, rules, service_account};

use crate::{
    process,
    support::{Arena, state},
};

const ACCOUNT: &str = "gs-controller";

#[tokio::test]
async fn rights_in_one_namespace_are_enough_for_everything_but_volumes() {
    let arena = Arena::new().await;
    let kubeconfig = service_account(&arena, ACCOUNT).await;
    let mut namespaced = rules(ACCOUNT, "ClusterRole");
    for rule in &mut namespaced {
        let resources = rule["resources"].as_array_mut().unwrap();
        resources.retain(|resource| resource != "persistentvolumes");
    }
    allow(&arena, ACCOUNT, ACCOUNT, &namespaced, Scope::Namespace).await;
    let leases = rules(ACCOUNT, "Role");
    allow(&arena, ACCOUNT, "gs-controller-leases", &leases, Scope::Namespace).await;

    let set = arena.set("arena", "Delete").await;
    let flags = ["--lease-namespace", &arena.namespace];
    let controller = process::start_with(&arena, &kubeconfig, &flags).await;
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
        .merge(&arena.path("gameserversets", "arena"), &template)
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
    arena.merge(&arena.path("gameservers", "arena-0"), &going).await;
    arena.delete_pod("arena-0", 0).await;
    arena.gone("arena-0").await;
    assert_eq!(controller.forbidden().await, 0, "requests were refused");
    arena.end().await;
}

//! What the status shows, and that it shares an object with other writers.

use serde_json::{Value, json};

use crate::{
    process,
    support::{Arena, condition, ready, state},
};

#[tokio::test]
async fn a_field_that_vanished_from_the_pod_vanishes_from_the_status() {
    let arena = Arena::new().await;
    let set = arena.set("arena", "Cascade").await;
    let _controller = process::start(&arena).await;
    arena.pod("arena-0", &set).await;
    arena.make_ready("arena-0", "10.0.0.7").await;
    arena
        .game_server_when("arena-0", |it| it["status"]["podStatus"]["podIP"] == "10.0.0.7")
        .await;
    arena
        .pod_status(
            "arena-0",
            &json!({"phase": "Failed", "reason": "Evicted", "message": "memory", "podIP": null,
            "podIPs": null}),
        )
        .await;
    let crashed = arena.game_server_when("arena-0", |it| state(it) == "Crash").await;
    assert_eq!(crashed["status"]["podStatus"].get("podIP"), None);
    assert_eq!(crashed["status"]["podStatus"].get("podIPs"), None);
    let pod_normal = condition(&crashed, "PodNormal");
    assert_eq!(
        (&pod_normal["status"], &pod_normal["reason"]),
        (&json!("False"), &json!("Evicted"))
    );
    arena
        .when(&arena.path("events", ""), |events| {
            events["items"]
                .as_array()
                .unwrap()
                .iter()
                .any(|event| event["reason"] == "Evicted")
        })
        .await;
    assert_eq!(arena.warnings("arena-0").await, ["Evicted"]);
    arena.end().await;
}

/// A GameServer with the status that a controller that merges (OKG) left behind, and another writer's condition.
#[tokio::test]
async fn leftovers_of_a_merging_controller_go_and_other_writers_conditions_stay() {
    let arena = Arena::new().await;
    let set = arena.set("arena", "Delete").await;
    arena.pod("arena-0", &set).await;
    arena.make_ready("arena-0", "10.0.0.8").await;
    let body = json!({
        "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServer",
        "metadata": {"name": "arena-0", "labels": {"game.kruise.io/owner-gss": "arena"}, "ownerReferences": [
            {"apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "name": "arena", "uid": set,
                "controller": true, "blockOwnerDeletion": true}]},
        "spec": {"opsState": "Allocated", "updatePriority": 3},
    });
    arena.post(&arena.path("gameservers", ""), &body).await.unwrap();
    let status_path = format!("{}/status", arena.path("gameservers", "arena-0"));
    let left = json!({"status": {"desiredState": "Ready", "currentState": "NotReady", "updatePriority": "3",
        "networkStatus": {"networkType": "Kubernetes-HostPort"},
        "podStatus": {"phase": "Running", "podIP": "10.0.0.7", "message": "of an earlier Pod", "nominatedNodeName": "x"},
        "conditions": [{"type": "PodNormal", "status": "False", "reason": "Old"}]}});
    arena.merge(&status_path, &left).await;
    let node = json!({"apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServer", "metadata": {"name": "arena-0"},
        "status": {"conditions": [{"type": "NodeNormal", "status": "True"}]}});
    arena.apply(&status_path, "node-watcher", &node).await;

    let _controller = process::start(&arena).await;
    let server = arena.game_server_when("arena-0", |it| state(it) == "Ready").await;
    let pod = arena.get(&arena.path("pods", "arena-0")).await.unwrap();
    let shown = &server["status"]["podStatus"];
    assert_eq!(
        (&shown["podIP"], shown.get("message")),
        (&json!("10.0.0.8"), None)
    );
    assert_eq!(
        keys(shown),
        keys(&pod["status"]),
        "the Pod's status and nothing else"
    );
    assert_eq!(
        server["status"]["networkStatus"]["networkType"],
        "Kubernetes-HostPort"
    );
    assert_eq!(server["status"]["updatePriority"], "3");
    assert_eq!(condition(&server, "NodeNormal")["status"], "True");
    assert_eq!(condition(&server, "PodNormal")["status"], "True");

    // And the other way round: their next write does not touch ours.
    let node = json!({"apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServer", "metadata": {"name": "arena-0"},
        "status": {"conditions": [{"type": "NodeNormal", "status": "False", "reason": "Ready:KubeletStopped"}]}});
    let after = arena.apply(&status_path, "node-watcher", &node).await;
    assert_eq!(condition(&after, "PodNormal"), condition(&server, "PodNormal"));
    arena.end().await;
}

#[tokio::test]
async fn times_move_only_with_what_they_are_about() {
    let arena = Arena::new().await;
    let set = arena.set("arena", "Cascade").await;
    let _controller = process::start(&arena).await;
    arena.pod("arena-0", &set).await;
    arena.make_ready("arena-0", "10.0.0.7").await;
    let before = arena.game_server_when("arena-0", |it| state(it) == "Ready").await;
    // Times are in whole seconds.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let mut status = ready("10.0.0.7");
    status["conditions"]
        .as_array_mut()
        .unwrap()
        .push(json!({"type": "game.kruise.io/idle", "status": "True"}));
    arena.pod_status("arena-0", &status).await;
    let after = arena
        .game_server_when("arena-0", |it| {
            it["status"]["podStatus"]["conditions"]
                .as_array()
                .is_some_and(|conditions| conditions.len() == 3)
        })
        .await;
    let time = |it: &Value| it["status"]["lastTransitionTime"].clone();
    assert_ne!(time(&before), time(&after));
    for type_ in ["PodNormal", "PersistentVolumeNormal"] {
        assert_eq!(condition(&before, type_), condition(&after, type_));
    }
    arena.end().await;
}

fn keys(object: &Value) -> Vec<&String> {
    let mut keys: Vec<_> = object.as_object().unwrap().keys().collect();
    keys.sort_unstable();
    keys
}

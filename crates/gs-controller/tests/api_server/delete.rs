//! GameServers that outlive their Pod.

use serde_json::json;

use crate::{
    process,
    support::{Arena, state, uid},
};

async fn mark(arena: &Arena, value: &str) {
    let labels = json!({"metadata": {"labels": {"game.kruise.io/gs-deleting": value}}});
    arena.merge(&arena.path("gameservers", "arena-0"), &labels).await;
}

#[tokio::test]
async fn a_kept_game_server_serves_the_next_pod_without_anything_of_the_last() {
    let arena = Arena::new().await;
    let set = arena.set("arena", "Delete").await;
    let _controller = process::start(&arena).await;
    arena.pod("arena-0", &set).await;
    arena.make_ready("arena-0", "10.0.0.7").await;
    let first = arena.game_server_when("arena-0", |it| state(it) == "Ready").await;
    assert_eq!(first["metadata"]["ownerReferences"][0]["kind"], "GameServerSet");
    assert_eq!(first["metadata"]["ownerReferences"][0]["uid"], set);
    let spec = json!({"spec": {"opsState": "Maintaining", "deletionPriority": "7"}});
    arena.merge(&arena.path("gameservers", "arena-0"), &spec).await;
    arena
        .game_server_when("arena-0", |it| it["status"]["deletionPriority"] == "7")
        .await;
    arena.delete_pod("arena-0", 0).await;
    arena.pod("arena-0", &set).await;
    let second = arena
        .game_server_when("arena-0", |it| state(it) == "Creating")
        .await;
    assert_eq!(uid(&first), uid(&second));
    assert_eq!(second["spec"]["opsState"], "Maintaining");
    let pod = arena.get(&arena.path("pods", "arena-0")).await.unwrap();
    assert_eq!(
        second["status"]["podStatus"], pod["status"],
        "nothing but the new Pod's status"
    );
    arena.end().await;
}

#[tokio::test]
async fn gs_deleting_is_honoured_before_and_after_the_pod_is_gone() {
    let arena = Arena::new().await;
    let set = arena.set("arena", "Delete").await;
    let _controller = process::start(&arena).await;
    for late in [false, true] {
        arena.pod("arena-0", &set).await;
        arena.make_ready("arena-0", "10.0.0.7").await;
        arena.game_server_when("arena-0", |it| state(it) == "Ready").await;
        if !late {
            mark(&arena, "true").await;
        }
        arena.delete_pod("arena-0", 0).await;
        if late {
            mark(&arena, "true").await;
        }
        arena.gone("arena-0").await;
    }
    arena.end().await;
}

#[tokio::test]
async fn gs_deleting_is_honoured_after_a_restart_and_an_unmarked_game_server_stays() {
    let arena = Arena::new().await;
    let set = arena.set("arena", "Delete").await;
    let controller = process::start(&arena).await;
    for name in ["arena-0", "arena-1", "arena-2"] {
        arena.pod(name, &set).await;
        arena.make_ready(name, "10.0.0.7").await;
        arena.game_server_when(name, |it| state(it) == "Ready").await;
    }
    drop(controller);
    for name in ["arena-0", "arena-1", "arena-2"] {
        arena.delete_pod(name, 0).await;
    }
    mark(&arena, "true").await;
    let wanted_again = json!({"metadata": {"labels": {"game.kruise.io/gs-deleting": "false"}}});
    arena
        .merge(&arena.path("gameservers", "arena-1"), &wanted_again)
        .await;
    let controller = process::start(&arena).await;
    arena.gone("arena-0").await;
    assert!(arena.game_server("arena-1").await.is_some());
    assert!(arena.game_server("arena-2").await.is_some());
    assert_eq!(controller.requests("delete").await, 1);
    arena.end().await;
}

//! GameServers that live as long as their Pod.

use serde_json::{Value, json};

use crate::{
    process,
    support::{Arena, state, uid},
};

#[tokio::test]
async fn a_cascade_game_server_is_born_follows_its_pod_and_ends_with_it() {
    let arena = Arena::new().await;
    let set = arena.set("arena", "Cascade").await;
    let _controller = process::start(&arena).await;
    let pod = arena.pod("arena-0", &set).await;
    let born = arena
        .game_server_when("arena-0", |it| state(it) == "Creating")
        .await;
    let owner = &born["metadata"]["ownerReferences"];
    assert_eq!(
        owner,
        &json!([{"apiVersion": "v1", "kind": "Pod", "name": "arena-0", "uid": pod, "controller": true,
            "blockOwnerDeletion": true}])
    );
    assert_eq!(
        born["metadata"]["labels"],
        json!({"app": "arena", "game.kruise.io/owner-gss": "arena", "game.kruise.io/node-name": "no-such-node"})
    );
    assert_eq!(born["metadata"]["annotations"]["gs-sync/map"], "dust");
    assert_eq!(
        born["spec"],
        json!({"opsState": "None", "updatePriority": 0, "deletionPriority": 0, "networkDisabled": false})
    );
    arena.make_ready("arena-0", "10.0.0.7").await;
    let ready = arena.game_server_when("arena-0", |it| state(it) == "Ready").await;
    assert_eq!(ready["status"]["podStatus"]["podIP"], "10.0.0.7");
    assert_eq!(ready["status"]["desiredState"], "Ready");
    assert_eq!(
        (
            &ready["status"]["updatePriority"],
            &ready["status"]["deletionPriority"]
        ),
        (&json!("0"), &json!("0"))
    );
    arena.delete_pod("arena-0", 0).await;
    arena.gone("arena-0").await;
    arena.end().await;
}

#[tokio::test]
async fn a_pod_made_anew_under_its_name_gets_a_new_game_server_with_defaults() {
    let arena = Arena::new().await;
    let set = arena.set("arena", "").await;
    let _controller = process::start(&arena).await;
    arena.pod("arena-0", &set).await;
    arena.make_ready("arena-0", "10.0.0.7").await;
    let first = arena.game_server_when("arena-0", |it| state(it) == "Ready").await;
    arena
        .merge(
            &arena.path("gameservers", "arena-0"),
            &json!({"spec": {"opsState": "Kill"}}),
        )
        .await;
    arena.delete_pod("arena-0", 0).await;
    let pod = arena.pod("arena-0", &set).await;
    arena.make_ready("arena-0", "10.0.0.8").await;
    let owned_by = |it: &Value, uid: &str| it["metadata"]["ownerReferences"][0]["uid"] == uid;
    let second = arena
        .game_server_when("arena-0", |it| owned_by(it, &pod) && state(it) == "Ready")
        .await;
    assert_ne!(uid(&first), uid(&second));
    assert_eq!(second["spec"]["opsState"], "None");
    assert_eq!(second["status"]["podStatus"]["podIP"], "10.0.0.8");
    arena.end().await;
}

#[tokio::test]
async fn a_game_server_deleted_by_hand_comes_back() {
    let arena = Arena::new().await;
    let set = arena.set("arena", "Cascade").await;
    let _controller = process::start(&arena).await;
    arena.pod("arena-0", &set).await;
    arena.make_ready("arena-0", "10.0.0.7").await;
    let first = arena.game_server_when("arena-0", |it| state(it) == "Ready").await;
    arena
        .delete(&arena.path("gameservers", "arena-0"), &json!({}))
        .await;
    arena
        .game_server_when("arena-0", |it| uid(it) != uid(&first) && state(it) == "Ready")
        .await;
    arena.end().await;
}

/// The watches of Pods and GameServers are not of one age: the end of the record may be seen before the end of its Pod.
#[tokio::test]
async fn a_pod_that_went_with_its_game_server_is_not_announced_again() {
    let arena = Arena::new().await;
    let set = arena.set("arena", "Cascade").await;
    let controller = process::start(&arena).await;
    let names: Vec<String> = (0..20).map(|id| format!("arena-{id}")).collect();
    for name in &names {
        arena.pod(name, &set).await;
        arena.make_ready(name, "10.0.0.7").await;
    }
    for name in &names {
        arena.game_server_when(name, |it| state(it) == "Ready").await;
    }
    // All of it comes at once, in either order.
    controller.signal("STOP");
    for name in &names {
        arena.delete(&arena.path("gameservers", name), &json!({})).await;
        arena.delete_pod(name, 0).await;
    }
    controller.signal("CONT");
    // A server made afterwards is seen after all of these.
    arena.pod("arena-20", &set).await;
    arena
        .game_server_when("arena-20", |it| state(it) == "Creating")
        .await;
    let created = controller
        .metric_until("gamekeeper_gs_created_total", &[], |count| count > 20)
        .await;
    assert_eq!(created, 21);
    for name in &names {
        assert_eq!(arena.game_server(name).await, None);
    }
    arena.end().await;
}

#[tokio::test]
async fn a_terminating_or_foreign_pod_gets_no_game_server_and_a_known_one_shows_deleting() {
    let arena = Arena::new().await;
    let set = arena.set("arena", "Cascade").await;
    let held = |pod: &mut Value| pod["metadata"]["finalizers"] = json!(["example.com/hold"]);
    arena.pod_with("arena-0", &set, held).await;
    arena.delete_pod("arena-0", 0).await;
    arena
        .pod_with("arena-1", &set, |pod| {
            pod["metadata"]["ownerReferences"] = json!([]);
        })
        .await;
    arena.pod_with("arena-2", &set, held).await;
    let _controller = process::start(&arena).await;
    arena
        .game_server_when("arena-2", |it| state(it) == "Creating")
        .await;
    // Pending, and on its way out all the same.
    arena.delete_pod("arena-2", 0).await;
    arena
        .game_server_when("arena-2", |it| state(it) == "Deleting")
        .await;
    assert_eq!(arena.game_server("arena-0").await, None);
    assert_eq!(arena.game_server("arena-1").await, None);
    arena.end().await;
}

#[tokio::test]
async fn template_metadata_follows_the_set_and_users_keys_stay() {
    let arena = Arena::new().await;
    let set = arena.set("arena", "Cascade").await;
    let _controller = process::start(&arena).await;
    arena.pod("arena-0", &set).await;
    arena
        .game_server_when("arena-0", |it| it["metadata"]["labels"]["app"] == "arena")
        .await;
    let users = json!({"metadata": {"labels": {"team": "blue"}, "annotations": {"note": "mine"}}});
    arena.merge(&arena.path("gameservers", "arena-0"), &users).await;
    let template = json!({"spec": {"gameServerTemplate": {"metadata": {
        "labels": {"app": null, "tier": "gold"}, "annotations": {"gs-sync/map": "mirage"}}}}});
    arena
        .merge(&arena.path("gameserversets", "arena"), &template)
        .await;
    let server = arena
        .game_server_when("arena-0", |it| it["metadata"]["labels"]["tier"] == "gold")
        .await;
    assert_eq!(
        server["metadata"]["labels"],
        json!({"tier": "gold", "team": "blue", "game.kruise.io/owner-gss": "arena",
            "game.kruise.io/node-name": "no-such-node"})
    );
    assert_eq!(server["metadata"]["annotations"]["gs-sync/map"], "mirage");
    assert_eq!(server["metadata"]["annotations"]["note"], "mine");
    arena.end().await;
}

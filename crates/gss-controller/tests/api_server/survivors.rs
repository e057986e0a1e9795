//! reclaimPolicy Delete: GameServers that outlive their Pods.

use kube::api::DeleteParams;
use serde_json::json;

use crate::{
    process,
    world::{World, eventually, uid},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_recreated_pod_is_born_with_its_game_servers_values() {
    let world = World::new().await;
    let _controller = process::start(&world).await;
    let set = world
        .set(1, json!({ "gameServerTemplate": { "reclaimPolicy": "Delete" } }))
        .await;
    let pods = world.live_when([0]).await;
    let spec = json!({ "opsState": "Maintaining", "deletionPriority": 7, "containers": [{ "name": "game", "image": "game:own" }] });
    world.game_server(&pods[&0], Some(&set), spec).await;
    world
        .pods
        .delete("arena-0", &DeleteParams::default())
        .await
        .unwrap();
    let pod = world.pod_when(0, |pod| uid(pod) != uid(&pods[&0])).await;
    let labels = pod.metadata.labels.unwrap();
    assert_eq!(labels["game.kruise.io/gs-opsState"], "Maintaining");
    assert_eq!(labels["game.kruise.io/gs-delete-priority"], "7");
    assert_eq!(pod.spec.unwrap().containers[0].image.as_deref(), Some("game:own"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_game_server_is_marked_with_its_claim_and_cleared_when_its_id_is_wanted_again() {
    let world = World::new().await;
    let _controller = process::start(&world).await;
    let set = world
        .set(2, json!({ "gameServerTemplate": { "reclaimPolicy": "Delete" } }))
        .await;
    let pods = world.live_when(0..2).await;
    world.game_server(&pods[&0], Some(&set), json!({})).await;
    world.game_server(&pods[&1], Some(&set), json!({})).await;
    let marked = |wanted: &'static str| {
        move |found: &api_types::GameServer| {
            let labels = found.metadata.labels.as_ref().unwrap();
            labels
                .get("game.kruise.io/gs-deleting")
                .is_some_and(|value| value == wanted)
        }
    };
    let read = async || world.servers.get("arena-1").await.unwrap();
    world.scale(1).await;
    let found = eventually("mark", read, marked("true")).await;
    assert_eq!(
        found.status.unwrap().deletion_claim.unwrap().pod_uid,
        uid(&pods[&1])
    );
    world.live_when([0]).await;
    // gs-controller would have deleted it by now; here the id is wanted again first.
    world.scale(2).await;
    eventually("no mark", read, marked("false")).await;
    eventually("no claim", read, |found| {
        found
            .status
            .as_ref()
            .is_none_or(|status| status.deletion_claim.is_none())
    })
    .await;
    world.live_when(0..2).await;
    world.set_ops_state(1, "Allocated").await.unwrap();
    let kept = world.servers.get("arena-0").await.unwrap();
    assert!(
        !kept
            .metadata
            .labels
            .unwrap()
            .contains_key("game.kruise.io/gs-deleting")
    );
}

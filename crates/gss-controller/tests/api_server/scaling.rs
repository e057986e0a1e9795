//! Which servers go and which ids come.

use api_types::IntOrString;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::{
    process,
    world::{World, uid},
};

#[tokio::test(flavor = "multi_thread")]
async fn scale_in_goes_by_the_game_servers_and_growth_fills_the_lowest_ids() {
    let world = World::new().await;
    let controller = process::start(&world).await;
    world.set(5, json!({})).await;
    let pods = world.live_when(0..5).await;
    // The Pods' labels all say None: the specs are what counts.
    for (id, spec) in [
        (0, json!({ "opsState": "WaitToBeDeleted" })),
        (1, json!({ "deletionPriority": "10" })),
        (2, json!({ "opsState": "Allocated" })),
        (3, json!({})),
        (4, json!({ "opsState": "Maintaining", "deletionPriority": 99 })),
    ] {
        world.game_server(&pods[&id], None, spec).await;
    }
    process::knows(&controller, 5).await;
    world.scale(3).await;
    world.live_when([2, 3, 4]).await;
    world.scale(2).await;
    world.live_when([2, 4]).await;
    world.scale(4).await;
    let after = world.live_when([0, 1, 2, 4]).await;
    assert_eq!(
        (uid(&after[&2]), uid(&after[&4])),
        (uid(&pods[&2]), uid(&pods[&4]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_lowers_replicas_and_takes_that_server() {
    let world = World::new().await;
    let _controller = process::start(&world).await;
    world.set(4, json!({})).await;
    let pods = world.live_when(0..4).await;
    // A set that never comes up is killed all the same.
    world.pod_status(3, json!({ "phase": "Running" })).await;
    world.game_server(&pods[&1], None, json!({})).await;
    world
        .game_server(
            &pods[&2],
            None,
            json!({ "opsState": "WaitToBeDeleted", "deletionPriority": 9 }),
        )
        .await;
    world.set_ops_state(1, "Kill").await.unwrap();
    world.live_when([0, 2, 3]).await;
    let set = world
        .set_when("observed", |set| {
            set.status.as_ref().unwrap().observed_generation == set.metadata.generation
        })
        .await;
    assert_eq!(set.spec.replicas, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn protected_servers_block_until_they_are_released() {
    let world = World::new().await;
    let _controller = process::start(&world).await;
    world
        .set(3, json!({ "scaleStrategy": { "protectAllocated": true } }))
        .await;
    let pods = world.live_when(0..3).await;
    for id in [0, 2] {
        world
            .game_server(&pods[&id], None, json!({ "opsState": "Allocated" }))
            .await;
    }
    world.game_server(&pods[&1], None, json!({})).await;
    world.scale(1).await;
    world.live_when([0, 2]).await;
    let blocked = world.condition("ScaleInBlocked", "True").await;
    assert_eq!(blocked.reason, "AllocatedServers");
    assert!(blocked.message.contains("0,2"), "{}", blocked.message);
    world.set_ops_state(0, "None").await.unwrap();
    // gs-controller's and pod-sync's part: the label follows. Until it does, it protects.
    let label = json!({ "metadata": { "labels": { "game.kruise.io/gs-opsState": "None" } } });
    world
        .pods
        .patch("arena-0", &PatchParams::default(), &Patch::Merge(label))
        .await
        .unwrap();
    world.live_when([2]).await;
    world.condition("ScaleInBlocked", "False").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reserved_ids_are_left_and_scaled_in_ones_are_booked() {
    let world = World::new().await;
    let _controller = process::start(&world).await;
    world.set(3, json!({ "reserveGameServerIds": [0, "4-6"], "scaleStrategy": { "scaleDownStrategyType": "ReserveIds" } })).await;
    world.live_when([1, 2, 3]).await;
    world.scale(2).await;
    world.live_when([1, 2]).await;
    let booked = |text: &'static [&'static str]| {
        let items: Vec<IntOrString> = text
            .iter()
            .map(|item| {
                item.parse::<i64>()
                    .map_or_else(|_| (*item).into(), IntOrString::Int)
            })
            .collect();
        move |set: &api_types::GameServerSet| set.spec.reserve_game_server_ids == items
    };
    let set = world.set_when("booked ids", booked(&["0", "3-6"])).await;
    assert_eq!(
        set.metadata.annotations.unwrap()["game.kruise.io/reserve-ids"],
        "0,3-6"
    );
    // Reserving a server's id takes the server; growth goes around all of them.
    world
        .change_set(json!({ "spec": { "replicas": 2, "reserveGameServerIds": [0, 1, "3-6"] } }))
        .await;
    world.live_when([2, 7]).await;
    // A release is honoured.
    world
        .change_set(json!({ "spec": { "replicas": 3, "reserveGameServerIds": [0, "4-6"] } }))
        .await;
    world.live_when([1, 2, 7]).await;
    world.set_when("kept reserves", booked(&["0", "4-6"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_record_the_pods_are_the_plan() {
    let world = World::new().await;
    let controller = process::start(&world).await;
    world.set(5, json!({})).await;
    let pods = world.live_when(0..5).await;
    for id in 1..4 {
        world
            .game_server(&pods[&id], None, json!({ "deletionPriority": 5 }))
            .await;
    }
    process::knows(&controller, 3).await;
    world.scale(2).await;
    world.live_when([0, 4]).await;
    drop(controller);
    // As a restored backup has it.
    let patch = json!({ "status": { "plan": null } });
    world
        .sets
        .patch_status("arena", &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
    let _controller = process::start(&world).await;
    let set = world
        .set_when("a plan", |set| set.status.as_ref().unwrap().plan.is_some())
        .await;
    assert_eq!(
        set.status.unwrap().plan.unwrap().desired,
        vec![0.into(), 4.into()]
    );
    let after = world.live_when([0, 4]).await;
    assert_eq!(
        (uid(&after[&0]), uid(&after[&4])),
        (uid(&pods[&0]), uid(&pods[&4]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn max_unavailable_paces_the_growth() {
    let world = World::new().await;
    let _controller = process::start(&world).await;
    world
        .set(5, json!({ "scaleStrategy": { "maxUnavailable": 2 } }))
        .await;
    world.live_when(0..2).await;
    world.make_ready(0).await;
    world.live_when(0..3).await;
    for id in 1..3 {
        world.make_ready(id).await;
    }
    world.live_when(0..5).await;
}

//! Who may evict a server, on the Pod, against a real API server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod world;

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use world::{PodSync, PodWatch, World, annotation, label};

const LABEL: &str = "agones.dev/safe-to-evict";
const ANNOTATION: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";

fn sets(world: &World) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("game.kruise.io", "v1alpha1", "GameServerSet");
    let resource = ApiResource::from_gvk_with_plural(&kind, "gameserversets");
    Api::namespaced_with(world.client.clone(), &world.namespace, &resource)
}

/// The set that the world's Pods name.
async fn set(world: &World, eviction: Value) {
    let object = json!({
        "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "metadata": {"name": "arena"},
        "spec": {"replicas": 2, "eviction": eviction, "gameServerTemplate": {"spec": {
            "containers": [{"name": "game", "image": "game:1"}]}}},
    });
    let object = serde_json::from_value(object).unwrap();
    sets(world).create(&PostParams::default(), &object).await.unwrap();
}

async fn shows(world: &World, name: &str, wanted: [&str; 2]) -> Pod {
    world
        .pod_until(name, &format!("{wanted:?}"), |pod| {
            [annotation(pod, ANNOTATION), label(pod, LABEL)] == wanted.map(Some)
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn protection_comes_and_goes_in_the_patch_that_shows_the_allocation() {
    let world = World::new().await;
    set(&world, json!({"safe": "WhenIdle"})).await;
    world.server("arena-0").await;
    world.set_ready("arena-0", true).await;
    let process = PodSync::start(&world, &["--shards", "0"]).await;
    shows(&world, "arena-0", ["true", "true"]).await;
    world.label_until("arena-0", "gs-state", "Ready").await;
    let watch = PodWatch::start(&world).await;
    let before = process.writes().await;
    for (state, wanted) in [("Allocated", "false"), ("None", "true"), ("Allocated", "false")] {
        world.set_ops_state("arena-0", state).await;
        shows(&world, "arena-0", [wanted; 2]).await;
    }
    assert_eq!(
        process.writes().await - before,
        3,
        "one patch for each change, as without"
    );
    let revisions = watch.revisions();
    assert!(revisions.len() >= 3);
    for revision in revisions {
        let allocated = revision.label("gs-opsState") == Some("Allocated");
        let protected = [revision.label(LABEL), annotation(&revision.pod, ANNOTATION)];
        assert_eq!(protected, [Some(if allocated { "false" } else { "true" }); 2]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_changes_its_mind_costs_a_patch_a_pod_and_rest_costs_none() {
    let world = World::new().await;
    set(&world, json!({})).await;
    for name in ["arena-0", "arena-1"] {
        world.server(name).await;
        world.set_ready(name, true).await;
    }
    let flags = ["--shards", "0", "--default-eviction", "OnUpgrade"];
    let process = PodSync::start(&world, &flags).await;
    for name in ["arena-0", "arena-1"] {
        shows(&world, name, ["false", "true"]).await;
        world.label_until(name, "gs-state", "Ready").await;
    }
    let before = process.writes().await;
    let patch = json!({"spec": {"eviction": {"safe": "Never"}}});
    sets(&world)
        .patch("arena", &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
    for name in ["arena-0", "arena-1"] {
        shows(&world, name, ["false", "false"]).await;
    }
    assert_eq!(process.writes().await - before, 2);
}

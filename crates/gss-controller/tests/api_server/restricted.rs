//! The rights of `e2e/rbac/gss-controller.yaml` are enough, as a Role in one namespace.

use kube::api::DeleteParams;
use serde_json::json;
use test_bed::{Scope, allow, rules, service_account};

use crate::{
    process,
    world::{World, eventually, uid},
};

const ACCOUNT: &str = "gss-controller";

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_rights_are_enough() {
    let world = World::new().await;
    let kubeconfig = service_account(&world, ACCOUNT).await;
    for (name, kind) in [(ACCOUNT, "ClusterRole"), ("gss-controller-leases", "Role")] {
        allow(&world, ACCOUNT, name, &rules(ACCOUNT, kind), Scope::Namespace).await;
    }
    let flags = ["--lease-namespace", &*world.namespace];
    let controller = process::start_with(&world, &kubeconfig, &flags).await;

    // Each right is used: gates, claims, marks, reserves, Kill, a taken name, events.
    let set = world
        .set(
            4,
            json!({
                "gameServerTemplate": { "reclaimPolicy": "Delete" },
                "scaleStrategy": { "scaleDownStrategyType": "ReserveIds" },
                "updateStrategy": { "rollingUpdate": { "podUpdatePolicy": "InPlaceOnly" } },
            }),
        )
        .await;
    let pods = world.live_when(0..4).await;
    for pod in pods.values() {
        world.game_server(pod, Some(&set), json!({})).await;
    }
    world.set_ops_state(3, "Kill").await.unwrap();
    world.live_when(0..3).await;
    world
        .set_when("booked id", |set| {
            set.spec.reserve_game_server_ids == vec![3.into()]
        })
        .await;
    world
        .pods
        .delete("arena-0", &DeleteParams::default())
        .await
        .unwrap();
    world.pod_when(0, |pod| uid(pod) != uid(&pods[&0])).await;
    world.scale(2).await;
    world.live_when(0..2).await;
    let read = async || {
        controller
            .metric("gamekeeper_events_published_total", &["outcome=\"ok\""])
            .await
    };
    eventually("events", read, |published| *published > 0).await;
    assert_eq!(controller.forbidden().await, 0);
}

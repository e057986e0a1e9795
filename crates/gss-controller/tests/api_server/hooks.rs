//! Lifecycle hooks: a deletion that waits, a Pod that comes into service later. The tests play pod-sync and the hook's handler.

use api_types::GameServerSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::{
    process,
    world::{World, condition_of, eventually, name, uid},
};

const STATE: &str = "lifecycle.apps.kruise.io/state";
const BLOCK: &str = "gs-sync/delete-block";
const SAVE: &str = "example.com/save";

/// A template whose Pods hold their deletion, as documented.
fn blocking() -> Value {
    json!({
        "lifecycle": { "preDelete": { "labelsHandler": { BLOCK: "true" } } },
        "gameServerTemplate": { "metadata": { "labels": { BLOCK: "true" } } },
    })
}

fn label<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    pod.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

fn is_preparing(pod: &Pod) -> bool {
    label(pod, STATE) == Some("PreparingDelete")
}

async fn patch_pod(world: &World, id: u32, metadata: Value) {
    let patch = Patch::Merge(json!({ "metadata": metadata }));
    world
        .pods
        .patch(&name(id), &PatchParams::default(), &patch)
        .await
        .unwrap();
}

async fn unblock(world: &World, id: u32) {
    patch_pod(world, id, json!({ "labels": { BLOCK: "false" } })).await;
}

/// The Pod's state with a Running phase, as a kubelet would report: PreDelete is a state of running servers.
async fn run(world: &World, ids: std::ops::Range<u32>) {
    for id in ids {
        world.make_ready(id).await;
    }
}

fn pre_delete(set: &GameServerSet) -> Option<i32> {
    set.status.as_ref()?.pre_delete_replicas
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scale_in_waits_for_the_label_and_everything_else_goes_on() {
    let world = World::new().await;
    let controller = process::start(&world).await;
    world.set(3, blocking()).await;
    let pods = world.live_when(0..3).await;
    run(&world, 0..3).await;
    world.game_server(&pods[&2], None, json!({})).await;
    world.scale(2).await;
    let held = world.pod_when(2, is_preparing).await;
    assert!(
        held.metadata
            .annotations
            .unwrap()
            .contains_key("lifecycle.apps.kruise.io/timestamp")
    );
    let claim = world
        .servers
        .get("arena-2")
        .await
        .unwrap()
        .status
        .unwrap()
        .deletion_claim;
    assert_eq!(
        claim.unwrap().pod_uid,
        uid(&pods[&2]),
        "claimed before it is told"
    );
    world.set_when("counted", |set| pre_delete(set) == Some(1)).await;
    let blocked = world.condition("HookBlocked", "False").await;
    assert_eq!(blocked.message, "1 server waits for hook preDelete");
    assert_eq!(
        controller
            .metric("gamekeeper_gss_hooks_waiting", &["preDelete"])
            .await,
        1
    );

    // The id is occupied and not used again; the held server never comes back.
    world.scale(3).await;
    world.live_when([0, 1, 2, 3]).await;
    assert_eq!(uid(&world.pods.get("arena-2").await.unwrap()), uid(&pods[&2]));
    unblock(&world, 2).await;
    world.live_when([0, 1, 3]).await;
    world
        .set_when("none held", |set| pre_delete(set) == Some(0))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_game_server_that_blocks_is_believed_before_its_pod_shows_it() {
    let world = World::new().await;
    let _controller = process::start(&world).await;
    let set = json!({ "lifecycle": { "preDelete": { "labelsHandler": { BLOCK: "true" } } } });
    world.set(1, set).await;
    let pods = world.live_when([0]).await;
    world.game_server(&pods[&0], None, json!({})).await;
    let patch = Patch::Merge(json!({ "metadata": { "labels": { BLOCK: "true" } } }));
    world
        .servers
        .patch("arena-0", &PatchParams::default(), &patch)
        .await
        .unwrap();
    world.scale(0).await;
    world.pod_when(0, is_preparing).await;
    let patch = Patch::Merge(json!({ "metadata": { "labels": { BLOCK: "false" } } }));
    world
        .servers
        .patch("arena-0", &PatchParams::default(), &patch)
        .await
        .unwrap();
    world.live_when([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn finalizers_hold_both_the_step_and_the_object() {
    let world = World::new().await;
    let _controller = process::start(&world).await;
    let set = json!({
        "lifecycle": { "preDelete": { "finalizersHandler": [SAVE] } },
        "gameServerTemplate": { "metadata": { "finalizers": [SAVE] } },
    });
    world.set(2, set).await;
    let pods = world.live_when(0..2).await;
    world.scale(1).await;
    let held = world.pod_when(1, is_preparing).await;
    assert_eq!(held.metadata.deletion_timestamp, None);
    patch_pod(&world, 1, json!({ "finalizers": null })).await;
    world.live_when([0]).await;

    // Deleted by a person: the object stays until its finalizer goes, and so does its id.
    world
        .pods
        .delete("arena-0", &DeleteParams::default())
        .await
        .unwrap();
    world
        .pod_when(0, |pod| pod.metadata.deletion_timestamp.is_some())
        .await;
    world.scale(2).await;
    world.live_when([1]).await;
    assert_eq!(uid(&world.pods.get("arena-0").await.unwrap()), uid(&pods[&0]));
    patch_pod(&world, 0, json!({ "finalizers": null })).await;
    world.live_when(0..2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_and_a_failed_pods_replacement_wait_too() {
    let world = World::new().await;
    let _controller = process::start(&world).await;
    world.set(3, blocking()).await;
    let pods = world.live_when(0..3).await;
    world.game_server(&pods[&2], None, json!({})).await;
    world.set_ops_state(2, "Kill").await.unwrap();
    world.pod_when(2, is_preparing).await;
    world
        .pod_status(0, json!({ "phase": "Failed", "reason": "Evicted" }))
        .await;
    world.pod_when(0, is_preparing).await;
    for id in [0, 2] {
        unblock(&world, id).await;
    }
    // The old one is there for as long as its deletion takes, also when the other has gone.
    world.pod_when(0, |pod| uid(pod) != uid(&pods[&0])).await;
    let now = world.live_when(0..2).await;
    assert_eq!(uid(&now[&1]), uid(&pods[&1]));
}

// A backup restores objects without their status: neither the plan nor the claims are there.
#[tokio::test(flavor = "multi_thread")]
async fn a_held_deletion_that_nothing_remembers_is_finished() {
    let world = World::new().await;
    let controller = process::start(&world).await;
    world.set(2, blocking()).await;
    let pods = world.live_when(0..2).await;
    world.scale(1).await;
    world.pod_when(1, is_preparing).await;
    drop(controller);
    let forget = Patch::Merge(json!({ "status": { "plan": null } }));
    world
        .sets
        .patch_status("arena", &PatchParams::default(), &forget)
        .await
        .unwrap();
    world
        .servers
        .delete("arena-1", &DeleteParams::default())
        .await
        .unwrap();
    let _controller = process::start(&world).await;
    world
        .set_when("plan", |set| {
            set.status.as_ref().is_some_and(|status| status.plan.is_some())
        })
        .await;
    assert_eq!(uid(&world.pods.get("arena-1").await.unwrap()), uid(&pods[&1]));
    unblock(&world, 1).await;
    world.live_when([0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_pod_is_in_service_when_its_hook_is_satisfied() {
    let world = World::new().await;
    let controller = process::start(&world).await;
    let set = json!({ "lifecycle": { "preNormal": { "labelsHandler": { "warm": "yes" } } } });
    world.set(1, set).await;
    let born = world.pod_when(0, |_| true).await;
    assert_eq!(label(&born, STATE), Some("PreparingNormal"));
    world.make_ready(0).await;
    let ready = |set: &GameServerSet| {
        set.status
            .as_ref()
            .is_some_and(|status| status.ready_replicas == 1)
    };
    let set = world.set_when("ready", ready).await;
    assert_eq!(set.status.unwrap().available_replicas, 0);
    assert_eq!(
        controller
            .metric("gamekeeper_gss_hooks_waiting", &["preNormal"])
            .await,
        1
    );
    patch_pod(&world, 0, json!({ "labels": { "warm": "yes" } })).await;
    world.pod_when(0, |pod| label(pod, STATE) == Some("Normal")).await;
    world
        .set_when("available", |set| {
            set.status.as_ref().unwrap().available_replicas == 1
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_lasts_is_said_once_and_not_written_again() {
    let world = World::new().await;
    let _controller = process::start(&world).await;
    world.set(2, blocking()).await;
    world.live_when(0..2).await;
    world.scale(1).await;
    world.pod_when(1, is_preparing).await;
    // Twenty minutes later.
    let before = (jiff::Timestamp::now() - jiff::SignedDuration::from_mins(20)).to_string();
    patch_pod(&world, 1, json!({ "annotations": { "lifecycle.apps.kruise.io/timestamp": before }, "labels": { "touched": "yes" } })).await;
    let blocked = world.condition("HookBlocked", "True").await;
    assert_eq!(blocked.reason, "HookOverdue");
    assert!(
        blocked.message.contains("arena-1 for more than 10 minutes"),
        "{}",
        blocked.message
    );
    let version = |set: &GameServerSet| set.metadata.resource_version.clone();
    let rest = world.sets.get("arena").await.unwrap();
    patch_pod(&world, 1, json!({ "labels": { "touched": "again" } })).await;
    patch_pod(&world, 0, json!({ "labels": { "touched": "again" } })).await;
    // A later change that is written shows that the earlier ones were looked at.
    world.make_ready(0).await;
    let after = world
        .set_when("ready", |set| set.status.as_ref().unwrap().ready_replicas == 1)
        .await;
    assert_ne!(version(&after), version(&rest));
    assert_eq!(
        condition_of(&after, "HookBlocked"),
        condition_of(&rest, "HookBlocked")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_pod_is_taken_out_of_service_where_the_hook_says_so() {
    let world = World::new().await;
    let _controller = process::start(&world).await;
    let mut set = blocking();
    set["lifecycle"]["preDelete"]["markPodNotReady"] = json!(true);
    world.set(1, set).await;
    let gate = |pod: &Pod| {
        let conditions = pod.status.as_ref()?.conditions.as_ref()?;
        let found = conditions.iter().find(|found| found.type_ == "KruisePodReady")?;
        Some((found.status.clone(), found.message.clone().unwrap_or_default()))
    };
    let open = world.pod_when(0, |pod| gate(pod).is_some()).await;
    assert_eq!(gate(&open), Some(("True".into(), String::new())));
    world.scale(0).await;
    let shut = |pod: &Pod| gate(pod).is_some_and(|(status, _)| status == "False");
    let read = async || world.pods.get("arena-0").await.unwrap();
    let marked = eventually("mark", read, shut).await;
    let message = gate(&marked).unwrap().1;
    assert_eq!(
        serde_json::from_str::<Value>(&message).unwrap(),
        json!([{ "userAgent": "Lifecycle", "key": "preDeleteHook" }])
    );
    unblock(&world, 0).await;
    world.live_when([]).await;
}

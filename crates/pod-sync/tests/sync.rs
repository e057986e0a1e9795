//! pod-sync against a real API server: what arrives on the Pod, and what is not written.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod world;

use std::time::Duration;

use serde_json::json;
use world::{PodSync, PodWatch, World, annotation, eventually, label};

const ALONE: &[&str] = &["--shards", "0"];

#[tokio::test(flavor = "multi_thread")]
async fn ops_state_reaches_the_label_with_its_time_generation_and_event() {
    let world = World::new().await;
    world.server("arena-0").await;
    world.set_ready("arena-0", true).await;
    let process = PodSync::start(&world, ALONE).await;

    let generation = world.set_ops_state("arena-0", "Allocated").await;
    let pod = world.label_until("arena-0", "gs-opsState", "Allocated").await;
    assert_eq!(
        annotation(&pod, "synced-generation"),
        Some(generation.to_string().as_str())
    );
    assert!(annotation(&pod, "opsState-last-changed-time").is_some_and(|time| time.ends_with('Z')));
    assert_eq!(
        label(
            &world.label_until("arena-0", "gs-state", "Ready").await,
            "gs-opsState"
        ),
        Some("Allocated")
    );

    let event = world
        .event_until(
            "arena-0",
            "GsStateChanged",
            "OpsState turn from None to Allocated ",
        )
        .await;
    assert_eq!(event.type_.as_deref(), Some("Normal"));
    process
        .metric_until(
            "gamekeeper_pod_sync_patches_total",
            &["kind=\"ops_state\""],
            |patches| patches >= 1,
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn match_id_is_added_changed_and_removed_and_the_templates_key_stays() {
    let world = World::new().await;
    let pod = world
        .pod("arena-0", json!({"labels": {"gs-sync/delete-block": "true"}}))
        .await;
    world.game_server("arena-0", &pod, json!({})).await;
    let _process = PodSync::start(&world, ALONE).await;

    for id in ["m-1", "m-2"] {
        world
            .change(
                "arena-0",
                json!({"metadata": {"annotations": {"gs-sync/match-id": id}}}),
            )
            .await;
        world
            .pod_until("arena-0", id, |pod| {
                annotation(pod, "gs-sync/match-id") == Some(id)
            })
            .await;
    }
    world
        .change(
            "arena-0",
            json!({"metadata": {"annotations": {"gs-sync/match-id": null}}}),
        )
        .await;
    let pod = world
        .pod_until("arena-0", "removal", |pod| {
            annotation(pod, "gs-sync/match-id").is_none()
        })
        .await;
    assert_eq!(label(&pod, "gs-sync/delete-block"), Some("true"));
}

#[tokio::test(flavor = "multi_thread")]
async fn image_override_changes_that_container_alone() {
    let world = World::new().await;
    world.server("arena-0").await;
    let _process = PodSync::start(&world, ALONE).await;

    world
        .change(
            "arena-0",
            json!({"spec": {"containers": [{"name": "game", "image": "game:2"}]}}),
        )
        .await;
    let images = |pod: &k8s_openapi::api::core::v1::Pod| -> Vec<String> {
        pod.spec
            .as_ref()
            .unwrap()
            .containers
            .iter()
            .map(|container| container.image.clone().unwrap())
            .collect()
    };
    world
        .pod_until("arena-0", "images", |pod| images(pod) == ["game:2", "log:1"])
        .await;
}

/// An image with a space passes the CRD and is refused by the Pod's validation: everything else must still arrive.
#[tokio::test(flavor = "multi_thread")]
async fn refused_image_keeps_nothing_else_from_the_pod() {
    let world = World::new().await;
    world.server("arena-0").await;
    let process = PodSync::start(&world, ALONE).await;

    let change = json!({
        "metadata": {"annotations": {"gs-sync/match-id": "m-1"}},
        "spec": {"opsState": "Allocated", "containers": [{"name": "game", "image": " game:2"}]},
    });
    world.change("arena-0", change).await;
    let pod = world.label_until("arena-0", "gs-opsState", "Allocated").await;
    assert_eq!(annotation(&pod, "gs-sync/match-id"), Some("m-1"));
    assert_eq!(
        annotation(&pod, "synced-generation"),
        None,
        "it does not show this generation"
    );
    world.event_until("arena-0", "PodPatchRefused", "image").await;

    // And the next change is not held up by the one that cannot be written.
    world.set_ops_state("arena-0", "None").await;
    world.label_until("arena-0", "gs-opsState", "None").await;
    assert!(process.metric("gamekeeper_pod_sync_refused_total", &[]).await >= 1);

    // What stays different is told after 5 s, with the reason, and told again when it has ended.
    let told = world
        .event_until(
            "arena-0",
            "SyncGap",
            "image is still \"game:1\" and should be \" game:2\"",
        )
        .await;
    assert_eq!(told.type_.as_deref(), Some("Warning"));
    assert!(
        told.message
            .is_some_and(|note| note.contains("the last attempt failed: invalid"))
    );
    assert_eq!(process.metric("gamekeeper_pod_sync_gap_servers", &[]).await, 1);
    let heal = json!({"spec": {"containers": [{"name": "game", "image": "game:2"}]}});
    world.change("arena-0", heal).await;
    world
        .event_until("arena-0", "SyncGapClosed", "the Pod shows it after")
        .await;
    assert_eq!(
        process
            .metric("gamekeeper_pod_sync_gap_warnings_total", &[])
            .await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn gameserver_of_an_earlier_pod_is_ignored() {
    let world = World::new().await;
    let earlier = world
        .pod(
            "earlier",
            json!({"labels": {"game.kruise.io/owner-gss": "other"}}),
        )
        .await;
    world.pod("arena-0", json!({})).await;
    world
        .game_server("arena-0", &earlier, json!({"opsState": "Kill"}))
        .await;
    world.server("arena-1").await;
    let watch = PodWatch::start(&world).await;
    let _process = PodSync::start(&world, ALONE).await;

    // Both GameServers change; when the second has arrived the first has been looked at.
    world
        .change("arena-0", json!({"spec": {"updatePriority": 7}}))
        .await;
    world.set_ops_state("arena-1", "Allocated").await;
    world.label_until("arena-1", "gs-opsState", "Allocated").await;
    // Its state is the Pod's own and is still told.
    world.set_ready("arena-0", true).await;
    world.label_until("arena-0", "gs-state", "Ready").await;
    for revision in watch.of("arena-0") {
        assert_eq!(
            (
                revision.label("gs-opsState"),
                revision.label("gs-update-priority")
            ),
            (Some("None"), Some("0"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_pod_says_so_once() {
    let world = World::new().await;
    let pod = world
        .pod("arena-0", json!({"finalizers": ["game.test/hold"]}))
        .await;
    world.game_server("arena-0", &pod, json!({})).await;
    let _process = PodSync::start(&world, ALONE).await;
    let watch = PodWatch::start(&world).await;

    world
        .pods
        .delete("arena-0", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    world.label_until("arena-0", "gs-state", "Deleting").await;
    world.set_ops_state("arena-0", "Kill").await;
    world.label_until("arena-0", "gs-opsState", "Kill").await;
    // The deletion, the state and the opsState: nothing was written twice.
    let versions = async || watch.of("arena-0").len();
    assert_eq!(eventually("all versions", versions, |seen| *seen >= 3).await, 3);

    let release = kube::api::Patch::Merge(json!({"metadata": {"finalizers": null}}));
    world
        .pods
        .patch("arena-0", &kube::api::PatchParams::default(), &release)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_is_one_patch_and_rest_is_no_write() {
    let world = World::new().await;
    for i in 0..5 {
        world.server(&format!("arena-{i}")).await;
        world.set_ready(&format!("arena-{i}"), true).await;
    }
    // A resync every second: looking again must not write again.
    let process = PodSync::start(&world, &["--shards", "0", "--resync", "1s"]).await;
    for i in 0..5 {
        world
            .label_until(&format!("arena-{i}"), "gs-state", "Ready")
            .await;
    }
    let watch = PodWatch::start(&world).await;
    for round in 0..10 {
        for i in 0..5 {
            let (name, state) = (
                format!("arena-{i}"),
                if round % 2 == 0 { "Allocated" } else { "None" },
            );
            world.set_ops_state(&name, state).await;
            world.label_until(&name, "gs-opsState", state).await;
        }
    }
    let writes = process.writes().await;
    // GameServer status is noise here, as are Pod conditions that change no state.
    let status = json!({"status": {"currentState": "Ready"}});
    for i in 0..5 {
        let params = kube::api::PatchParams::default();
        world
            .servers
            .patch_status(&format!("arena-{i}"), &params, &kube::api::Patch::Merge(&status))
            .await
            .unwrap();
    }
    let resyncs = process.metric("gamekeeper_watch_events_total", &[]).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(process.metric("gamekeeper_watch_events_total", &[]).await >= resyncs);
    for i in 0..5 {
        assert_eq!(
            watch.of(&format!("arena-{i}")).len(),
            10,
            "one Pod revision a change"
        );
    }
    assert_eq!(process.writes().await, writes, "no write at rest");
    assert_eq!(process.metric("gamekeeper_pod_sync_gap_servers", &[]).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn quick_successive_changes_end_with_the_last_and_never_go_back() {
    let world = World::new().await;
    world.server("arena-0").await;
    world.set_ready("arena-0", true).await;
    let _process = PodSync::start(&world, ALONE).await;
    let watch = PodWatch::start(&world).await;
    let mut last = 0;
    for i in 0..100 {
        // A kubelet that writes in between moves the Pod's version under the patches.
        world.set_ready("arena-0", i % 3 != 0).await;
        last = world.set_ops_state("arena-0", &format!("Match-{i}")).await;
    }
    let shown = last.to_string();
    let wanted = |pod: &k8s_openapi::api::core::v1::Pod| annotation(pod, "synced-generation") == Some(&shown);
    let pod = world.pod_until("arena-0", "last generation", wanted).await;
    assert_eq!(label(&pod, "gs-opsState"), Some("Match-99"));
    eventually(
        "the witness",
        async || watch.of("arena-0"),
        |all| all.last().is_some_and(|r| r.generation() == last),
    )
    .await;
    watch.assert_never_back();
}

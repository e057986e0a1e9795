//! New Pods.

use std::time::Instant;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use crate::{
    process,
    world::{World, condition_of, eventually, uid},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_set_gets_its_pods_and_then_rest() {
    let world = World::new().await;
    let controller = process::start(&world).await;
    let set = world.set(5, json!({})).await;
    let pods = world.live_when(0..5).await;
    let pod = serde_json::to_value(&pods[&3]).unwrap();
    let mut labels = pod["metadata"]["labels"].as_object().unwrap().clone();
    let revision = labels.remove("controller-revision-hash").unwrap();
    assert!(revision.as_str().unwrap().starts_with("arena-"));
    let expected = json!({
        "game.kruise.io/owner-gss": "arena",
        "game.kruise.io/gs-state": "Creating",
        "game.kruise.io/gs-opsState": "None",
        "game.kruise.io/gs-update-priority": "0",
        "game.kruise.io/gs-delete-priority": "0",
        "game.kruise.io/network-disabled": "false",
        "statefulset.kubernetes.io/pod-name": "arena-3",
        "apps.kubernetes.io/pod-index": "3",
        "lifecycle.apps.kruise.io/state": "Normal",
        "agones.dev/safe-to-evict": "false",
    });
    assert_eq!(json!(labels), expected);
    let owner = &pod["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["uid"], &owner["blockOwnerDeletion"]),
        (&json!(set.metadata.uid), &json!(true))
    );
    assert_eq!(
        (&pod["spec"]["hostname"], &pod["spec"]["subdomain"]),
        (&json!("arena-3"), &json!("arena"))
    );

    for id in 0..5 {
        world.make_ready(id).await;
    }
    let ready = world.condition("Ready", "True").await;
    assert_eq!(ready.message, "5 of 5 servers are ready");
    let set = world
        .set_when("settled", |set| {
            condition_of(set, "Progressing").is_some_and(|found| found.status == "False")
        })
        .await;
    let status = set.status.unwrap();
    assert_eq!(
        (status.replicas, status.current_replicas, status.ready_replicas),
        (5, 5, 5)
    );
    assert_eq!((status.available_replicas, status.updated_replicas), (5, 5));
    assert_eq!(
        status.label_selector.as_deref(),
        Some("game.kruise.io/owner-gss=arena")
    );
    assert_eq!(status.observed_generation, set.metadata.generation);
    assert_eq!(status.plan.unwrap().desired, vec!["0-4".into()]);

    // At rest nothing is written, though events go on.
    let writes = controller.writes().await;
    for beat in 0..10 {
        let heartbeat = json!({ "type": "Ready", "status": "True", "lastProbeTime": format!("2026-01-01T00:00:{beat:02}Z") });
        world.pod_status(0, json!({ "conditions": [heartbeat] })).await;
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    }
    assert_eq!(controller.writes().await, writes, "writes at rest");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_pods_do_not_wait_for_each_other() {
    let world = World::new().await;
    let controller = process::start(&world).await;
    // The namespace's service account is there once one Pod was accepted.
    world.set(1, json!({})).await;
    world.live_when([0]).await;
    let start = Instant::now();
    world.scale(201).await;
    let read = async || controller.metric("gamekeeper_gss_pods_created_total", &[]).await;
    eventually("201 creations", read, |created| *created == 201).await;
    println!("200 Pods created in {:?}", start.elapsed());
    world.live_when(0..201).await;
    let labels = ["verb=\"create\"", "resource=\"pods\""];
    assert_eq!(
        controller
            .metric(
                "gamekeeper_api_requests_total",
                &[labels[1], "outcome=\"already_exists\""]
            )
            .await,
        0
    );
    assert_eq!(
        controller
            .metric(
                "gamekeeper_api_requests_total",
                &[labels[0], labels[1], "outcome=\"ok\""]
            )
            .await,
        201
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_pod_is_replaced_under_the_same_name() {
    let world = World::new().await;
    let _controller = process::start(&world).await;
    world.set(2, json!({})).await;
    let before = world.live_when(0..2).await;
    world.game_server(&before[&1], None, json!({})).await;
    world
        .pod_status(1, json!({ "phase": "Failed", "reason": "Evicted" }))
        .await;
    world
        .pod_when(1, |pod| {
            pod.metadata.uid != before[&1].metadata.uid && pod.metadata.deletion_timestamp.is_none()
        })
        .await;
    let after = world.live_when(0..2).await;
    assert_eq!(uid(&after[&0]), uid(&before[&0]));
    let claim = world
        .servers
        .get_opt("arena-1")
        .await
        .unwrap()
        .and_then(|found| found.status?.deletion_claim);
    // The garbage collector may already have taken the GameServer along with its Pod.
    if let Some(claim) = claim {
        assert_eq!(
            (claim.reason.as_str(), claim.pod_uid),
            ("Replaced", uid(&before[&1]))
        );
    }
    // A Pod deleted by hand comes back too.
    world
        .pods
        .delete("arena-0", &DeleteParams::default())
        .await
        .unwrap();
    world
        .pod_when(0, |pod| pod.metadata.uid != before[&0].metadata.uid)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_pod_blocks_its_own_id_only() {
    let world = World::new().await;
    let foreign = |name: &str, labels: serde_json::Value| -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": name, "labels": labels },
            "spec": { "schedulerName": "nobody", "containers": [{ "name": "x", "image": "x" }] },
        }))
        .unwrap()
    };
    // One that the watch cannot see, and one that carries the set's label and has no controller.
    for pod in [
        foreign("arena-1", json!({})),
        foreign("arena-2", json!({ "game.kruise.io/owner-gss": "arena" })),
    ] {
        let read = async || world.pods.create(&PostParams::default(), &pod).await.is_ok();
        eventually("accepted Pod", read, |accepted| *accepted).await;
    }
    let _controller = process::start(&world).await;
    world.set(4, json!({})).await;
    world.live_when(0..4).await;
    let degraded = world.condition("Degraded", "True").await;
    assert_eq!(degraded.reason, "FailedCreate");
    let set = world
        .set_when("both names", |set| {
            condition_of(set, "Degraded")
                .is_some_and(|found| found.message.contains("arena-1") && found.message.contains("arena-2"))
        })
        .await;
    assert_eq!(set.status.unwrap().current_replicas, 2);
    world
        .pods
        .delete("arena-2", &DeleteParams::default())
        .await
        .unwrap();
    world
        .pod_when(2, |pod| pod.metadata.owner_references.is_some())
        .await;
    assert!(
        world
            .pods
            .get("arena-1")
            .await
            .unwrap()
            .metadata
            .owner_references
            .is_none(),
        "left alone"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_template_is_reported_and_corrected() {
    let world = World::new().await;
    let controller = process::start(&world).await;
    let template = |image: &str| {
        json!({ "gameServerTemplate": { "spec": { "containers": [{ "name": "game", "image": image }], "priorityClassName":
            if image == "bad" { json!("there-is-none") } else { json!(null) } } } })
    };
    world.set(100, template("bad")).await;
    let degraded = world.condition("Degraded", "True").await;
    assert_eq!(degraded.reason, "FailedCreate");
    assert!(degraded.message.contains("there-is-none"), "{}", degraded.message);
    let refused = controller
        .metric("gamekeeper_gss_creations_refused_total", &[])
        .await;
    assert!(refused < 100, "{refused} attempts for one mistake");
    world.change_set(json!({ "spec": template("good") })).await;
    world.live_when(0..100).await;
    world.condition("Degraded", "False").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_pods_in_place_gate_is_opened() {
    let world = World::new().await;
    let _controller = process::start(&world).await;
    world
        .set(
            1,
            json!({ "updateStrategy": { "rollingUpdate": { "podUpdatePolicy": "InPlaceIfPossible" } } }),
        )
        .await;
    world
        .pod_when(0, |pod| {
            let conditions = pod
                .status
                .iter()
                .flat_map(|status| status.conditions.iter().flatten());
            conditions
                .into_iter()
                .any(|found| found.type_ == "InPlaceUpdateReady" && found.status == "True")
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_being_deleted_gets_no_new_pods() {
    let world = World::new().await;
    let controller = process::start(&world).await;
    world.set(3, json!({})).await;
    world.live_when(0..3).await;
    // Foreground: the set stays until its Pods are gone.
    world
        .sets
        .delete("arena", &DeleteParams::foreground())
        .await
        .unwrap();
    let read = async || world.sets.get_opt("arena").await.unwrap();
    eventually("deleted set", read, Option::is_none).await;
    world.live_when([]).await;
    assert_eq!(
        controller.metric("gamekeeper_gss_pods_created_total", &[]).await,
        3
    );
}

//! Deletion claims: allocation and deletion in one order.

use std::{collections::BTreeSet, sync::Arc};

use kube::api::ListParams;
use serde_json::json;

use crate::{
    process,
    world::{World, eventually, holding, name, uid},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_claim_comes_before_the_deletion_and_refuses_late_allocations() {
    let world = World::new().await;
    let _controller = process::start(&world).await;
    world.set(2, holding()).await;
    let pods = world.live_when(0..2).await;
    world.game_server(&pods[&1], None, json!({})).await;
    world.scale(1).await;
    let going = world
        .pod_when(1, |pod| pod.metadata.deletion_timestamp.is_some())
        .await;
    let game_server = world.servers.get("arena-1").await.unwrap();
    let claim = game_server.status.unwrap().deletion_claim.unwrap();
    assert_eq!((claim.pod_uid, claim.reason.as_str()), (uid(&going), "ScaleIn"));
    // Both are versions of one etcd: the claim's is lower.
    let version = |text: Option<String>| text.unwrap().parse::<u64>().unwrap();
    assert!(
        version(game_server.metadata.resource_version) < version(going.metadata.resource_version.clone())
    );

    let refused = world.set_ops_state(1, "Allocated").await.unwrap_err().to_string();
    assert!(
        refused.contains("being deleted and can no longer be allocated"),
        "{refused}"
    );

    // A claim is final: the set grows again, this Pod goes and its id gets another one.
    world.scale(2).await;
    world.release(1).await;
    world.pod_when(1, |pod| uid(pod) != uid(&going)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_allocation_is_lost_in_a_scale_in() {
    let world = Arc::new(World::new().await);
    let controller = process::start(&world).await;
    world.set(40, json!({})).await;
    let pods = world.live_when(0..40).await;
    for pod in pods.values() {
        world.game_server(pod, None, json!({})).await;
    }
    // An allocator that takes the very servers a scale-in takes first, while it does.
    let allocator = {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            let mut acknowledged = BTreeSet::new();
            for id in (0..40).rev().step_by(2) {
                if world.set_ops_state(id, "Allocated").await.is_ok() {
                    acknowledged.insert(id);
                }
            }
            acknowledged
        })
    };
    world.scale(20).await;
    let acknowledged = allocator.await.unwrap();
    let read = async || world.live().await.into_keys().collect::<BTreeSet<u32>>();
    let live = eventually("20 Pods", read, |live| live.len() == 20).await;
    assert!(
        acknowledged.is_subset(&live),
        "lost {:?}",
        acknowledged.difference(&live)
    );
    for id in &acknowledged {
        assert_eq!(uid(&world.pods.get(&name(*id)).await.unwrap()), uid(&pods[id]));
    }
    let raced = controller
        .metric("gamekeeper_gss_claims_total", &["outcome=\"raced\""])
        .await;
    println!(
        "{} allocations acknowledged, {raced} claims raced",
        acknowledged.len()
    );
    drop(controller);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_finished_after_a_crash() {
    let world = World::new().await;
    let controller = process::start(&world).await;
    world.set(3, holding()).await;
    let pods = world.live_when(0..3).await;
    world.game_server(&pods[&1], None, json!({})).await;
    drop(controller);
    // What a controller leaves that ends between claim and delete; the set has grown back meanwhile.
    let claim = json!({ "podUID": uid(&pods[&1]), "reason": "ScaleIn", "time": "2026-01-01T00:00:00Z" });
    let patch = kube::api::Patch::Merge(json!({ "status": { "deletionClaim": claim } }));
    world
        .servers
        .patch_status("arena-1", &kube::api::PatchParams::default(), &patch)
        .await
        .unwrap();
    let _controller = process::start(&world).await;
    world
        .pod_when(1, |pod| pod.metadata.deletion_timestamp.is_some())
        .await;
    world.release(1).await;
    world.pod_when(1, |pod| uid(pod) != uid(&pods[&1])).await;
    assert_eq!(
        world.pods.list(&ListParams::default()).await.unwrap().items.len(),
        3
    );
}

// It could be announced, found Ready and allocated between a look for its GameServer and its deletion.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_nobody_announced_is_claimed_too() {
    let world = World::new().await;
    let _controller = process::start(&world).await;
    world.set(2, holding()).await;
    world.live_when(0..2).await;
    world.scale(1).await;
    let going = world
        .pod_when(1, |pod| pod.metadata.deletion_timestamp.is_some())
        .await;
    let game_server = world.servers.get("arena-1").await.unwrap();
    let owners = game_server.metadata.owner_references.clone().unwrap();
    assert_eq!(
        owners.iter().map(|owner| owner.uid.clone()).collect::<Vec<_>>(),
        [uid(&going)]
    );
    let claim = game_server.status.unwrap().deletion_claim.unwrap();
    assert_eq!(claim.pod_uid, uid(&going));
    let refused = world.set_ops_state(1, "Allocated").await.unwrap_err().to_string();
    assert!(refused.contains("can no longer be allocated"), "{refused}");
    world.release(1).await;
    let read = async || world.servers.get_opt("arena-1").await.unwrap();
    eventually("end of the GameServer with its Pod", read, Option::is_none).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_name_an_earlier_one_still_has_waits_for_its_end() {
    let world = World::new().await;
    let controller = process::start(&world).await;
    world.set(3, holding()).await;
    let pods = world.live_when(0..3).await;
    // Of a Pod that is gone, and held by somebody's finalizer.
    let mut earlier = pods[&2].clone();
    earlier.metadata.uid = Some("00000000-0000-4000-8000-000000000000".into());
    world.held_game_server(&earlier).await;
    world.scale(1).await;
    world
        .pod_when(1, |pod| pod.metadata.deletion_timestamp.is_some())
        .await;
    let creations = ["verb=\"create\"", "resource=\"gameservers\""];
    let tried = async || {
        controller
            .metric("gamekeeper_api_requests_total", &creations)
            .await
    };
    // One made for id 1, and at least two refused for id 2.
    eventually("refused creations", tried, |creations| *creations >= 3).await;
    assert!(world.live().await.contains_key(&2), "unclaimed and deleted");
    world.release_server(2).await;
    let going = world
        .pod_when(2, |pod| pod.metadata.deletion_timestamp.is_some())
        .await;
    let claimed = world.servers.get("arena-2").await.unwrap();
    assert_eq!(
        claimed.status.unwrap().deletion_claim.unwrap().pod_uid,
        uid(&going)
    );
}

//! Two active instances, and one that is stopped at a bad moment.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::{
    process,
    world::{World, eventually, uid},
};

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_come_to_the_same_end_as_one() {
    let world = World::new().await;
    let both = [process::start(&world).await, process::start(&world).await];
    world.set(20, json!({})).await;
    let first = world.live_when(0..20).await;
    for (id, pod) in &first {
        world
            .game_server(pod, None, json!({ "deletionPriority": id % 4 }))
            .await;
    }
    for controller in &both {
        process::knows(controller, 20).await;
    }
    world.scale(8).await;
    // The order of victims: priority 3, 2, then 1 from the top. Neither instance takes anything else.
    let read = async || world.live().await;
    let left = eventually("8 Pods", read, |live| live.len() == 8).await;
    let expected: BTreeSet<u32> = (0..20).filter(|id| id % 4 == 0).chain([1, 5, 9]).collect();
    assert_eq!(left.keys().copied().collect::<BTreeSet<_>>(), expected);
    let uids = |pods: &BTreeMap<u32, _>| pods.values().map(uid).collect::<BTreeSet<_>>();
    assert!(
        uids(&left).is_subset(&uids(&first)),
        "a server that stays was replaced"
    );

    let mut deleted = 0;
    for controller in &both {
        deleted += controller
            .metric("gamekeeper_gss_claims_total", &["outcome=\"written\""])
            .await;
    }
    assert_eq!(deleted, 12, "each victim was claimed once");
    world.scale(12).await;
    world.live_when(expected.into_iter().chain([2, 3, 6, 7])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_stopped_with_an_old_plan_takes_nothing_when_it_wakes() {
    let world = World::new().await;
    let sleeper = process::start(&world).await;
    world.set(10, json!({})).await;
    let before = world.live_when(0..10).await;
    for pod in before.values() {
        world.game_server(pod, None, json!({})).await;
    }
    let awake = process::start(&world).await;
    for round in 0..5_u64 {
        world.scale(5).await;
        // Stopped somewhere between its record, its claims and its deletes.
        tokio::time::sleep(std::time::Duration::from_millis(round * 3)).await;
        sleeper.signal("STOP");
        world.scale(10).await;
        // Longer than a plan is relied on without looking again; what was claimed before is finished by then.
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        world
            .set_when("a settled plan", |set| {
                let status = set.status.as_ref().unwrap();
                status.observed_generation == set.metadata.generation
                    && status.plan.as_ref().is_some_and(|plan| plan.deleting.is_empty())
            })
            .await;
        let settled = world.live_when(0..10).await;
        sleeper.signal("CONT");
        // Whatever it had in mind, the servers that are wanted now are left alone.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let after = world.live_when(0..10).await;
        assert_eq!(
            after.values().map(uid).collect::<Vec<_>>(),
            settled.values().map(uid).collect::<Vec<_>>(),
            "{round}"
        );
        for pod in after
            .values()
            .filter(|pod| !before.values().any(|old| uid(old) == uid(pod)))
        {
            // gs-controller's part for the servers that were really replaced.
            let name = pod.metadata.name.as_deref().unwrap();
            if world.servers.get_opt(name).await.unwrap().is_none() {
                world.game_server(pod, None, json!({})).await;
            }
        }
    }
    drop(awake);
}

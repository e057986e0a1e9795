//! pod-sync processes that end, one way or another, in the middle of work.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod world;

use world::{PodSync, PodWatch, World, annotation, eventually, label};

/// Changes server `i` for the `round`th time; returns its generation then.
async fn change(world: &World, i: usize, round: usize) -> i64 {
    world
        .set_ops_state(&format!("arena-{i}"), &format!("Round-{round}"))
        .await
}

async fn settled(world: &World, expected: &[(i64, String)]) {
    let read = async || {
        world
            .pods
            .list(&kube::api::ListParams::default())
            .await
            .unwrap()
            .items
    };
    let right = |pods: &Vec<k8s_openapi::api::core::v1::Pod>| {
        expected.iter().enumerate().all(|(i, (generation, state))| {
            let name = format!("arena-{i}");
            let pod = pods
                .iter()
                .find(|pod| pod.metadata.name.as_ref() == Some(&name))
                .unwrap();
            let shown = annotation(pod, "synced-generation").and_then(|text| text.parse().ok());
            shown == Some(*generation) && label(pod, "gs-opsState") == Some(state)
        })
    };
    eventually("all labels", read, right).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restart_in_the_middle_of_changes_loses_nothing() {
    const SERVERS: usize = 20;
    let world = World::new().await;
    for i in 0..SERVERS {
        world.server(&format!("arena-{i}")).await;
        world.set_ready(&format!("arena-{i}"), true).await;
    }
    let watch = PodWatch::start(&world).await;
    let mut process = Some(PodSync::start(&world, &["--shards", "0"]).await);
    let mut expected = vec![(0, String::new()); SERVERS];
    for n in 0..200 {
        if n == 100 {
            // Killed, not asked: whatever was on the wire is on the wire.
            drop(process.take());
        }
        if n == 150 {
            process = Some(PodSync::start(&world, &["--shards", "0"]).await);
        }
        let (i, round) = (n % SERVERS, n / SERVERS);
        expected[i] = (change(&world, i, round).await, format!("Round-{round}"));
    }
    settled(&world, &expected).await;
    watch.assert_never_back();
    assert_eq!(
        process
            .unwrap()
            .metric("gamekeeper_pod_sync_conflicts_total", &[])
            .await,
        0,
        "nobody else wrote"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_share_the_shards_and_hand_over_on_sigterm() {
    const SERVERS: usize = 24;
    let world = World::new().await;
    for i in 0..SERVERS {
        world.server(&format!("arena-{i}")).await;
        world.set_ready(&format!("arena-{i}"), true).await;
    }
    let watch = PodWatch::start(&world).await;
    let flags = |identity: &'static str| {
        [
            "--shards=4",
            "--lease-identity",
            identity,
            "--retry-period=500ms",
            "--lease-namespace",
        ]
    };
    let namespace = world.namespace.clone();
    let start = async |identity| {
        let mut all = flags(identity).to_vec();
        all.push(&namespace);
        PodSync::start(&world, &all).await
    };
    let mut first = start("first").await;
    let second = start("second").await;
    let owned = async || {
        let shards = async |process: &PodSync| process.metric("gamekeeper_pod_sync_owned_shards", &[]).await;
        (shards(&first).await, shards(&second).await)
    };
    eventually("two shards each", owned, |owned| *owned == (2, 2)).await;

    let mut expected = vec![(0, String::new()); SERVERS];
    for round in 0..4 {
        if round == 2 {
            assert!(first.terminate().await.success(), "a hand-over is a clean exit");
        }
        for (i, expected) in expected.iter_mut().enumerate() {
            *expected = (change(&world, i, round).await, format!("Round-{round}"));
        }
    }
    settled(&world, &expected).await;
    watch.assert_never_back();
    assert_eq!(second.metric("gamekeeper_pod_sync_owned_shards", &[]).await, 4);
}

/// Leases only save work: with two processes that both own everything each change is still written once, and none goes back.
#[tokio::test(flavor = "multi_thread")]
async fn two_owners_at_once_write_each_change_once() {
    const SERVERS: usize = 10;
    let world = World::new().await;
    for i in 0..SERVERS {
        world.server(&format!("arena-{i}")).await;
        world.set_ready(&format!("arena-{i}"), true).await;
    }
    let first = PodSync::start(&world, &["--shards", "0"]).await;
    let second = PodSync::start(&world, &["--shards", "0"]).await;
    for i in 0..SERVERS {
        world
            .label_until(&format!("arena-{i}"), "gs-state", "Ready")
            .await;
    }
    let watch = PodWatch::start(&world).await;
    let mut expected = vec![(0, String::new()); SERVERS];
    for round in 0..5 {
        for (i, expected) in expected.iter_mut().enumerate() {
            *expected = (change(&world, i, round).await, format!("Round-{round}"));
        }
    }
    settled(&world, &expected).await;
    let both = async || {
        let gap = async |process: &PodSync| process.metric("gamekeeper_pod_sync_gap_servers", &[]).await;
        gap(&first).await + gap(&second).await
    };
    eventually("rest", both, |gap| *gap == 0).await;
    watch.assert_never_back();
    assert!(
        watch.revisions().len() <= SERVERS * 5,
        "a change was written twice"
    );
}

//! Shards shared by replicas on a real API server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod cluster;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use cluster::{Space, client, eventually, short_timing};
use kube::api::ListParams;
use leader_election::{
    ConfigError, Timing,
    shards::{OwnedShards, ShardConfig, Shards},
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

struct Replica {
    owned: watch::Receiver<Arc<OwnedShards>>,
    drained: CancellationToken,
    run: JoinHandle<Result<(), ConfigError>>,
}

impl Replica {
    async fn start(space: &Space, identity: &str, shards: u32, timing: Timing) -> Self {
        let mut config = ShardConfig::new("sync", &space.name, identity, shards);
        config.timing = timing;
        let shards = Shards::new(client().await, config).expect("a valid configuration");
        let owned = shards.owned();
        let drained = CancellationToken::new();
        let run = tokio::spawn(shards.run(drained.clone()));
        Self { owned, drained, run }
    }

    fn owned(&self) -> Vec<u32> {
        self.owned.borrow().iter().collect()
    }

    async fn leave(self) {
        self.drained.cancel();
        assert_eq!(self.run.await.expect("no panic"), Ok(()));
        assert!(self.owned.borrow().is_empty());
    }
}

/// Whether every shard has exactly one owner and the shares differ by at most one.
fn even(replicas: &[&Replica], shards: u32) -> bool {
    let owned: Vec<_> = replicas.iter().map(|replica| replica.owned()).collect();
    let counts = || owned.iter().map(Vec::len);
    let all: BTreeSet<_> = owned.iter().flatten().collect();
    all.len() == shards as usize
        && counts().sum::<usize>() == shards as usize
        && counts().max().unwrap_or(0) - counts().min().unwrap_or(0) <= 1
}

/// Watches for two owners of one shard until dropped.
fn no_two_owners(replicas: &[&Replica]) -> JoinHandle<usize> {
    let owned: Vec<_> = replicas.iter().map(|replica| replica.owned.clone()).collect();
    tokio::spawn(async move {
        let mut twice = 0;
        loop {
            let all: Vec<u32> = owned
                .iter()
                .flat_map(|owned| owned.borrow().iter().collect::<Vec<_>>())
                .collect();
            twice += all.len() - all.iter().collect::<BTreeSet<_>>().len();
            assert_eq!(twice, 0, "two owners");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
}

#[tokio::test]
async fn one_replica_with_one_shard_owns_it() {
    let space = Space::new().await;
    let only = Replica::start(&space, "only", 1, short_timing()).await;
    eventually("ownership", Duration::from_secs(2), || only.owned() == [0]).await;
    assert!(only.owned.borrow().owns("any", "thing"));
    only.leave().await;
    space.delete().await;
}

#[tokio::test]
async fn three_replicas_share_eight_shards_evenly_and_hand_over_on_exit() {
    let space = Space::new().await;
    let timing = Timing::default();
    let a = Replica::start(&space, "a", 8, timing).await;
    eventually("all shards", Duration::from_secs(2), || a.owned().len() == 8).await;
    let b = Replica::start(&space, "b", 8, timing).await;
    let c = Replica::start(&space, "c", 8, timing).await;
    let guard = no_two_owners(&[&a, &b, &c]);
    let spread = eventually("even shares", Duration::from_secs(10), || even(&[&a, &b, &c], 8)).await;
    println!("two newcomers had their share after {spread:?}");

    let (kept_b, kept_c) = (b.owned(), c.owned());
    let start = Instant::now();
    a.drained.cancel();
    eventually("hand-over", Duration::from_secs(2), || even(&[&b, &c], 8)).await;
    println!(
        "hand-over of {} shards on exit took {:?}",
        8 - kept_b.len() - kept_c.len(),
        start.elapsed()
    );
    a.leave().await;
    assert!(
        kept_b.iter().all(|shard| b.owned().contains(shard)),
        "only the shards of the leaver move"
    );
    assert!(
        kept_c.iter().all(|shard| c.owned().contains(shard)),
        "only the shards of the leaver move"
    );

    let leases = space.leases.list(&ListParams::default()).await.unwrap().items;
    let members = leases
        .iter()
        .filter_map(|lease| lease.metadata.name.as_deref())
        .filter(|name| name.contains("-member-"));
    assert_eq!(
        members.collect::<BTreeSet<_>>(),
        BTreeSet::from(["sync-member-b-of-8", "sync-member-c-of-8"])
    );
    assert!(!guard.is_finished(), "two owners");
    guard.abort();
    space.delete().await;
}

#[tokio::test]
async fn the_shards_of_a_killed_replica_are_taken_after_its_duration() {
    let space = Space::new().await;
    let timing = short_timing();
    let a = Replica::start(&space, "a", 4, timing).await;
    let b = Replica::start(&space, "b", 4, timing).await;
    eventually("even shares", Duration::from_secs(5), || even(&[&a, &b], 4)).await;
    let killed = Instant::now();
    a.run.abort();
    let limit = timing.duration + timing.retry + Duration::from_millis(500);
    eventually("take-over", limit, || b.owned().len() == 4).await;
    println!("take-over after a kill took {:?}", killed.elapsed());
    assert!(
        killed.elapsed() + timing.retry > timing.duration,
        "not before the lease of the dead was over"
    );
    let dead = space.leases.get_opt("sync-member-a-of-4").await.unwrap();
    assert!(dead.is_none(), "the member lease of the dead is cleaned up");
    space.delete().await;
}

#[tokio::test]
async fn a_shard_given_away_by_hand_is_given_up_and_comes_back() {
    let space = Space::new().await;
    let a = Replica::start(&space, "a", 2, short_timing()).await;
    eventually("all shards", Duration::from_secs(2), || a.owned().len() == 2).await;
    let patch = serde_json::json!({"spec": {"holderIdentity": "nobody-here"}});
    let params = kube::api::PatchParams::default();
    let mut changes = a.owned.clone();
    changes.mark_unchanged();
    space
        .leases
        .patch("sync-1-of-2", &params, &kube::api::Patch::Merge(patch))
        .await
        .expect("patched");
    changes.changed().await.expect("noticed");
    eventually("the shard back", Duration::from_secs(2), || a.owned().len() == 2).await;
    assert_eq!(space.holder("sync-1-of-2").await.as_deref(), Some("a"));
    space.delete().await;
}

#[tokio::test]
async fn a_replica_at_rest_writes_one_lease_per_retry_however_many_shards_it_owns() {
    let space = Space::new().await;
    let timing = short_timing();
    let a = Replica::start(&space, "a", 32, timing).await;
    eventually("all shards", Duration::from_secs(5), || a.owned().len() == 32).await;
    let versions = || async {
        let leases = space.leases.list(&ListParams::default()).await.unwrap().items;
        let version = |lease: &k8s_openapi::api::coordination::v1::Lease| {
            (
                lease.metadata.name.clone(),
                lease.metadata.resource_version.clone(),
            )
        };
        leases.iter().map(version).collect::<BTreeSet<_>>()
    };
    let before = versions().await;
    tokio::time::sleep(timing.retry * 4).await;
    let after = versions().await;
    let changed: Vec<_> = after
        .difference(&before)
        .filter_map(|(name, _)| name.as_deref())
        .collect();
    assert_eq!(changed, ["sync-member-a-of-32"]);
    space.delete().await;
}

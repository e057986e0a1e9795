//! One lease on a real API server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod cluster;

use std::time::{Duration, Instant};

use cluster::{Space, client, config, eventually, proxy::Proxy, short_timing};
use kube::{
    Client,
    api::{Patch, PatchParams},
};
use leader_election::{Elector, Leadership, LeadershipLost, LeaseConfig, Timing, step::Loss};
use serde_json::json;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

const LEASE: &str = "controller";

struct Candidate {
    leadership: watch::Receiver<Leadership>,
    is_leader: watch::Receiver<bool>,
    drained: CancellationToken,
    run: JoinHandle<Result<(), LeadershipLost>>,
}

impl Candidate {
    async fn start(space: &Space, identity: &str, timing: Timing) -> Self {
        Self::start_with(client().await, space, identity, timing)
    }

    fn start_with(client: Client, space: &Space, identity: &str, timing: Timing) -> Self {
        let mut config = LeaseConfig::new(LEASE, &space.name, identity);
        config.timing = timing;
        let elector = Elector::new(client, config).expect("a valid configuration");
        let (leadership, is_leader) = (elector.leadership(), elector.is_leader());
        let drained = CancellationToken::new();
        let run = tokio::spawn(elector.run(drained.clone()));
        Self {
            leadership,
            is_leader,
            drained,
            run,
        }
    }

    fn leads(&self) -> bool {
        let leads = self.leadership.borrow().leads_at(Instant::now());
        assert!(!leads || *self.is_leader.borrow());
        leads
    }

    async fn leads_within(&self, limit: Duration) -> Duration {
        eventually("a leader", limit, || self.leads()).await
    }
}

#[tokio::test]
async fn a_leader_acquires_renews_and_the_other_follows() {
    let space = Space::new().await;
    let first = Candidate::start(&space, "first", short_timing()).await;
    first.leads_within(Duration::from_secs(2)).await;
    let second = Candidate::start(&space, "second", short_timing()).await;

    let acquired = space.leases.get(LEASE).await.unwrap().spec.unwrap();
    assert_eq!(acquired.holder_identity.as_deref(), Some("first"));
    assert_eq!(
        (acquired.lease_duration_seconds, acquired.lease_transitions),
        (Some(3), Some(0))
    );

    // Longer than the lease: it lasts only because it is renewed.
    let end = Instant::now() + Duration::from_secs(4);
    while Instant::now() < end {
        assert!(first.leads() && !second.leads());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let renewed = space.leases.get(LEASE).await.unwrap().spec.unwrap();
    assert!(renewed.renew_time > acquired.renew_time);
    assert_eq!(renewed.acquire_time, acquired.acquire_time);
    assert_eq!(
        *second.leadership.borrow(),
        Leadership::Follower {
            holder: Some("first".into())
        }
    );
    space.delete().await;
}

#[tokio::test]
async fn a_released_lease_is_taken_in_under_two_seconds_with_default_times() {
    let space = Space::new().await;
    let first = Candidate::start(&space, "first", Timing::default()).await;
    first.leads_within(Duration::from_secs(2)).await;
    let second = Candidate::start(&space, "second", Timing::default()).await;
    let mut second_view = second.leadership.clone();
    second_view.changed().await.expect("the second sees the first");

    first.drained.cancel();
    let gap = second.leads_within(Duration::from_secs(2)).await;
    println!("hand-over on release took {gap:?}");
    assert_eq!(first.run.await.expect("no panic"), Ok(()));
    assert_eq!(space.holder(LEASE).await.as_deref(), Some("second"));
    let transitions = space
        .leases
        .get(LEASE)
        .await
        .unwrap()
        .spec
        .unwrap()
        .lease_transitions;
    assert_eq!(transitions, Some(1));
    second.drained.cancel();
    assert_eq!(second.run.await.expect("no panic"), Ok(()));
    assert_eq!(space.holder(LEASE).await, None, "the last one out leaves it free");
    space.delete().await;
}

#[tokio::test]
async fn the_lease_of_a_killed_leader_is_taken_after_its_duration_and_not_before() {
    let space = Space::new().await;
    let timing = short_timing();
    let first = Candidate::start(&space, "first", timing).await;
    first.leads_within(Duration::from_secs(2)).await;
    let second = Candidate::start(&space, "second", timing).await;
    tokio::time::sleep(timing.retry * 2).await;

    let killed = Instant::now();
    let Leadership::Leader { until } = *first.leadership.borrow() else {
        panic!("the first leads")
    };
    first.run.abort();
    eventually(
        "an aborted election tells its listeners",
        Duration::from_millis(200),
        || !*first.is_leader.borrow(),
    )
    .await;
    second
        .leads_within(timing.duration + timing.retry + Duration::from_millis(500))
        .await;
    let taken = Instant::now();
    println!("take-over after a kill took {:?}", taken - killed);
    assert!(taken > until, "not before the term of the first was over");
    space.delete().await;
}

#[tokio::test]
async fn a_version_changed_by_others_costs_a_read_not_the_leadership() {
    let space = Space::new().await;
    let first = Candidate::start(&space, "first", short_timing()).await;
    first.leads_within(Duration::from_secs(2)).await;
    let mut versions = 0;
    let end = Instant::now() + Duration::from_secs(4);
    while Instant::now() < end {
        let patch = json!({"metadata": {"annotations": {"example.com/touched": versions.to_string()}}});
        space
            .leases
            .patch(LEASE, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .expect("patched");
        versions += 1;
        assert!(first.leads(), "after {versions} foreign writes");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let lease = space.leases.get(LEASE).await.unwrap();
    let annotations = lease
        .metadata
        .annotations
        .expect("annotations of others survive renewals");
    assert_eq!(annotations["example.com/touched"], (versions - 1).to_string());
    space.delete().await;
}

#[tokio::test]
async fn a_lease_given_to_another_by_hand_ends_the_leadership() {
    let space = Space::new().await;
    let first = Candidate::start(&space, "first", short_timing()).await;
    first.leads_within(Duration::from_secs(2)).await;
    let patch = json!({"spec": {"holderIdentity": "somebody"}});
    space
        .leases
        .patch(LEASE, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .expect("patched");

    let lost = first.run.await.expect("no panic").expect_err("lost");
    assert_eq!(lost.loss, Loss::TakenBy("somebody".into()));
    assert!(!*first.is_leader.borrow());
    assert_eq!(
        space.holder(LEASE).await.as_deref(),
        Some("somebody"),
        "not taken back"
    );
    space.delete().await;
}

#[tokio::test]
async fn a_deleted_lease_is_made_again_by_its_leader() {
    let space = Space::new().await;
    let first = Candidate::start(&space, "first", short_timing()).await;
    first.leads_within(Duration::from_secs(2)).await;
    let uid = space.leases.get(LEASE).await.unwrap().metadata.uid;
    space
        .leases
        .delete(LEASE, &kube::api::DeleteParams::default())
        .await
        .expect("deleted");
    let limit = Instant::now() + Duration::from_secs(2);
    while space
        .leases
        .get_opt(LEASE)
        .await
        .unwrap()
        .is_none_or(|lease| lease.metadata.uid == uid)
    {
        assert!(Instant::now() < limit && first.leads());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(first.leads());
    space.delete().await;
}

#[tokio::test]
async fn a_leader_cut_off_stops_before_another_begins() {
    let space = Space::new().await;
    let timing = short_timing();
    let proxy = Proxy::start(config().await).await;
    let first = Candidate::start_with(proxy.client(), &space, "first", timing);
    first.leads_within(Duration::from_secs(2)).await;
    let second = Candidate::start(&space, "second", timing).await;
    tokio::time::sleep(timing.retry * 2).await;

    let cut = Instant::now();
    proxy.lose_everything();
    let limit = timing.renew_deadline + Duration::from_millis(300);
    let lost = tokio::time::timeout(limit, first.run)
        .await
        .expect("in time")
        .expect("no panic")
        .expect_err("lost");
    println!("stopped {:?} after the cut", cut.elapsed());
    assert_eq!(lost.loss, Loss::Deadline);
    assert!(
        !*first.is_leader.borrow() && !second.leads(),
        "the first is through before the second begins"
    );
    second.leads_within(timing.duration).await;
    println!("next leader {:?} after the cut", cut.elapsed());
    space.delete().await;
}

#[tokio::test]
async fn a_leader_whose_answers_are_lost_for_a_while_goes_on() {
    let space = Space::new().await;
    let proxy = Proxy::start(config().await).await;
    let first = Candidate::start_with(proxy.client(), &space, "first", Timing::default());
    first.leads_within(Duration::from_secs(2)).await;
    let version = space.leases.get(LEASE).await.unwrap().metadata.resource_version;

    proxy.lose_answers();
    let renewed = || async { space.leases.get(LEASE).await.unwrap().metadata.resource_version != version };
    let limit = Instant::now() + Duration::from_secs(3);
    while !renewed().await {
        assert!(
            Instant::now() < limit,
            "the renewal is applied although its answer is lost"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    proxy.open();
    // Past the end of the term that the lost answer would have confirmed.
    let mut leadership = first.leadership.clone();
    leadership.mark_unchanged();
    tokio::time::timeout(Duration::from_secs(9), leadership.changed())
        .await
        .expect("renewed")
        .expect("running");
    assert!(first.leads());
    let spec = space.leases.get(LEASE).await.unwrap().spec.unwrap();
    assert_eq!(spec.lease_transitions, Some(0));
    space.delete().await;
}

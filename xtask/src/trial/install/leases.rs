//! Who leads, and for how long nobody did.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::fleet::SYSTEM_NAMESPACE;

const LOOK_EVERY: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(60);
/// Leases with one holder; those of pod-sync's shards and members have other names.
const LEADERS: [&str; 6] = [
    "gss-controller",
    "gs-controller",
    "node-watcher",
    "network-plugins",
    "quality-prober",
    "player-autoscaler",
];

/// A lease that went from one holder to another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct HandOver {
    pub(super) lease: String,
    /// From when nobody held it until somebody did, as far as can be seen by a look every 20 ms.
    pub(super) milliseconds: f64,
}

/// Looks at all leases until it is stopped.
pub(super) struct Leases {
    stop: CancellationToken,
    task: JoinHandle<Result<Vec<HandOver>>>,
}

impl Leases {
    /// Begins.
    pub(super) fn watch(client: &Client) -> Self {
        let stop = CancellationToken::new();
        let leases: Api<Lease> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut seen = Seen::default();
            while !stopped.is_cancelled() {
                let holders = leases.list(&ListParams::default()).await?.items;
                let at = Instant::now();
                for lease in holders
                    .iter()
                    .filter(|lease| LEADERS.contains(&lease.name_any().as_str()))
                {
                    let holder = lease
                        .spec
                        .as_ref()
                        .and_then(|spec| spec.holder_identity.as_deref());
                    seen.look(&lease.name_any(), holder.unwrap_or_default(), at);
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Ok(seen.hand_overs)
        });
        Self { stop, task }
    }

    /// Ends; gives what was seen.
    ///
    /// # Errors
    /// When the API server didn't answer.
    pub(super) async fn stop(self) -> Result<Vec<HandOver>> {
        self.stop.cancel();
        self.task.await?
    }
}

/// What was seen so far: each lease's last holder, and since when it has none.
#[derive(Debug, Default)]
struct Seen {
    holders: BTreeMap<String, (String, Option<Instant>)>,
    hand_overs: Vec<HandOver>,
}

impl Seen {
    fn look(&mut self, lease: &str, holder: &str, at: Instant) {
        let (last, free) = self
            .holders
            .entry(lease.to_owned())
            .or_insert_with(|| (holder.to_owned(), None));
        if holder.is_empty() {
            free.get_or_insert(at);
            return;
        }
        if last != holder && !last.is_empty() {
            let since = free.map_or(Duration::ZERO, |free| at.duration_since(free));
            self.hand_overs.push(HandOver {
                lease: lease.to_owned(),
                milliseconds: since.as_secs_f64() * 1e3,
            });
        }
        (*last, *free) = (holder.to_owned(), None);
    }
}

/// Waits until no Pod of the controllers is on its way out: then no leader changes any more.
///
/// # Errors
/// When one stays.
pub(super) async fn settled(client: &Client) -> Result<()> {
    pods_until(client, |pods| {
        pods.iter().all(|pod| pod.metadata.deletion_timestamp.is_none())
    })
    .await
}

/// Waits until the last Pod of the controllers is gone.
///
/// # Errors
/// When one stays.
pub(super) async fn no_controller_is_left(client: &Client) -> Result<()> {
    pods_until(client, <[Pod]>::is_empty).await
}

async fn pods_until(client: &Client, enough: impl Fn(&[Pod]) -> bool) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let deadline = Instant::now() + LIMIT;
    loop {
        let there = pods.list(&ListParams::default()).await?.items;
        if enough(&there) {
            return Ok(());
        }
        if Instant::now() > deadline {
            let names: Vec<String> = there.iter().map(ResourceExt::name_any).collect();
            bail!("{names:?} are still there");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_over_is_timed_from_when_nobody_holds_the_lease() {
        let begun = Instant::now();
        let at = |milliseconds| begun + Duration::from_millis(milliseconds);
        let mut seen = Seen::default();
        seen.look("a", "one", at(0));
        seen.look("a", "one", at(20));
        assert_eq!(seen.hand_overs, []);
        seen.look("a", "", at(40));
        seen.look("a", "", at(60));
        seen.look("a", "two", at(340));
        assert_eq!(seen.hand_overs.len(), 1);
        assert!((seen.hand_overs[0].milliseconds - 300.0).abs() < 1.0);
        // Between two looks.
        seen.look("a", "three", at(360));
        assert!(seen.hand_overs[1].milliseconds < 1.0);
        // Given back and taken again by the same.
        seen.look("a", "", at(380));
        seen.look("a", "three", at(400));
        assert_eq!(seen.hand_overs.len(), 2);
    }
}

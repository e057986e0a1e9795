//! One membership's share of the shards: list, plan, release, claim.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use kube::api::WatchParams;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::{GroupNames, GroupView, OwnedShards, ShardPlan, plan_shards, record_owned};
use crate::{
    api::{LeaseApi, RequestError},
    config::Timing,
    elector::Leadership,
    metrics,
    record::{Claim, LeaseRecord},
    step::jitter,
    wakeup::Wakeup,
};

/// Writes under way at once when a replica takes over many shards; each is one connection.
const CONCURRENT_WRITES: usize = 8;

/// The pause before a listing that a lost race or a fencing made necessary.
const AGAIN: Duration = Duration::from_millis(50);

/// The published set of owned shards.
#[derive(Clone)]
pub(crate) struct Publisher {
    group: String,
    owned: Arc<watch::Sender<Arc<OwnedShards>>>,
}

impl Publisher {
    pub(crate) fn new(group: String, shards: u32) -> Self {
        let owned = OwnedShards::none(shards);
        record_owned(&group, &owned);
        Self {
            group,
            owned: Arc::new(watch::Sender::new(Arc::new(owned))),
        }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<OwnedShards>> {
        self.owned.subscribe()
    }

    pub(crate) fn publish(&self, owned: OwnedShards) {
        let news = self.owned.send_if_modified(|now| {
            let changed = **now != owned;
            if changed {
                *now = Arc::new(owned);
            }
            changed
        });
        if news {
            let owned = self.owned.borrow();
            record_owned(&self.group, &owned);
            info!(group = self.group, owned = ?owned.iter().collect::<Vec<_>>(), "owned shards changed");
        }
    }
}

pub(crate) struct Tenure {
    names: GroupNames,
    me: String,
    timing: Timing,
    leases: LeaseApi,
    leadership: watch::Receiver<Leadership>,
    owned: Publisher,
    view: GroupView,
    /// Claims confirmed during this membership and still named so by the last listing.
    mine: BTreeSet<u32>,
    wakeup: Wakeup,
}

impl Tenure {
    pub(crate) fn new(
        names: GroupNames,
        me: String,
        timing: Timing,
        leases: LeaseApi,
        leadership: watch::Receiver<Leadership>,
        owned: Publisher,
    ) -> Self {
        let (view, mine, wakeup) = (GroupView::default(), BTreeSet::new(), Wakeup::new());
        Self {
            names,
            me,
            timing,
            leases,
            leadership,
            owned,
            view,
            mine,
            wakeup,
        }
    }

    /// Runs until dropped, which is when the membership ends.
    pub(crate) async fn run(mut self) -> Infallible {
        loop {
            if !self.is_member() {
                // Nothing may be claimed before the member lease is confirmed: others would not know the claimant.
                if self.leadership.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                continue;
            }
            let pause = match self.round().await {
                Ok(true) => AGAIN,
                Ok(false) => self.timing.retry,
                Err(error) => {
                    warn!(group = self.names.label(), %error, "could not list the leases of the group");
                    self.timing.retry / 4
                }
            };
            let poll = Instant::now() + jitter(pause, rand::random());
            let expiry = self
                .view
                .next_expiry(&self.me, self.timing.duration)
                .filter(|expiry| *expiry > Instant::now());
            let deadline = expiry.map_or(poll, |expiry| expiry.min(poll));
            let (view, names, me) = (&self.view, &self.names, &self.me);
            self.wakeup
                .wait(deadline, |lease, deleted| view.is_news(names, me, lease, deleted))
                .await;
        }
    }

    /// One listing and what follows from it; `true` when another should follow at once.
    async fn round(&mut self) -> Result<bool, RequestError> {
        let selector = self.names.selector();
        let (leases, version) = self.leases.list(&selector).await?;
        let now = Instant::now();
        self.view = GroupView::read(&self.names, &self.view, leases, now);
        self.wakeup.follow(
            self.leases.api(),
            &WatchParams::default().labels(&selector),
            &version,
        );
        for shard in self.view.lost(&self.mine, &self.me) {
            warn!(
                group = self.names.label(),
                shard, "shard lease was changed by someone else"
            );
            self.mine.remove(&shard);
        }
        let expiries = self.view.expiries(self.timing.duration);
        let plan = plan_shards(&expiries, &self.view.holders, &self.me, &self.mine, now);
        self.carry_out(&plan).await
    }

    async fn carry_out(&mut self, plan: &ShardPlan) -> Result<bool, RequestError> {
        self.release(&plan.release).await;
        let fenced = self.fence(&plan.fence).await;
        let refused = self.claim(&plan.claim).await;
        Ok(fenced || refused)
    }

    async fn fence(&self, members: &[String]) -> bool {
        for identity in members {
            let Some((lease, version)) = self.view.member(identity) else {
                continue;
            };
            match self.leases.delete(lease, version).await {
                Ok(()) => info!(
                    group = self.names.label(),
                    identity, "removed a member that gave no sign of life"
                ),
                Err(RequestError::Refused(_)) => {
                    debug!(identity, "another replica removed this member, or it is back");
                }
                Err(error) => warn!(identity, %error, "could not remove a silent member"),
            }
        }
        !members.is_empty()
    }

    /// Stops owning `shards`, then frees their leases. A write that fails is made up for after the next listing.
    async fn release(&mut self, shards: &[u32]) {
        for shard in shards {
            self.mine.remove(shard);
        }
        self.publish();
        metrics::shard_moves(&self.names.label(), "released", shards.len());
        let this = &*self;
        // By value: a closure over `&u32` would make this future one that cannot be spawned.
        stream::iter(shards.to_vec())
            .for_each_concurrent(CONCURRENT_WRITES, |shard| async move {
                if let Err(error) = this.write(shard, None).await {
                    debug!(shard, %error, "could not free a shard");
                }
            })
            .await;
    }

    /// Claims `shards`; `true` when a race for one of them was lost.
    async fn claim(&mut self, shards: &[u32]) -> bool {
        let mut refused = false;
        let this = &*self;
        let mut confirmed = self.mine.clone();
        let mut writes = stream::iter(shards.to_vec())
            .map(|shard| async move { (shard, this.write(shard, Some(this.me.clone())).await) })
            .buffer_unordered(CONCURRENT_WRITES);
        while let Some((shard, result)) = writes.next().await {
            match result {
                // The membership may have ended while the answer was on its way.
                Ok(()) if this.is_member() => {
                    confirmed.insert(shard);
                    this.owned.publish(OwnedShards::of(
                        this.view.holders.len() as u32,
                        confirmed.iter().copied(),
                    ));
                }
                Ok(()) => {}
                Err(RequestError::Refused(message)) => {
                    debug!(shard, message, "lost the race for a shard");
                    refused = true;
                }
                Err(error) => warn!(shard, %error, "could not claim a shard"),
            }
        }
        drop(writes);
        metrics::shard_moves(&self.names.label(), "claimed", confirmed.len() - self.mine.len());
        self.mine = confirmed;
        refused
    }

    /// Writes `holder` over the listed version of a shard's lease.
    async fn write(&self, shard: u32, holder: Option<String>) -> Result<(), RequestError> {
        let stored = self.view.shards.get(shard as usize).and_then(Option::as_ref);
        let record = stored.map(LeaseRecord::from_lease).unwrap_or_default();
        let new_term = holder.is_some() && record.holder != holder;
        let claim = Claim {
            holder,
            duration: self.timing.duration,
            transitions: record
                .transitions
                .saturating_add(i32::from(new_term && stored.is_some())),
            new_term,
        };
        let labels = self.names.labels();
        match stored {
            Some(stored) => self.leases.replace(stored, &labels, &claim).await.map(|_| ()),
            None => self
                .leases
                .create(&self.names.shard(shard), &labels, &claim)
                .await
                .map(|_| ()),
        }
    }

    fn is_member(&self) -> bool {
        self.leadership.borrow().leads_at(Instant::now())
    }

    fn publish(&self) {
        if self.is_member() {
            self.owned.publish(OwnedShards::of(
                self.view.holders.len() as u32,
                self.mine.iter().copied(),
            ));
        }
    }
}

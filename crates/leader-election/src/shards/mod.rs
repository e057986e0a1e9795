//! N shards shared evenly among the live replicas.
//!
//! Leases of a group, all with the label [`GROUP_LABEL`]:
//!
//! | lease | written by | says |
//! |---|---|---|
//! | `<prefix>-member-<identity>-of-<N>` | that replica, every `retry`; deleted by whoever finds it expired | the replica lives |
//! | `<prefix>-<i>-of-<N>` | a replica that claims or releases shard i, only then | who owns shard i |
//!
//! A replica owns a shard while three things hold: its member lease is valid by the rules of [`step`](mod@crate::step), the shard's lease
//! names it, and it wrote that name itself during this membership. So one renewal keeps all its shards, however many there are.
//!
//! A shard is claimed only over the exact version seen in a listing in which its holder is nobody or has no member lease. The member
//! lease of a silent replica is deleted over the exact version that did not change for its whole duration. That replica
//! counted itself out before, at its renew deadline, and to own anything again it must first become a member again and then write every
//! shard lease anew, which makes the claims of others fail. Listings are single snapshots, so none shows a claim without the
//! membership that preceded it.
//!
//! Requests of one replica at rest, per `retry` × 0.6–1.0 (2 s): 1 PUT (its member lease) and 1 LIST; besides, one watch that is opened anew
//! every few minutes and whose events only start the next listing early. The number of shards does not matter.
//! Graceful exit is one GET and one DELETE of the member lease: it frees all shards at once.

mod group;
mod owned;
mod plan;
mod tenure;

use std::sync::Arc;

use kube::Client;
use tokio::{pin, select, sync::watch};
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub(crate) use self::group::{GroupNames, GroupView};
use self::tenure::{Publisher, Tenure};
pub use self::{
    group::GROUP_LABEL,
    owned::{MAX_SHARDS, OwnedShards, shard_of},
    plan::{ShardPlan, plan_shards},
};
use crate::{
    api::LeaseApi,
    config::{ConfigError, LeaseConfig, Timing, check_name},
    elector::{Elector, GiveBack, LeadershipLost},
    metrics,
    step::jitter,
};

/// One group of shards to take part in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardConfig {
    /// Whether to share at all; `false` owns every shard at once and never touches the API.
    pub elect: bool,
    /// Beginning of all lease names of the group, at most 50 characters.
    pub prefix: String,
    /// Namespace of the leases.
    pub namespace: String,
    /// Who this replica is; the rules of [`LeaseConfig::identity`] apply.
    pub identity: String,
    /// Number of shards, 1 to [`MAX_SHARDS`]. Replicas with another number form another group.
    pub shards: u32,
    /// Durations.
    pub timing: Timing,
}

impl ShardConfig {
    /// A group with the default durations.
    pub fn new(
        prefix: impl Into<String>,
        namespace: impl Into<String>,
        identity: impl Into<String>,
        shards: u32,
    ) -> Self {
        Self {
            elect: true,
            prefix: prefix.into(),
            namespace: namespace.into(),
            identity: identity.into(),
            shards,
            timing: Timing::default(),
        }
    }

    /// Checks the names, the durations and the number of shards.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !(1..=MAX_SHARDS).contains(&self.shards) {
            return Err(ConfigError::ShardsOutOfBounds(self.shards));
        }
        check_name("--lease-name", &self.prefix, group::MAX_PREFIX)?;
        self.member_lease().validate()
    }

    fn names(&self) -> GroupNames {
        GroupNames::new(&self.prefix, self.shards)
    }

    fn member_lease(&self) -> LeaseConfig {
        let names = self.names();
        LeaseConfig {
            elect: true,
            name: names.member(&self.identity),
            namespace: self.namespace.clone(),
            identity: self.identity.clone(),
            timing: self.timing,
            labels: names.labels(),
        }
    }
}

/// Takes part in a group of shards until told to stop.
pub struct Shards {
    config: ShardConfig,
    client: Client,
    owned: Publisher,
}

impl Shards {
    /// Checks `config`; sends nothing yet. The client should not retry by itself, see [`Elector::new`].
    pub fn new(client: Client, config: ShardConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        metrics::describe();
        let owned = Publisher::new(config.prefix.clone(), config.shards);
        Ok(Self {
            config,
            client,
            owned,
        })
    }

    /// The shards owned by this process; changes only when the set changes, and is empty before a replica is a member and
    /// from its renew deadline on.
    pub fn owned(&self) -> watch::Receiver<Arc<OwnedShards>> {
        self.owned.subscribe()
    }

    /// Takes part until `drained` is cancelled, then hands all shards over.
    ///
    /// A replica that could not renew in time owns nothing from then on and joins again: losing shards is no reason to end the process.
    ///
    /// # Errors
    /// Only for a configuration that is not valid, which [`Shards::new`] has excluded.
    pub async fn run(self, drained: CancellationToken) -> Result<(), ConfigError> {
        if !self.config.elect {
            self.owned.publish(OwnedShards::all(self.config.shards));
            drained.cancelled().await;
            self.owned.publish(OwnedShards::none(self.config.shards));
            return Ok(());
        }
        loop {
            let Some(lost) = Box::pin(self.membership(&drained)).await? else {
                return Ok(());
            };
            warn!(group = self.config.prefix, error = %lost, "owning no shards, joining again");
            let pause = jitter(self.config.timing.retry / 4, rand::random());
            select! {
                () = drained.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One membership from joining to its end: `None` when it ended because of `drained`.
    async fn membership(&self, drained: &CancellationToken) -> Result<Option<LeadershipLost>, ConfigError> {
        let label = format!("{}-member", self.config.prefix);
        let elector = Elector::with(
            self.client.clone(),
            self.config.member_lease(),
            label,
            GiveBack::Delete,
        )?;
        let tenure = self.tenure(&elector);
        let leave = CancellationToken::new();
        let member = elector.run(leave.clone());
        pin!(member);
        // The membership is polled first: when its deadline has passed, no answer that came meanwhile is looked at.
        // The tenure is dropped with everything it knows, so the next one starts without shards.
        let lost = select! {
            biased;
            () = drained.cancelled() => None,
            ended = &mut member => Some(ended),
            never = tenure.run() => match never {},
        };
        self.owned.publish(OwnedShards::none(self.config.shards));
        let ended = if let Some(ended) = lost {
            ended
        } else {
            leave.cancel();
            member.await
        };
        Ok(ended.err().filter(|_| !drained.is_cancelled()))
    }

    fn tenure(&self, elector: &Elector) -> Tenure {
        let timing = self.config.timing;
        Tenure::new(
            self.config.names(),
            self.config.identity.clone(),
            timing,
            LeaseApi::new(
                self.client.clone(),
                &self.config.namespace,
                timing.request_deadline(),
            ),
            elector.leadership(),
            self.owned.clone(),
        )
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        // Also when `run` is aborted: whoever still listens must not go on with shards nobody renews.
        self.owned.publish(OwnedShards::none(self.config.shards));
    }
}

/// Keeps the metric beside what was published.
pub(crate) fn record_owned(group: &str, owned: &OwnedShards) {
    metrics::shards_owned(group, owned.len(), owned.shards() as usize);
}

//! Carries a plan out.
//!
//! # Order of effects
//! 1. The plan record is stored, with the set's `resourceVersion`. Of two writers who planned from the same set one gets 409
//!    and plans again from the other's record. Nothing is created, claimed or deleted under a plan that is not stored.
//! 2. Each victim's GameServer gets its deletion claim, with the GameServer's `resourceVersion`; one that has none gets one
//!    first. This is the point of no return for that Pod. An allocator that was faster makes the claim fail, and another victim is chosen; one that is later
//!    is refused by the API server.
//! 3. The `preDelete` hook has its say; where it holds the Pod, the Pod's state says so and the rest waits for it.
//! 4. The Pod is deleted, with its UID. Pods are created at the same time, under names that only one Pod can have.
//! 5. Everything that follows from the above: reserves, readiness gates, surviving GameServers, status.
//!
//! Each step is recomputed from what the previous ones left in the API, so the process may end after any request.
//!
//! # Two writers
//! Leader election only saves work; two active instances are safe.
//!
//! *Who decides?* Whoever stores the record. A record names victims by id and Pod UID. A victim that still runs stays the
//! victim in every later plan (`plan::victims`), so two writers do not each take another one.
//!
//! *A writer is paused after storing its record, and meanwhile the other one wants that server back.* The paused writer holds
//! a [`Warrant`](claim::Warrant): a record that it knows to have been current within the last two seconds. When it wakes, it
//! reads the set again before the next claim and before the next delete, and stops where the record no longer names the
//! victim. What remains is the time between that read and the arrival of a request already under way. A claim that arrives in
//! it hits a server that was not allocated and that has not changed in any way since it was chosen, and takes that Pod only:
//! every planner that sees the claim names it in its record again, the Pod goes, and the id, if it is wanted, gets a new one.
//!
//! *The server was released, deleted or made anew meanwhile.* The claim fails on the `resourceVersion` and the delete on the
//! UID.
//!
//! *An allocator races.* API server and etcd order the claim and the allocation; see 2.
//!
//! *A writer creates a Pod under a record that has been replaced.* The Pod is live and not desired: the next plan takes it
//! first.

mod claim;
mod claims;
pub mod departing;
pub mod guard;
mod hooks;
mod in_place;
mod pods;
mod remove;
mod revisions;
mod set;

use std::{sync::Arc, time::Instant};

use api_types::eviction::Policy;
use controller_kit::{
    events::{EventRecord, Events, Regarding},
    key::ObjectKey,
    resource::GAME_SERVER_SET,
    write::Writer,
};
use futures::{StreamExt, stream};
use tokio::sync::Semaphore;

use crate::{
    error::Error, host_ports::HostPortBook, memory::Memory, observe::Observed, plan::Plan, status::Outcome,
};

pub(crate) use set::PLAYERS_INTERVAL;
pub use set::StatusWrite;

/// Carries out plans, for all sets.
pub struct Apply {
    writer: Writer,
    events: Events,
    memory: Arc<Memory>,
    host_ports: Arc<HostPortBook>,
    /// Where game-api answers, if servers are to know.
    game_api: Option<String>,
    /// Requests about Pods under way, in all sets together. First come, first served: a large set holds up another by its
    /// share of requests at most, not by its size.
    requests: Semaphore,
    pod_concurrency: usize,
    /// Who may evict servers of sets that say nothing.
    default_eviction: Policy,
}

/// One plan being carried out.
pub(crate) struct Pass<'a> {
    apply: &'a Apply,
    key: &'a ObjectKey,
    observed: &'a Observed,
    plan: &'a Plan,
    /// The set's version after our latest write to it.
    version: String,
}

impl Apply {
    /// `pod_concurrency` bounds the requests about Pods that are under way at the same time.
    pub fn new(
        writer: Writer,
        events: Events,
        memory: Arc<Memory>,
        host_ports: Arc<HostPortBook>,
        pod_concurrency: usize,
        default_eviction: Policy,
    ) -> Self {
        Self {
            writer,
            events,
            memory,
            host_ports,
            game_api: None,
            requests: Semaphore::new(pod_concurrency),
            pod_concurrency,
            default_eviction,
        }
    }

    /// New Pods are told where game-api answers, and each gets a code of its own.
    #[must_use]
    pub fn with_game_api(self, url: Option<String>) -> Self {
        Self {
            game_api: url,
            ..self
        }
    }

    /// A pass that has done nothing yet.
    pub(crate) fn pass<'a>(&'a self, key: &'a ObjectKey, observed: &'a Observed, plan: &'a Plan) -> Pass<'a> {
        Pass {
            apply: self,
            key,
            observed,
            plan,
            version: observed.set.metadata.resource_version.clone(),
        }
    }

    /// Carries `plan` out, as far as it gets. The error is the first one met; what did not depend on it was still done.
    pub(crate) async fn carry_out<'a>(
        &'a self,
        key: &'a ObjectKey,
        observed: &'a Observed,
        plan: &'a Plan,
    ) -> (Pass<'a>, Outcome, Result<(), Error>) {
        let mut pass = self.pass(key, observed, plan);
        let mut outcome = Outcome::default();
        let result = pass.run(&mut outcome).await;
        outcome.complete =
            result.is_ok() && outcome.reserve_error.is_none() && plan.is_complete_once_applied();
        (pass, outcome, result)
    }
}

impl Pass<'_> {
    async fn run(&mut self, outcome: &mut Outcome) -> Result<(), Error> {
        let plan = self.plan;
        if let Some(replicas) = plan.kill.filter(|_| !plan.record_first) {
            // The write changes the set, and the pass that follows plans the scale-in.
            return self.lower_replicas(replicas).await;
        }
        self.write_revisions().await?;
        let warrant = if plan.record_first {
            self.store_record().await?
        } else {
            self.standing_warrant()
        };
        outcome.recorded = true;

        let (created, deleted, updated) = tokio::join!(
            self.create_pods(),
            self.delete_pods(&warrant),
            self.update_in_place()
        );
        if let Err(Error::Create(error)) = &created {
            outcome.create_error = Some(error.to_string());
        }
        outcome.reserve_error = self.write_reserves().await?;
        let compared = self.compare_pods().await;
        let gates = self.open_gates().await;
        let lifecycle = self.write_lifecycle().await;
        let owned = self.own_claims().await;
        let remade = self.remake_claims().await;
        let survivors = self.write_survivors().await;
        // A stale decision is repeated at once, whatever else there was.
        let results = [
            deleted, updated, compared, survivors, lifecycle, owned, created, remade, gates,
        ];
        let stale = results
            .iter()
            .find(|result| matches!(result, Err(Error::Stale(_))));
        stale
            .or(results.iter().find(|result| result.is_err()))
            .cloned()
            .unwrap_or(Ok(()))
    }

    /// Runs all of `work`, as much at a time as Pod requests are allowed, and gives the first error after all ended.
    ///
    /// It takes futures, not a closure to make them: a closure over borrowed items would make the pass's future impossible
    /// to prove `Send`.
    async fn all<F>(&self, work: Vec<F>) -> Result<(), Error>
    where
        F: Future<Output = Result<(), Error>>,
    {
        let mut running = stream::iter(work)
            .map(|work| self.permitted(work))
            .buffer_unordered(self.apply.pod_concurrency);
        let mut first = Ok(());
        while let Some(result) = running.next().await {
            first = first.and(result);
        }
        first
    }

    async fn permitted<F>(&self, work: F) -> Result<(), Error>
    where
        F: Future<Output = Result<(), Error>>,
    {
        // Never closed: the semaphore lives as long as the process.
        let _permit = self.apply.requests.acquire().await;
        work.await
    }

    fn uid(&self) -> &str {
        &self.observed.set.metadata.uid
    }

    fn regarding(&self) -> Regarding {
        Regarding::object(&GAME_SERVER_SET, &self.observed.set.metadata)
    }

    fn normal(&self, reason: &'static str, note: String) {
        self.apply
            .events
            .publish(EventRecord::normal(self.regarding(), reason, note));
    }

    fn warning(&self, reason: &'static str, note: String) {
        self.apply
            .events
            .publish(EventRecord::warning(self.regarding(), reason, note));
    }

    /// Remembers the set's version after an own write.
    fn wrote_set(&mut self, version: String) {
        self.apply.memory.wrote(
            self.key,
            &self.observed.set.metadata.uid,
            &version,
            Instant::now(),
        );
        self.version = version;
    }
}

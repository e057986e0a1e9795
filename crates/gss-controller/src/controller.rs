//! Wiring: watches into the queue, the queue into passes.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use api_types::keys;
use controller_kit::{
    key::ObjectKey,
    queue::{Next, Queue, ReconcileError, Work},
    runtime::Runtime,
    write::Writer,
};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::{
    Args,
    apply::{Apply, StatusWrite, departing::Departures, guard::Guards},
    census::Census,
    error::Error,
    host_ports::HostPortBook,
    memory::Memory,
    metrics,
    observe::{Observed, Stores},
    plan::{self, Plan},
    status, watches,
};

/// When a pass looks again though no event came: own writes are forgotten by then, and names in the way may be free.
const LOOK_AGAIN: Duration = Duration::from_secs(11);
/// When to look again in a namespace that is being deleted; the end of the set, which follows, comes as an event.
const NAMESPACE_ENDING: Duration = Duration::from_secs(30);
/// How long to wait for a cache that is behind our own write; the event that ends the wait comes earlier.
const CATCH_UP: Duration = Duration::from_millis(100);

/// Namespaces whose PodDisruptionBudgets are written at once: there is one, and it hardly ever changes.
const NAMESPACES_AT_ONCE: usize = 4;

/// Between two attempts to learn what the cluster can do.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// How often the caches are counted for the metrics.
const CENSUS_INTERVAL: Duration = Duration::from_secs(10);

/// What there is to work on.
pub(crate) struct Queues {
    /// Sets.
    pub sets: Queue<ObjectKey>,
    /// Servers whose Pod somebody else takes away.
    pub departing: Queue<ObjectKey>,
    /// Namespaces, by their PodDisruptionBudget.
    pub budgets: Queue<ObjectKey>,
}

/// Everything a pass needs.
struct Controller {
    stores: Stores,
    memory: Arc<Memory>,
    apply: Apply,
}

impl Controller {
    /// One pass over one set: observe, plan, apply, status.
    async fn pass(&self, work: Work<ObjectKey>) -> Result<Next, Error> {
        let (key, now, clock) = (work.key, Instant::now(), Timestamp::now());
        let Some(observed) = self.stores.observe(&key, &self.memory, now, clock) else {
            self.memory.forget(&key);
            return Ok(Next::Done);
        };
        let meta = &observed.set.metadata;
        if meta.is_terminating() {
            // The garbage collector takes everything that belongs to the set.
            return Ok(Next::Done);
        }
        if self.memory.is_ahead(&key, &meta.uid, &meta.resource_version, now) {
            return Ok(Next::After(CATCH_UP));
        }
        let plan = plan::plan(&observed, self.memory.is_creation_failing(&key, &meta.uid));
        metrics::planned(now.elapsed());
        if observed.awaiting_take_over() > 0 {
            let report = status::awaiting_take_over(&observed, clock);
            self.apply.pass(&key, &observed, &plan).report(&report).await?;
            return Ok(Next::Done);
        }
        tracing::debug!(object.namespace = %key.namespace, object.name = %key.name, ?plan, "planned");

        let (mut pass, outcome, result) = self.apply.carry_out(&key, &observed, &plan).await;
        if matches!(result, Err(Error::NamespaceEnding)) {
            if self.memory.first_refusal(&key, &meta.uid) {
                tracing::info!(object.namespace = %key.namespace, object.name = %key.name, "the namespace is being deleted: nothing more is created");
            }
            return Ok(Next::After(NAMESPACE_ENDING));
        }
        if matches!(result, Err(Error::Stale(_))) || !outcome.recorded {
            return result.map(|()| Next::Done);
        }
        let report = status::compute(&observed, &plan, &outcome, clock);
        self.memory.waiting(&key, &meta.uid, &report.waiting);
        let written = pass.report(&report).await?;
        result?;
        Ok(next(&observed, &plan, written, report.changes_in))
    }
}

fn next(observed: &Observed, plan: &Plan, written: StatusWrite, changes_in: Option<i64>) -> Next {
    let more_to_create = !plan.create.is_empty() && plan.create_later > 0;
    let waits = [
        more_to_create.then_some(Duration::ZERO),
        (!plan.compare.is_empty()).then_some(Duration::ZERO),
        match written {
            StatusWrite::Done => None,
            StatusWrite::In(wait) => Some(wait),
        },
        observed.pending.backing_off.values().min().copied(),
        changes_in.map(|seconds| Duration::from_secs(seconds.unsigned_abs())),
        (!observed.pending.is_empty() || !plan.create.is_empty() || !plan.delete.is_empty())
            .then_some(LOOK_AGAIN),
    ];
    waits.into_iter().flatten().min().map_or(Next::Done, Next::After)
}

/// Starts the watches and the work.
pub(crate) fn start(runtime: &Runtime, queues: &Queues, args: &Args) {
    metrics::describe();
    let queue = &queues.sets;
    let memory = Arc::new(Memory::default());
    let host_ports = Arc::new(HostPortBook::new(args.host_port_min, args.host_port_max));
    let default_eviction = args.eviction.default_eviction;
    let sets = watches::sets(runtime, queues, default_eviction);
    let stores = Stores {
        budgets: watches::budgets(runtime, queues, &sets),
        sets,
        pods: watches::pods(runtime, queues, &memory, &host_ports),
        game_servers: watches::game_servers(runtime, queues),
        removed: watches::removed(runtime, queue),
        claims: watches::claims(runtime, queue, &memory),
        revisions: watches::revisions(runtime, queue),
        default_eviction,
        can_resize: discover_resize(runtime),
    };
    let writer = runtime.writer(keys::field_manager::GSS_CONTROLLER);
    depart(runtime, &queues.departing, &stores, writer.clone(), args);
    guard(runtime, &queues.budgets, &stores, writer.clone());
    let apply = Apply::new(
        writer,
        runtime.events(),
        Arc::clone(&memory),
        host_ports,
        args.pod_concurrency.into(),
        default_eviction,
    )
    .with_game_api(args.game_api_url.clone());
    let controller = Arc::new(Controller {
        stores,
        memory,
        apply,
    });
    runtime.spawn("census", census(Arc::clone(&controller), runtime.shutdown()));
    queue.run(
        runtime,
        "game-server-sets",
        args.controller.concurrency,
        move |work| {
            let controller = Arc::clone(&controller);
            async move {
                let result = controller.pass(work).await;
                metrics::pass(result.as_ref().map_or_else(ReconcileError::category, |_| "ok"));
                result
            }
        },
    );
}

/// Counts the caches for the metrics until shutdown: one pass over them now and then instead of work in every event.
async fn census(controller: Arc<Controller>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let stores = &controller.stores;
    let mut tick = tokio::time::interval(CENSUS_INTERVAL);
    while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
        let mut census = Census::default();
        stores.sets.for_each(|set| census.set(set));
        stores.game_servers.for_each(|server| {
            // Few have a claim: only their Pods are looked up.
            if server.deletion_claim.is_some() {
                let pod = stores.pods.get(&ObjectKey::of(&server.metadata));
                census.server(server, pod.as_deref());
            }
        });
        metrics::census(&census);
    }
    Ok(())
}

/// Claims servers whose Pods somebody else takes away.
fn depart(runtime: &Runtime, queue: &Queue<ObjectKey>, stores: &Stores, writer: Writer, args: &Args) {
    let departures = Arc::new(Departures {
        pods: stores.pods.clone(),
        game_servers: stores.game_servers.clone(),
        writer,
    });
    queue.run(
        runtime,
        "departing-servers",
        args.controller.concurrency,
        move |work| {
            let departures = Arc::clone(&departures);
            async move { departures.write(&work.key).await }
        },
    );
}

/// Keeps each namespace's PodDisruptionBudget.
fn guard(runtime: &Runtime, queue: &Queue<ObjectKey>, stores: &Stores, writer: Writer) {
    let guards = Arc::new(Guards {
        sets: stores.sets.clone(),
        budgets: stores.budgets.clone(),
        default: stores.default_eviction,
        writer,
    });
    queue.run(runtime, "disruption-budgets", NAMESPACES_AT_ONCE, move |work| {
        let guards = Arc::clone(&guards);
        async move { guards.write(&work.key).await }
    });
}

/// Whether the cluster changes CPU and memory of running Pods (since 1.33), asked once. The answer is there long before the
/// caches are.
fn discover_resize(runtime: &Runtime) -> Arc<OnceLock<bool>> {
    let (client, found) = (runtime.client(), Arc::new(OnceLock::new()));
    let answer = Arc::clone(&found);
    let stop = runtime.shutdown();
    runtime.spawn("discover-resize", async move {
        let asking = async {
            loop {
                match client.list_core_api_resources("v1").await {
                    Ok(list) => {
                        break list
                            .resources
                            .iter()
                            .any(|resource| resource.name == "pods/resize");
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot tell whether Pods can be resized; asking again");
                    }
                }
                tokio::time::sleep(ASK_AGAIN).await;
            }
        };
        tokio::select! {
            // Set once, here.
            can_resize = asking => drop(answer.set(can_resize)),
            () = stop.cancelled() => {}
        }
        stop.cancelled().await;
        Ok(())
    });
    found
}

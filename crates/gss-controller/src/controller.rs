//! Wiring: watches into the queue, the queue into passes.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use api_types::{GameServerSetView, keys};
use controller_kit::{
    key::ObjectKey,
    queue::{Next, Queue, ReconcileError, Work},
    runtime::Runtime,
    store::Store,
    watch::{Change, Watch},
};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::{
    Args,
    apply::{Apply, StatusWrite},
    census::Census,
    error::Error,
    host_ports::HostPortBook,
    memory::Memory,
    metrics,
    observe::{BY_SET, Observed, Stores, removed_from, set_of},
    plan::{self, Plan},
    relevance::{Relevance, of_claim, of_game_server, of_pod},
    status,
    views::{ClaimView, GameServerView, PodView, RemovedView, RevisionView},
};

/// When a pass looks again though no event came: own writes are forgotten by then, and names in the way may be free.
const LOOK_AGAIN: Duration = Duration::from_secs(11);
/// When to look again in a namespace that is being deleted; the end of the set, which follows, comes as an event.
const NAMESPACE_ENDING: Duration = Duration::from_secs(30);
/// How long to wait for a cache that is behind our own write; the event that ends the wait comes earlier.
const CATCH_UP: Duration = Duration::from_millis(100);

/// Between two attempts to learn what the cluster can do.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// How often the caches are counted for the metrics.
const CENSUS_INTERVAL: Duration = Duration::from_secs(10);

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
pub(crate) fn start(runtime: &Runtime, queue: &Queue<ObjectKey>, args: &Args) {
    metrics::describe();
    let memory = Arc::new(Memory::default());
    let host_ports = Arc::new(HostPortBook::new(args.host_port_min, args.host_port_max));
    let stores = Stores {
        sets: watch_sets(runtime, queue),
        pods: watch_pods(runtime, queue, &memory, &host_ports),
        game_servers: watch_game_servers(runtime, queue),
        removed: watch_removed(runtime, queue),
        claims: watch_claims(runtime, queue, &memory),
        revisions: watch_revisions(runtime, queue),
        can_resize: discover_resize(runtime),
    };
    let writer = runtime.writer(keys::field_manager::GSS_CONTROLLER);
    let apply = Apply::new(
        writer,
        runtime.events(),
        Arc::clone(&memory),
        host_ports,
        args.pod_concurrency.into(),
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

fn watch_sets(runtime: &Runtime, queue: &Queue<ObjectKey>) -> Store<GameServerSetView> {
    let (changed, malformed) = (queue.clone(), queue.clone());
    Watch::<GameServerSetView>::new()
        .on_change(move |change: Change<GameServerSetView>| {
            let key = ObjectKey::of(&change.object().metadata);
            let Change::Applied { old: Some(old), new } = &change else { return changed.add(key) };
            // Our own status writes change nothing that a pass has not seen; but a pass may wait for them.
            let same = old.metadata.generation == new.metadata.generation
                && old.metadata.annotations == new.metadata.annotations
                && old.metadata.deletion_timestamp == new.metadata.deletion_timestamp
                && old.status == new.status;
            if !same {
                changed.add(key);
            }
        })
        .on_malformed(move |key, why| {
            tracing::warn!(object.namespace = %key.namespace, object.name = %key.name, why, "set not understood");
            malformed.add(key);
        })
        .start(runtime)
}

fn watch_pods(
    runtime: &Runtime,
    queue: &Queue<ObjectKey>,
    memory: &Arc<Memory>,
    host_ports: &Arc<HostPortBook>,
) -> Store<PodView> {
    let (queue, memory) = (queue.clone(), Arc::clone(memory));
    let host_ports = Arc::clone(host_ports);
    Watch::<PodView>::new()
        .labels(keys::label::OWNER_GSS)
        .index(BY_SET, |pod: &PodView| set_of(&pod.metadata))
        .on_change(move |change: Change<PodView>| {
            host_ports.changed(&change);
            let relevance = of_pod(&change);
            for key in sets_of(&change, |pod| &pod.metadata) {
                if let Change::Deleted(last) = &change {
                    memory.gone(&key, &last.metadata.uid);
                }
                enqueue(&queue, key, relevance);
            }
        })
        .start(runtime)
}

fn watch_game_servers(runtime: &Runtime, queue: &Queue<ObjectKey>) -> Store<GameServerView> {
    let queue = queue.clone();
    Watch::<GameServerView>::new()
        .index(BY_SET, |found: &GameServerView| set_of(&found.metadata))
        .on_change(move |change: Change<GameServerView>| {
            let relevance = of_game_server(&change);
            for key in sets_of(&change, |found| &found.metadata) {
                enqueue(&queue, key, relevance);
            }
        })
        .start(runtime)
}

/// Pods that failurePolicy took out of their sets. There are few, and nothing about them matters but that they have a name.
fn watch_removed(runtime: &Runtime, queue: &Queue<ObjectKey>) -> Store<RemovedView> {
    let queue = queue.clone();
    Watch::<RemovedView>::new()
        .labels(keys::label::REMOVED_FROM_GSS)
        .index(BY_SET, |pod: &RemovedView| removed_from(&pod.metadata))
        .on_change(move |change: Change<RemovedView>| {
            if matches!(change, Change::Applied { old: Some(_), .. }) {
                return;
            }
            let meta = &change.object().metadata;
            if let Some(set) = meta.label(keys::label::REMOVED_FROM_GSS) {
                let key = ObjectKey::new(meta.namespace.as_str(), set);
                enqueue(&queue, key, Relevance::Plan);
            }
        })
        .start(runtime)
}

fn watch_claims(runtime: &Runtime, queue: &Queue<ObjectKey>, memory: &Arc<Memory>) -> Store<ClaimView> {
    let (queue, memory) = (queue.clone(), Arc::clone(memory));
    Watch::<ClaimView>::new()
        .labels(keys::label::OWNER_GSS)
        .index(BY_SET, |claim: &ClaimView| set_of(&claim.metadata))
        .on_change(move |change: Change<ClaimView>| {
            let relevance = of_claim(&change);
            for key in sets_of(&change, |claim| &claim.metadata) {
                if let Change::Deleted(last) = &change {
                    memory.claim_gone(&key, &last.metadata.name);
                }
                enqueue(&queue, key, relevance);
            }
        })
        .start(runtime)
}

fn watch_revisions(runtime: &Runtime, queue: &Queue<ObjectKey>) -> Store<RevisionView> {
    let queue = queue.clone();
    Watch::<RevisionView>::new()
        .labels(keys::label::OWNER_GSS)
        .index(BY_SET, |found: &RevisionView| set_of(&found.metadata))
        .on_change(move |change: Change<RevisionView>| {
            // Our own writes are remembered; what remains are losses and imports.
            for key in sets_of(&change, |found| &found.metadata) {
                enqueue(&queue, key, Relevance::Status);
            }
        })
        .start(runtime)
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

/// The set an object is labelled with, and the one it was labelled with before.
fn sets_of<T>(change: &Change<T>, meta: impl Fn(&T) -> &api_types::Meta) -> Vec<ObjectKey> {
    let named = |object: &T| {
        let meta = meta(object);
        let set = meta.label(keys::label::OWNER_GSS)?;
        Some(ObjectKey::new(meta.namespace.as_str(), set))
    };
    let before = match change {
        Change::Applied { old: Some(old), .. } => named(old),
        _ => None,
    };
    let mut sets: Vec<_> = named(change.object()).into_iter().chain(before).collect();
    sets.dedup();
    sets
}

fn enqueue(queue: &Queue<ObjectKey>, set: ObjectKey, relevance: Relevance) {
    if let Some(delay) = relevance.delay() {
        queue.add_after(set, delay);
    }
}

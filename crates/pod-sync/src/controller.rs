//! Wiring: watches to the diff, the queue to the write, leases to the ownership.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use api_types::{
    keys,
    views::{GameServerView, PodView},
};
use controller_kit::{
    key::ObjectKey,
    queue::Queue,
    runtime::Runtime,
    watch::{Change, Watch},
};
use leader_election::shards::Shards;
use tokio_util::sync::CancellationToken;

use crate::{
    Args,
    gap::Gap,
    metrics::{self, Trigger},
    observe::Observer,
    ownership::Ownership,
    sync::Syncer,
    template::{SetTemplate, set_index, waits_for_update},
};

/// Pods by `namespace/set`.
const BY_SET: &str = "set";
/// How often the gauges of the sync gap are brought up to date: fine enough for any scrape interval.
const GAP_REPORT: Duration = Duration::from_secs(1);

/// The longest pause of a watch after the API server was away. The kit's 10 s are all of the time an opsState may be late after a
/// restart: measured, its 403s and 429s while it starts brought the pause to 9.6 s after it already answered.
const RETRY_WATCH: Duration = Duration::from_secs(1);

/// Starts everything on `runtime`; returns at once.
///
/// # Errors
/// A lease name or duration that cannot be used.
pub(crate) fn start(runtime: &Runtime, args: &Args) -> anyhow::Result<()> {
    metrics::describe();
    let queue: Queue<ObjectKey> = Queue::new();
    let syncer = Arc::new(Syncer {
        observer: Observer::new(args.eviction.default_eviction),
        queue: queue.clone(),
        gap: Gap::default(),
        ownership: start_ownership(runtime, args)?,
        writer: runtime.writer(keys::field_manager::POD_SYNC),
        events: runtime.events(),
    });
    watch_servers(runtime, &syncer);
    watch_pods(runtime, &syncer);
    watch_sets(runtime, &syncer);
    let workers = Arc::clone(&syncer);
    queue.run(runtime, "pod-sync", args.controller.concurrency, move |work| {
        let syncer = Arc::clone(&workers);
        async move { syncer.sync(&work.key).await }
    });
    runtime.spawn(
        "sweep",
        sweep(Arc::clone(&syncer), runtime.primed(), runtime.shutdown()),
    );
    runtime.spawn("gap-report", report_gap(syncer, runtime.shutdown()));
    Ok(())
}

fn start_ownership(runtime: &Runtime, args: &Args) -> anyhow::Result<Ownership> {
    if args.shards == 0 {
        return Ok(Ownership::All);
    }
    let client = runtime.client();
    let config = args
        .lease
        .shards("pod-sync", client.default_namespace(), args.shards)?;
    let shards = Shards::new(client, config)?;
    let owned = shards.owned();
    let drained = runtime.drained();
    runtime.spawn_after_drain("shards", async move { Ok(shards.run(drained).await?) });
    Ok(Ownership::Shards(owned))
}

fn watch_servers(runtime: &Runtime, syncer: &Arc<Syncer>) {
    let on_change = Arc::clone(syncer);
    let store = Watch::<GameServerView>::new()
        .retry_within(RETRY_WATCH)
        .on_change(move |change| {
            let key = ObjectKey::of(&change.object().metadata);
            if let Change::Applied { old, new } = &change {
                on_change.report_invalid(&key, old.as_deref(), new);
            }
            on_change.consider(&key, Trigger::GameServer);
        })
        .start(runtime);
    // Set once, here.
    let _ = syncer.observer.servers.set(store);
}

fn watch_pods(runtime: &Runtime, syncer: &Arc<Syncer>) {
    let on_change = Arc::clone(syncer);
    let store = Watch::<PodView>::new()
        .retry_within(RETRY_WATCH)
        .labels(keys::label::OWNER_GSS)
        .index(BY_SET, |pod: &PodView| {
            Some(set_index(&pod.metadata.namespace, pod.owner_set()?))
        })
        .on_change(move |change| {
            let key = ObjectKey::of(&change.object().metadata);
            match &change {
                Change::Applied { new, .. } => on_change.observer.pod_seen(&key, new),
                Change::Deleted(_) => on_change.observer.pod_gone(&key),
            }
            on_change.consider(&key, Trigger::Pod);
        })
        .start(runtime);
    let _ = syncer.observer.pods.set(store);
}

fn watch_sets(runtime: &Runtime, syncer: &Arc<Syncer>) {
    let on_change = Arc::clone(syncer);
    let store = Watch::<SetTemplate>::new()
        .retry_within(RETRY_WATCH)
        .on_change(move |change| {
            let Change::Applied { old, new } = change else {
                return;
            };
            // The set's status changes all the time; its images, and who may evict, hardly ever.
            let same_images = old.as_ref().is_some_and(|old| old.images == new.images);
            let same_eviction = old.as_ref().is_some_and(|old| old.eviction == new.eviction);
            if same_images && same_eviction {
                return;
            }
            let Some(pods) = on_change.observer.pods.get() else {
                return;
            };
            for pod in pods.by_index(BY_SET, &set_index(&new.metadata.namespace, &new.metadata.name)) {
                if !same_eviction || waits_for_update(&pod) {
                    on_change.consider(&ObjectKey::of(&pod.metadata), Trigger::Template);
                }
            }
        })
        .start(runtime);
    let _ = syncer.observer.sets.set(store);
}

/// Looks at every Pod once the caches are complete, and again when shards come or go.
async fn sweep(
    syncer: Arc<Syncer>,
    primed: impl Future<Output = ()>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    tokio::select! {
        () = primed => {}
        () = shutdown.cancelled() => return Ok(()),
    }
    syncer.sweep();
    let Ownership::Shards(mut owned) = syncer.ownership.clone() else {
        shutdown.cancelled().await;
        return Ok(());
    };
    loop {
        metrics::owned_shards(owned.borrow_and_update().len());
        // What was lost is another's to write and to count; what was gained may have changed while nobody looked.
        syncer.gap.retain(|key| syncer.ownership.owns(key));
        syncer.sweep();
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            changed = owned.changed() => if changed.is_err() {
                shutdown.cancelled().await;
                return Ok(());
            },
        }
    }
}

async fn report_gap(syncer: Arc<Syncer>, shutdown: CancellationToken) -> anyhow::Result<()> {
    loop {
        syncer.gap.report(Instant::now());
        syncer.report_overdue();
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(GAP_REPORT) => {}
        }
    }
}

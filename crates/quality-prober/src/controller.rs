//! Wiring: watches into stores and queues, queues into reconciles, what is due into runs.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use api_types::keys;
use controller_kit::{
    echo::Echoes,
    events::{EventRecord, Events, Regarding},
    key::ObjectKey,
    need::Need,
    queue::{Next, Queue, Work},
    resource::{self, GAME_SERVER_SET},
    runtime::Runtime,
    store::Store,
    watch::{Change, Watch},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    Args,
    apply::{PodApply, ServerApply},
    drive::{Shared, drive, seconds},
    error::Error,
    metrics,
    observe::{PODS_BY_SET, Probed, Stores, pods_of, set_of, version},
    plan::{Observed, Probes, Wanted, plan, unusable_templates},
    probe::Runner,
    views::{GameServerView, PodView, SetView},
};

controller_kit::watched! {
    PodView => resource::POD,
    GameServerView => resource::GAME_SERVER,
    SetView => resource::GAME_SERVER_SET,
}

/// How often the gauges are brought up to date.
const CENSUS_INTERVAL: Duration = Duration::from_secs(10);

/// What of the work this process does.
pub(crate) struct Tasks {
    /// Runs probes and writes Pod conditions.
    pub probing: Option<Probing>,
    /// Acts on Pod conditions.
    pub acting: bool,
    /// The node whose Pods are looked at; all of them where none is named.
    pub node: Option<String>,
    /// Works only while this holds.
    pub leads: Option<watch::Receiver<bool>>,
}

/// How probes are run.
pub(crate) struct Probing {
    /// Runs them.
    pub runner: Runner,
    /// The probes.
    pub probes: Probes,
}

/// The queues of what this process does. Each change adds its key to those there are.
#[derive(Clone)]
struct Queues {
    probing: Option<Queue<ObjectKey>>,
    acting: Option<Queue<ObjectKey>>,
}

impl Queues {
    fn all(&self) -> impl Iterator<Item = &Queue<ObjectKey>> {
        self.probing.iter().chain(&self.acting)
    }
}

/// Starts the watches and the work.
pub(crate) fn start(runtime: &Runtime, tasks: Tasks, args: &Args) {
    let queues = Queues {
        probing: tasks.probing.is_some().then(Queue::new),
        acting: tasks.acting.then(Queue::new),
    };
    for queue in queues.all() {
        if let Some(leads) = &tasks.leads {
            queue.gate(leads.clone());
        }
    }
    let pod_echoes = Arc::new(Echoes::default());
    let acting = queues.acting.clone().map(|queue| {
        let (writer, events) = (
            runtime.writer(keys::field_manager::QUALITY_PROBER),
            runtime.events(),
        );
        let apply = Arc::new(ServerApply::new(writer, events, Arc::new(Echoes::default())));
        (queue, apply)
    });
    let apply = acting.as_ref().map(|(_, apply)| Arc::clone(apply));
    let need = Need::new();
    let pods = Watch::<PodView>::new().while_needed(&need);
    let pods = watch_pods(runtime, pods, &queues, tasks.node.as_deref(), &pod_echoes, apply);
    let sets = watch_sets(runtime, &queues, pods.clone(), &need);
    rest(
        runtime,
        &need,
        args.rest.rest_after,
        sets.clone(),
        queues.clone(),
        tasks.leads,
    );
    let stores = Stores { pods, sets };
    if let (Some(queue), Some(probing)) = (queues.probing, tasks.probing) {
        probe(runtime, &queue, probing, stores.clone(), pod_echoes, args);
    }
    if let Some((queue, apply)) = acting {
        act(runtime, &queue, apply, stores, &need, args);
    }
}

/// Where no set has a quality, watches of Pods and GameServers rest.
fn rest(
    runtime: &Runtime,
    need: &Need,
    after: Duration,
    sets: Store<SetView>,
    queues: Queues,
    leads: Option<watch::Receiver<bool>>,
) {
    let done = move || queues.all().all(Queue::is_idle);
    let idle = move || {
        let mut idle = true;
        sets.for_each(|set| idle &= set.qualities.is_empty());
        idle
    };
    match leads {
        Some(leads) => need.rest_beside_leader(runtime, after, leads, done, idle),
        None => need.rest_after(runtime, after, move || done() && idle()),
    }
}

fn watch_pods(
    runtime: &Runtime,
    pods: Watch<PodView>,
    queues: &Queues,
    node: Option<&str>,
    echoes: &Arc<Echoes>,
    acting: Option<Arc<ServerApply>>,
) -> Store<PodView> {
    let (queues, echoes) = (queues.clone(), Arc::clone(echoes));
    let mut pods = pods.labels(keys::label::OWNER_GSS);
    if let Some(node) = node {
        pods = pods.fields(format!("spec.nodeName={node}"));
    }
    pods.index(PODS_BY_SET, set_of)
        .on_change(move |change: Change<PodView>| {
            let key = ObjectKey::of(&change.object().metadata);
            match change {
                Change::Applied { old, new } => {
                    let old = old.as_deref();
                    if let Some(queue) = &queues.probing
                        && old.is_none_or(|old| old.probed_otherwise(&new))
                    {
                        queue.add(key.clone());
                    }
                    if let Some(queue) = &queues.acting
                        && old.is_none_or(|old| old.acted_on_otherwise(&new))
                    {
                        queue.add(key.clone());
                    }
                    if let Some(apply) = &acting {
                        apply.label_seen(&key, new.ops_state.as_deref());
                    }
                }
                Change::Deleted(old) => {
                    echoes.gone(&key, &old.metadata.uid);
                    queues.probing.iter().for_each(|queue| queue.add(key.clone()));
                }
            }
        })
        .start(runtime)
}

/// A set's change concerns all its Pods.
fn watch_sets(runtime: &Runtime, queues: &Queues, pods: Store<PodView>, need: &Need) -> Store<SetView> {
    let (queues, templates) = (queues.clone(), Templates::new(runtime.events()));
    let need = need.clone();
    Watch::<SetView>::new()
        .on_change(move |change: Change<SetView>| {
            if let Change::Applied { new, .. } = &change
                && !new.qualities.is_empty()
            {
                need.wake();
            }
            let set = match &change {
                Change::Applied { old: Some(old), new } if !old.differs(new) => return,
                Change::Applied { new, .. } => new,
                Change::Deleted(old) => old,
            };
            for key in pods_of(&pods, set) {
                queues.all().for_each(|queue| queue.add(key.clone()));
            }
            match &change {
                Change::Applied { new, .. } if queues.acting.is_some() => templates.check(new),
                Change::Applied { .. } => {}
                Change::Deleted(old) => templates.forget(old),
            }
        })
        .start(runtime)
}

/// Tells of templates that cannot be used, once for each version of a set's spec.
struct Templates {
    events: Events,
    told: Mutex<HashMap<String, i64>>,
}

impl Templates {
    fn new(events: Events) -> Self {
        Self {
            events,
            told: Mutex::default(),
        }
    }

    fn told(&self) -> MutexGuard<'_, HashMap<String, i64>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, set: &SetView) {
        let meta = &set.metadata;
        if self.told().insert(meta.uid.clone(), meta.generation) == Some(meta.generation) {
            return;
        }
        for note in unusable_templates(set) {
            let regarding = Regarding::object(&GAME_SERVER_SET, meta);
            self.events
                .publish(EventRecord::warning(regarding, "InvalidTemplate", note));
        }
    }

    fn forget(&self, set: &SetView) {
        self.told().remove(&set.metadata.uid);
    }
}

/// Looks at Pods, and runs what is due.
struct Prober {
    stores: Stores,
    shared: Arc<Shared>,
    apply: PodApply,
}

fn probe(
    runtime: &Runtime,
    queue: &Queue<ObjectKey>,
    probing: Probing,
    stores: Stores,
    echoes: Arc<Echoes>,
    args: &Args,
) {
    let shared = Arc::new(Shared::new(probing.probes));
    let prober = Arc::new(Prober {
        stores,
        shared: Arc::clone(&shared),
        apply: PodApply {
            writer: runtime.writer(keys::field_manager::QUALITY_PROBER),
            echoes,
        },
    });
    queue.run(runtime, "pods", args.controller.concurrency, move |work| {
        let prober = Arc::clone(&prober);
        async move { prober.reconcile(&work.key).await }
    });
    runtime.spawn("census", census(Arc::clone(&shared), runtime.shutdown()));
    let driven = drive(shared, probing.runner, queue.clone(), runtime.shutdown());
    runtime.spawn("probes", driven);
}

impl Prober {
    /// Brings the probes of one Pod, and then its conditions, up to date.
    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Error> {
        let Some(Probed { pod, set }) = self.stores.probed(key) else {
            self.shared.probes().forget(key);
            return Ok(Next::Done);
        };
        // An older condition than the one that was written is nothing to go by.
        if let Some(left) = self
            .apply
            .echoes
            .behind(key, Some(version(&pod.metadata)), Instant::now())
        {
            return Ok(Next::After(left));
        }
        let now = self.shared.now();
        let wanted = self.shared.probes().look(key, &pod, &set.qualities, now);
        self.shared.changed();
        if wanted.is_empty() {
            return Ok(Next::Done);
        }
        tracing::debug!(object.namespace = %key.namespace, object.name = %key.name, ?wanted, "planned");
        if self.apply.write(key, &pod, &wanted, &seconds(now.time)).await? {
            self.written(key, &pod.metadata.uid, &wanted);
        }
        Ok(Next::Done)
    }

    fn written(&self, key: &ObjectKey, uid: &str, wanted: &BTreeMap<String, Wanted>) {
        self.shared.probes().written(key, uid, wanted);
        let now = self.shared.now().since_start;
        for wanted in wanted.values() {
            match wanted {
                Wanted::Sample(sample) => {
                    let status = if sample.verdict.is_healthy() {
                        "True"
                    } else {
                        "False"
                    };
                    metrics::condition_written(status, Some(now.saturating_sub(sample.began)));
                }
                Wanted::Misfit(_) | Wanted::Removed => metrics::condition_written("Unknown", None),
            }
        }
    }
}

/// Acts on results.
struct Actor {
    stores: Stores,
    servers: Store<GameServerView>,
    apply: Arc<ServerApply>,
}

fn act(
    runtime: &Runtime,
    queue: &Queue<ObjectKey>,
    apply: Arc<ServerApply>,
    stores: Stores,
    need: &Need,
    args: &Args,
) {
    let servers = Watch::<GameServerView>::new().while_needed(need);
    let servers = watch_game_servers(runtime, servers, queue, &apply);
    let actor = Arc::new(Actor {
        stores,
        servers,
        apply,
    });
    queue.run(
        runtime,
        "game-servers",
        args.controller.concurrency,
        move |work| {
            let actor = Arc::clone(&actor);
            async move { actor.reconcile(work).await }
        },
    );
}

fn watch_game_servers(
    runtime: &Runtime,
    servers: Watch<GameServerView>,
    queue: &Queue<ObjectKey>,
    apply: &Arc<ServerApply>,
) -> Store<GameServerView> {
    let (queue, apply) = (queue.clone(), Arc::clone(apply));
    servers
        .on_change(move |change: Change<GameServerView>| match change {
            Change::Applied { old, new } => {
                if old.is_none_or(|old| old.differs(&new)) {
                    queue.add(ObjectKey::of(&new.metadata));
                }
            }
            Change::Deleted(old) => apply.gone(&ObjectKey::of(&old.metadata), &old.metadata.uid),
        })
        .start(runtime)
}

impl Actor {
    /// Brings one GameServer up to date with its Pod's conditions.
    async fn reconcile(&self, work: Work<ObjectKey>) -> Result<Next, Error> {
        let key = &work.key;
        let (Some(probed), Some(server)) = (self.stores.probed(key), self.servers.get(key)) else {
            return Ok(Next::Done);
        };
        if let Some(left) = self
            .apply
            .echoes
            .behind(key, Some(version(&server.metadata)), Instant::now())
        {
            return Ok(Next::After(left));
        }
        let now = seconds(jiff::Timestamp::now());
        let observed = Observed {
            set: &probed.set,
            pod: &probed.pod,
            server: &server,
            before: &server,
        };
        let plan = plan(&observed, &now);
        if plan.writes() {
            tracing::debug!(object.namespace = %key.namespace, object.name = %key.name, ?plan, "planned");
            self.apply
                .carry_out(key, &probed, &server, plan, &now, work.since)
                .await?;
        }
        Ok(Next::Done)
    }
}

/// Counts for the metrics until shutdown.
async fn census(shared: Arc<Shared>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(CENSUS_INTERVAL);
    while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
        let (execs, others) = shared.probes().scheduled();
        metrics::probes(execs, others);
    }
    Ok(())
}

//! Wiring: watches into stores and the queue, the queue into reconciles.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use api_types::keys;
use controller_kit::{
    echo::Echoes,
    key::ObjectKey,
    need::Need,
    queue::{Next, Queue, Work},
    resource,
    runtime::Runtime,
    store::Store,
    watch::{BATCH, Change, Watch},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    Args,
    absent::Absent,
    apply::Apply,
    error::Error,
    metrics,
    observe::{PODS_BY_NODE, Stores},
    pace::Pace,
    plan::{Plan, Policy, plan},
    rest,
    views::{GameServerView, NodeView, PodView, SetView},
};

controller_kit::watched! {
    PodView => resource::POD,
    GameServerView => resource::GAME_SERVER,
    NodeView => resource::NODE,
    SetView => resource::GAME_SERVER_SET,
}

/// How long a node may be looked for before it counts as missing.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often the gauges are brought up to date.
const CENSUS_INTERVAL: Duration = Duration::from_secs(10);

/// Everything a reconcile needs.
struct Controller {
    stores: Stores,
    policy: Policy,
    pace: Pace,
    apply: Apply,
    shutdown: CancellationToken,
}

impl Controller {
    /// Brings one GameServer up to date: plan, wait for a turn, plan again from what is true then, write.
    async fn reconcile(&self, work: Work<ObjectKey>) -> Result<Next, Error> {
        let key = &work.key;
        let planned = match self.plan(key) {
            Err(left) => return Ok(Next::After(left)),
            Ok(planned) => planned,
        };
        let plan = if planned.writes() {
            let turn = tokio::time::sleep(self.pace.turn(Instant::now()));
            if self.shutdown.run_until_cancelled(turn).await.is_none() {
                // Thirty turns can take longer than a process has to end in. Whoever comes next looks at every server.
                return Ok(Next::Done);
            }
            match self.plan(key) {
                Err(left) => return Ok(Next::After(left)),
                Ok(plan) => plan,
            }
        } else {
            planned
        };
        if plan.writes() {
            tracing::debug!(object.namespace = %key.namespace, object.name = %key.name, ?plan, "planned");
            let begun = Instant::now();
            let carried_out = self.apply.carry_out(key, &plan).await;
            self.pace.took(begun.elapsed());
            carried_out?;
            metrics::written_after(work.since.elapsed());
        }
        Ok(plan.again.map_or(Next::Done, Next::After))
    }

    /// What to write now; `Err` says how long to wait for the echo of the last own write.
    fn plan(&self, key: &ObjectKey) -> Result<Plan, Duration> {
        let at = Instant::now();
        let snapshot = self.stores.observe(key, at);
        if let Some(left) = self.apply.echoes.behind(key, snapshot.version(), at) {
            return Err(left);
        }
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        Ok(plan(&snapshot.observed(), &self.policy, &now))
    }
}

/// Starts the watches and the work.
pub(crate) fn start(runtime: &Runtime, queue: &Queue<ObjectKey>, args: &Args, leads: watch::Receiver<bool>) {
    let (echoes, absent, need) = (
        Arc::new(Echoes::default()),
        Arc::new(Absent::default()),
        Need::new(),
    );
    let pods = watch_pods(runtime, queue, &need);
    let stores = Stores {
        nodes: watch_nodes(runtime, queue, pods.clone(), &absent, &need),
        game_servers: watch_game_servers(runtime, queue, &echoes, &need),
        without_node: watch_without_node(runtime, &need),
        keeping: watch_keeping(runtime, &need),
        pods,
        absent,
    };
    if !args.report_normal {
        may_rest(runtime, &need, args.rest.rest_after, stores.clone(), queue, leads);
    }
    runtime.spawn("census", census(stores.clone(), runtime.shutdown()));
    let controller = Arc::new(Controller {
        stores,
        policy: Policy {
            patience: PATIENCE,
            report_normal: args.report_normal,
        },
        pace: Pace::new(args.writes_per_second),
        apply: Apply {
            writer: runtime.writer(keys::field_manager::NODE_WATCHER),
            events: runtime.events(),
            echoes,
        },
        shutdown: runtime.shutdown(),
    });
    queue.run(
        runtime,
        "game-servers",
        args.controller.concurrency,
        move |work| {
            let controller = Arc::clone(&controller);
            async move { controller.reconcile(work).await }
        },
    );
}

/// Where every node is well, the watches of what changes most rest.
fn may_rest(
    runtime: &Runtime,
    need: &Need,
    after: Duration,
    stores: Stores,
    queue: &Queue<ObjectKey>,
    leads: watch::Receiver<bool>,
) {
    let queue = queue.clone();
    need.rest_beside_leader(
        runtime,
        after,
        leads,
        move || queue.is_idle(),
        move || stores.is_settled(),
    );
}

/// Every event of a Node arrives here; only those that say something new go further.
fn watch_nodes(
    runtime: &Runtime,
    queue: &Queue<ObjectKey>,
    pods: Store<PodView>,
    absent: &Arc<Absent>,
    need: &Need,
) -> Store<NodeView> {
    let (queue, absent, need) = (queue.clone(), Arc::clone(absent), need.clone());
    Watch::<NodeView>::new()
        .on_change(move |change: Change<NodeView>| {
            let significant = match &change {
                Change::Applied { old, new } => {
                    absent.seen(&new.metadata.name);
                    if rest::is_news(new) {
                        need.wake();
                    }
                    old.as_ref().is_none_or(|old| old.differs(new))
                }
                Change::Deleted(old) => {
                    absent.gone(&old.metadata.name, Instant::now());
                    need.wake();
                    true
                }
            };
            metrics::node_event(significant);
            if significant {
                for pod in pods.by_index(PODS_BY_NODE, &change.object().metadata.name) {
                    queue.add(ObjectKey::of(&pod.metadata));
                }
            }
        })
        .start(runtime)
}

fn watch_pods(runtime: &Runtime, queue: &Queue<ObjectKey>, need: &Need) -> Store<PodView> {
    let queue = queue.clone();
    Watch::<PodView>::new()
        .labels(keys::label::OWNER_GSS)
        .while_needed(need)
        .batched(BATCH)
        .index(PODS_BY_NODE, |pod: &PodView| pod.node_name.clone())
        .on_change(move |change: Change<PodView>| {
            // A Pod's status is no concern of this controller, and a Pod that is gone leaves nothing to write.
            if let Change::Applied { old, new } = change
                && old.is_none_or(|old| old.differs(&new))
            {
                queue.add(ObjectKey::of(&new.metadata));
            }
        })
        .start(runtime)
}

fn watch_game_servers(
    runtime: &Runtime,
    queue: &Queue<ObjectKey>,
    echoes: &Arc<Echoes>,
    need: &Need,
) -> Store<GameServerView> {
    let (queue, echoes) = (queue.clone(), Arc::clone(echoes));
    Watch::<GameServerView>::new()
        .while_needed(need)
        .batched(BATCH)
        .on_change(move |change: Change<GameServerView>| match change {
            Change::Applied { old, new } => {
                if old.is_none_or(|old| old.differs(&new)) {
                    queue.add(ObjectKey::of(&new.metadata));
                }
            }
            Change::Deleted(old) => echoes.gone(&ObjectKey::of(&old.metadata), &old.metadata.uid),
        })
        .start(runtime)
}

/// GameServers born before their Pod was bound: few, and none for long.
fn watch_without_node(runtime: &Runtime, need: &Need) -> Store<GameServerView> {
    let need = need.clone();
    Watch::<GameServerView>::new()
        .name("gameservers-without-node")
        .labels(format!("!{}", keys::label::NODE_NAME))
        .on_change(move |change: Change<GameServerView>| {
            if let Change::Applied { .. } = change {
                need.wake();
            }
        })
        .start(runtime)
}

/// A GameServer that outlives its Pod shows the node of that Pod until the next one is bound, which none but the watch of Pods tells.
fn watch_keeping(runtime: &Runtime, need: &Need) -> Store<SetView> {
    let need = need.clone();
    Watch::<SetView>::new()
        .keep(|set| set.keeps_game_servers)
        .on_change(move |change: Change<SetView>| {
            if let Change::Applied { .. } = change {
                need.wake();
            }
        })
        .start(runtime)
}

/// Counts for the metrics until shutdown, and forgets missing nodes that no Pod names any more.
async fn census(stores: Stores, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(CENSUS_INTERVAL);
    while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
        let on = |node: &str| stores.pods.count_by_index(PODS_BY_NODE, node);
        let (mut normal, mut abnormal, mut affected) = (0, 0, 0);
        stores.nodes.for_each(|node| {
            if node.health.is_normal() {
                normal += 1;
            } else {
                abnormal += 1;
                affected += on(&node.metadata.name);
            }
        });
        let missing = stores.absent.retain(|node| on(node) > 0);
        affected += missing.iter().map(|node| on(node)).sum::<usize>();
        metrics::census(normal, abnormal, affected);
    }
    Ok(())
}

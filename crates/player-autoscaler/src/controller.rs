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
    resource::{self, ResourceKind},
    runtime::Runtime,
    store::Store,
    watch::{BATCH, Change, Watch, Watched},
};
use http::Request;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::{
    Args,
    apply::Apply,
    error::Error,
    metrics,
    observe::{BY_SET, Stores},
    plan::{Decision, Plan, Settings, plan},
    status::{Report, report},
    totals::Totals,
    views::{GameServerView, HpaView, ScaledObjectView, SetView},
};

controller_kit::watched! {
    SetView => resource::GAME_SERVER_SET,
    GameServerView => resource::GAME_SERVER,
    HpaView => resource::HORIZONTAL_POD_AUTOSCALER,
    ScaledObjectView => resource::SCALED_OBJECT,
}

/// How long reports of players are gathered before their set is looked at.
const GATHER: Duration = Duration::from_millis(100);
/// While the watch of game servers wakes up: soon enough after the list, and no busy loop before it.
const WAKING: Duration = Duration::from_millis(100);
/// How often the gauges are brought up to date.
const CENSUS_INTERVAL: Duration = Duration::from_secs(10);

/// Everything a reconcile needs.
struct Controller {
    stores: Stores,
    apply: Apply,
    need: Need,
}

impl Controller {
    /// Brings the replicas of one set up to date.
    async fn reconcile(&self, work: Work<ObjectKey>) -> Result<Next, Error> {
        let key = &work.key;
        // Sums of servers that have not all been seen would be too small.
        if self.need.is_waking() {
            return Ok(Next::After(WAKING));
        }
        let Some(seen) = self.stores.observe(key) else {
            return Ok(Next::Done);
        };
        if let Some(left) = self
            .apply
            .echoes
            .behind(key, Some(seen.version()), Instant::now())
        {
            return Ok(Next::After(left));
        }
        let (set, now) = (&seen.set, Timestamp::now());
        let plan = plan(&seen.observed(), now);
        match &plan.decision {
            Decision::Scale(scale) => {
                tracing::info!(object.namespace = %key.namespace, object.name = %key.name, ?scale, "scaling");
                let cooldown = cooldown(set);
                if self.apply.scale(key, set, *scale, cooldown, now).await? {
                    metrics::scaled(*scale, work.since.elapsed());
                }
                // Its own change wakes the set again, and the cooldown's timer is set then.
                Ok(Next::Done)
            }
            Decision::Idle(idle) => {
                let written = self.report(key, set, &plan, now).await?;
                if matches!(written, Told::Written) {
                    self.apply.warn(set, idle);
                }
                Ok(written.next(plan.again))
            }
            Decision::Nothing => {
                let written = self.report(key, set, &plan, now).await?;
                Ok(written.next(None))
            }
        }
    }

    async fn report(
        &self,
        key: &ObjectKey,
        set: &SetView,
        plan: &Plan,
        now: Timestamp,
    ) -> Result<Told, Error> {
        match report(set, plan, now) {
            Report::Same => Ok(Told::Same),
            Report::Later(wait) => Ok(Told::Later(wait)),
            Report::Remove => self.apply.report(key, set, None).await.map(|_| Told::Written),
            Report::Write(status) => {
                let written = self.apply.report(key, set, Some(&status)).await;
                written.map(|_| Told::Written)
            }
        }
    }
}

/// What became of the status.
enum Told {
    Same,
    Written,
    Later(Duration),
}

impl Told {
    fn next(&self, again: Option<Duration>) -> Next {
        let later = match self {
            Self::Later(wait) => Some(*wait),
            _ => None,
        };
        let soonest = later.into_iter().chain(again).min();
        soonest.map_or(Next::Done, Next::After)
    }
}

fn cooldown(set: &SetView) -> Duration {
    match Settings::of(set) {
        Some(Ok(settings)) => settings.cooldown,
        _ => Duration::ZERO,
    }
}

/// Starts the watches and the work.
pub(crate) async fn start(runtime: &Runtime, queue: &Queue<ObjectKey>, args: &Args) {
    let need = Need::new();
    let echoes = Arc::new(Echoes::default());
    let totals = Arc::new(Totals::default());
    let scaled_objects = if is_served(runtime, &resource::SCALED_OBJECT).await {
        Some(watch_scalers(runtime, queue, |view: &ScaledObjectView| {
            view.set.clone()
        }))
    } else {
        tracing::info!(
            "the cluster has no ScaledObjects: KEDA, should it come, is seen by the autoscalers it makes"
        );
        None
    };
    let stores = Stores {
        sets: watch_sets(runtime, queue, &echoes, &need),
        hpas: watch_scalers(runtime, queue, |view: &HpaView| view.set.clone()),
        scaled_objects,
        totals: Arc::clone(&totals),
    };
    watch_game_servers(runtime, queue, &totals, stores.sets.clone(), &need);
    let sets = stores.sets.clone();
    need.rest_after(runtime, args.rest.rest_after, move || sets.is_empty());
    runtime.spawn("census", census(stores.clone(), runtime.shutdown()));
    let controller = Arc::new(Controller {
        stores,
        apply: Apply {
            writer: runtime.writer(keys::field_manager::PLAYER_AUTOSCALER),
            events: runtime.events(),
            echoes,
        },
        need,
    });
    queue.run(runtime, "sets", args.controller.concurrency, move |work| {
        let controller = Arc::clone(&controller);
        async move { controller.reconcile(work).await }
    });
}

/// Whether the API server knows a kind. A kind it does not know could be waited for for ever.
async fn is_served(runtime: &Runtime, kind: &ResourceKind) -> bool {
    #[derive(serde::Deserialize)]
    struct Listed {
        resources: Vec<Named>,
    }
    #[derive(serde::Deserialize)]
    struct Named {
        name: String,
    }
    let path = format!("/apis/{}", kind.api_version());
    let Ok(request) = Request::get(path).body(Vec::new()) else {
        return false;
    };
    let limit = Duration::from_secs(5);
    let client = runtime.client();
    match tokio::time::timeout(limit, client.request::<Listed>(request)).await {
        Ok(Ok(listed)) => listed.resources.iter().any(|found| found.name == kind.plural),
        _ => false,
    }
}

fn watch_sets(
    runtime: &Runtime,
    queue: &Queue<ObjectKey>,
    echoes: &Arc<Echoes>,
    need: &Need,
) -> Store<SetView> {
    let (queue, echoes, need) = (queue.clone(), Arc::clone(echoes), need.clone());
    Watch::<SetView>::new()
        .keep(SetView::concerns)
        .on_change(move |change: Change<SetView>| match change {
            Change::Applied { old, new } => {
                // Before its turn comes.
                need.wake();
                if old.is_none_or(|old| old.differs(&new)) {
                    queue.add(ObjectKey::of(&new.metadata));
                }
            }
            Change::Deleted(old) => echoes.gone(&ObjectKey::of(&old.metadata), &old.metadata.uid),
        })
        .start(runtime)
}

fn watch_game_servers(
    runtime: &Runtime,
    queue: &Queue<ObjectKey>,
    totals: &Arc<Totals>,
    sets: Store<SetView>,
    need: &Need,
) {
    let (queue, totals) = (queue.clone(), Arc::clone(totals));
    Watch::<GameServerView>::new()
        .labels(keys::label::OWNER_GSS)
        .while_needed(need)
        .batched(BATCH)
        // Nothing of a server is needed but what the sums hold.
        .on_change(move |change: Change<GameServerView>| {
            let share = match &change {
                Change::Applied { new, .. } => new.share.as_ref(),
                Change::Deleted(_) => None,
            };
            let server = ObjectKey::of(&change.object().metadata);
            for set in totals.set(&server, share) {
                if sets.get(&set).is_some() {
                    queue.add_after(set, GATHER);
                }
            }
        })
        .start(runtime);
}

/// Watches what scales sets; a set is looked at when it gets, or loses, such a thing.
fn watch_scalers<T: Watched>(
    runtime: &Runtime,
    queue: &Queue<ObjectKey>,
    set: fn(&T) -> Option<ObjectKey>,
) -> Store<T> {
    let queue = queue.clone();
    Watch::<T>::new()
        .index(BY_SET, move |view: &T| set(view).map(|key| key.to_string()))
        .on_change(move |change: Change<T>| {
            let (old, new) = match &change {
                Change::Applied { old, new } => (old.as_deref().and_then(set), set(new)),
                Change::Deleted(old) => (set(old), None),
            };
            if old != new {
                old.into_iter().chain(new).for_each(|set| queue.add(set));
            }
        })
        .start(runtime)
}

/// Counts for the metrics until shutdown.
async fn census(stores: Stores, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(CENSUS_INTERVAL);
    while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
        let (mut able, mut unable, mut players) = (0, 0, 0);
        stores.sets.for_each(|set| {
            if !set.settings.as_ref().is_some_and(|settings| settings.enabled) {
                return;
            }
            players += stores.totals.of(&ObjectKey::of(&set.metadata)).players;
            if set.status.as_ref().is_none_or(|status| status.able_to_scale) {
                able += 1;
            } else {
                unable += 1;
            }
        });
        metrics::census(able, unable, players);
    }
    Ok(())
}

//! Wiring: watches into what is known.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use api_types::keys;
use controller_kit::{
    key::ObjectKey,
    resource,
    runtime::Runtime,
    store::Store,
    tally::Tally,
    watch::{Change, Watch},
};
use tokio_util::sync::CancellationToken;

use crate::{
    hub::Hub,
    metrics,
    observe::Known,
    plan::{Counts, Standing},
    views::{GameServerView, SetView},
};

controller_kit::watched! {
    SetView => resource::GAME_SERVER_SET,
    GameServerView => resource::GAME_SERVER,
}

/// How often the gauges are brought up to date.
const CENSUS_INTERVAL: Duration = Duration::from_secs(10);

/// Starts the watches.
pub(crate) fn start(runtime: &Runtime) -> Known {
    let hub = Arc::new(Hub::default());
    let servers = Arc::new(Tally::<Counts>::default());
    let known = Known {
        sets: watch_sets(runtime, &hub),
        servers: Arc::clone(&servers),
        hub: Arc::clone(&hub),
        complete: Arc::new(AtomicBool::new(false)),
    };
    watch_game_servers(runtime, &hub, servers);
    let counted = known.clone();
    runtime.readiness("counts", move || {
        let complete = counted.is_complete();
        complete
            .then_some(())
            .ok_or_else(|| "not all game servers are known yet".to_owned())
    });
    let (primed, shutdown, complete) = (runtime.primed(), runtime.shutdown(), Arc::clone(&known.complete));
    let counted = known.clone();
    runtime.spawn("census", async move {
        if shutdown.run_until_cancelled(primed).await.is_some() {
            complete.store(true, Ordering::Release);
            census(counted, shutdown).await;
        }
        Ok(())
    });
    known
}

fn watch_sets(runtime: &Runtime, hub: &Arc<Hub>) -> Store<SetView> {
    let hub = Arc::clone(hub);
    Watch::<SetView>::new()
        .on_change(move |change: Change<SetView>| {
            let same =
                matches!(&change, Change::Applied { old: Some(old), new } if old.replicas == new.replicas);
            if !same {
                hub.changed(&ObjectKey::of(&change.object().metadata));
            }
        })
        .start(runtime)
}

fn watch_game_servers(runtime: &Runtime, hub: &Arc<Hub>, servers: Arc<Tally<Counts>>) {
    let hub = Arc::clone(hub);
    Watch::<GameServerView>::new()
        .labels(keys::label::OWNER_GSS)
        .on_change(move |change: Change<GameServerView>| {
            let share = match &change {
                Change::Applied { new, .. } => new.share.as_ref(),
                Change::Deleted(_) => None,
            };
            let server = ObjectKey::of(&change.object().metadata);
            for set in servers.set(&server, share) {
                hub.changed(&set);
            }
        })
        .start(runtime);
}

/// Counts for the metrics until shutdown.
async fn census(known: Known, shutdown: CancellationToken) {
    let mut tick = tokio::time::interval(CENSUS_INTERVAL);
    while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
        let mut sums = Standing::ALL.map(|standing| (standing, 0_u64));
        known.sets.for_each(|set| {
            let counts = known.servers.of(&ObjectKey::of(&set.metadata));
            for (standing, sum) in &mut sums {
                *sum += u64::from(counts.of(*standing));
            }
        });
        for (standing, sum) in sums {
            metrics::servers(standing, sum);
        }
    }
}

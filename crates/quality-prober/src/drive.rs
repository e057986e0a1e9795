//! Runs what is due: one task that holds no more runs than it may, and hears of each when it ends.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use controller_kit::{key::ObjectKey, queue::Queue};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    metrics,
    plan::{Now, Probes, Run, Sample},
    probe::{Runner, Told},
};

/// The probes of this process, shared by those that look at Pods and the one that runs them.
pub(crate) struct Shared {
    probes: Mutex<Probes>,
    changed: Notify,
    start: Instant,
}

impl Shared {
    pub(crate) fn new(probes: Probes) -> Self {
        Self {
            probes: Mutex::new(probes),
            changed: Notify::new(),
            start: Instant::now(),
        }
    }

    /// Both clocks.
    pub(crate) fn now(&self) -> Now {
        Now {
            since_start: self.start.elapsed(),
            time: jiff::Timestamp::now(),
        }
    }

    /// The probes, for something short. Whoever changes them says so by [`changed`](Self::changed).
    pub(crate) fn probes(&self) -> MutexGuard<'_, Probes> {
        // Each change is complete in itself, and a panic ends the process anyway.
        self.probes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There may be something due earlier than before.
    pub(crate) fn changed(&self) {
        self.changed.notify_one();
    }
}

/// RFC 3339, whole seconds: what the API server keeps of a condition's time.
pub(crate) fn seconds(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A run that has ended.
struct Ended {
    run: Run,
    told: Told,
    began: Now,
    took: Duration,
}

/// Runs probes until shutdown. A Pod with something new to write is added to `queue`. Runs in hand are given up at the end:
/// a hung one would hold up the shutdown, and the next prober begins with what the conditions say.
pub(crate) async fn drive(
    shared: Arc<Shared>,
    runner: Runner,
    queue: Queue<ObjectKey>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut running: JoinSet<Ended> = JoinSet::new();
    loop {
        let now = shared.now().since_start;
        let (due, next) = {
            let mut probes = shared.probes();
            (probes.take(now), probes.next())
        };
        for run in due {
            metrics::run_begins(run.skew);
            running.spawn(one(runner.clone(), run, shared.now()));
        }
        let wait = next.map_or(Duration::from_secs(3600), |next| {
            next.saturating_sub(shared.now().since_start)
        });
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(wait) => {}
            () = shared.changed.notified() => {}
            Some(ended) = running.join_next() => ended_run(&shared, &queue, ended?),
        }
    }
}

async fn one(runner: Runner, run: Run, began: Now) -> Ended {
    let started = Instant::now();
    let told = runner.run(&run).await;
    Ended {
        run,
        told,
        began,
        took: started.elapsed(),
    }
}

fn ended_run(shared: &Shared, queue: &Queue<ObjectKey>, ended: Ended) {
    let Ended {
        run,
        told,
        began,
        took,
    } = ended;
    let kind = run.target.handler.kind();
    let outcome = told.outcome();
    let sample = match told {
        Told::State(verdict, result) => Some(Sample {
            verdict,
            result,
            time: seconds(began.time),
            began: began.since_start,
        }),
        Told::Nothing(why) => {
            tracing::debug!(pod = %run.pod, kind, why, "a probe told nothing");
            None
        }
    };
    let finished = shared.probes().finished(&run, sample, shared.now().since_start);
    metrics::run_ended(kind, outcome, took, finished.missed);
    if let Some(pod) = finished.changed {
        queue.add(pod);
    }
}

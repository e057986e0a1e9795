//! The task that hands keys to reconciles.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Next, QueueKey, ReconcileError, Shared, Work};
use crate::metrics::{QUEUE_ACTIVE, QUEUE_DEPTH, QUEUE_WAIT, RECONCILE_SECONDS, RECONCILES, RETRIES};

/// Metric handles, looked up once: a reconcile takes well under a millisecond.
struct Metrics {
    name: &'static str,
    depth: Gauge,
    active: Gauge,
    wait: Histogram,
    work: Histogram,
    succeeded: Counter,
}

pub(super) struct Workers<K> {
    shared: Arc<Shared<K>>,
    gates: Vec<watch::Receiver<bool>>,
    concurrency: usize,
    metrics: Arc<Metrics>,
}

impl<K: QueueKey> Workers<K> {
    pub(super) fn new(
        shared: Arc<Shared<K>>,
        gates: Vec<watch::Receiver<bool>>,
        name: &'static str,
        concurrency: usize,
    ) -> Self {
        let metrics = Metrics {
            name,
            depth: gauge!(QUEUE_DEPTH, "queue" => name),
            active: gauge!(QUEUE_ACTIVE, "queue" => name),
            wait: histogram!(QUEUE_WAIT, "queue" => name),
            work: histogram!(RECONCILE_SECONDS, "queue" => name),
            succeeded: counter!(RECONCILES, "queue" => name, "outcome" => "ok"),
        };
        Self {
            shared,
            gates,
            concurrency,
            metrics: Arc::new(metrics),
        }
    }

    /// Runs until shutdown, then finishes the keys in hand.
    pub(super) async fn work<F, Fut, E>(
        mut self,
        shutdown: CancellationToken,
        reconcile: Arc<F>,
    ) -> anyhow::Result<()>
    where
        F: Fn(Work<K>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Next, E>> + Send + 'static,
        E: ReconcileError + Send + 'static,
    {
        let mut running: JoinSet<()> = JoinSet::new();
        loop {
            let open = self.gates.iter_mut().all(|gate| *gate.borrow_and_update());
            while open && running.len() < self.concurrency && !shutdown.is_cancelled() {
                let Some(work) = self.take() else { break };
                running.spawn(run_one(
                    Arc::clone(&self.shared),
                    Arc::clone(&self.metrics),
                    Arc::clone(&reconcile),
                    work,
                ));
            }
            self.metrics.active.set(running.len() as f64);
            self.metrics.depth.set(self.shared.state().depth() as f64);
            let room = open && running.len() < self.concurrency;
            let due = if room {
                self.shared.state().next_due()
            } else {
                None
            };
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(ended) = running.join_next() => ended?,
                () = self.shared.changed.notified(), if room => {}
                () = sleep_until(due), if due.is_some() => {}
                () = any_changed(&mut self.gates) => {}
            }
        }
        while let Some(ended) = running.join_next().await {
            ended?;
        }
        self.metrics.active.set(0.0);
        Ok(())
    }

    fn take(&self) -> Option<Work<K>> {
        let (key, since) = self.shared.state().take(Instant::now())?;
        let attempt = self
            .shared
            .failures()
            .get(&key)
            .map_or(0, |failures| failures.count());
        Some(Work { key, since, attempt })
    }
}

async fn run_one<K, F, Fut, E>(
    shared: Arc<Shared<K>>,
    metrics: Arc<Metrics>,
    reconcile: Arc<F>,
    work: Work<K>,
) where
    K: QueueKey,
    F: Fn(Work<K>) -> Fut,
    Fut: Future<Output = Result<Next, E>>,
    E: ReconcileError,
{
    let key = work.key.clone();
    let started = Instant::now();
    metrics
        .wait
        .record(started.saturating_duration_since(work.since).as_secs_f64());
    let result = reconcile(work).await;
    metrics.work.record(started.elapsed().as_secs_f64());
    let next = match result {
        Ok(next) => {
            metrics.succeeded.increment(1);
            shared.failures().remove(&key);
            next
        }
        Err(error) => Next::After(shared.failed(metrics.name, &key, &error)),
    };
    let mut state = shared.state();
    state.finish(&key);
    if let Next::After(delay) = next {
        state.add_at(key, Instant::now() + delay);
    }
    drop(state);
    // The dispatcher learns of the free place from the JoinSet; of a delayed key only from here.
    shared.changed.notify_one();
}

impl<K: QueueKey> Shared<K> {
    fn failed<E: ReconcileError>(&self, name: &'static str, key: &K, error: &E) -> std::time::Duration {
        let category = error.category();
        let conflict = category == "conflict";
        let (delay, attempt) = {
            let mut failures = self.failures();
            let entry = failures.entry(key.clone()).or_default();
            let delay = entry.fail(conflict, error.retry_after(), rand::random());
            (delay, entry.count())
        };
        counter!(RECONCILES, "queue" => name, "outcome" => "error").increment(1);
        counter!(RETRIES, "queue" => name, "category" => category).increment(1);
        let retry_in_ms = delay.as_millis() as u64;
        // A stale decision is normal under contention; anything else is worth an operator's eye.
        if conflict {
            tracing::debug!(queue = name, %key, category, attempt, retry_in_ms, %error, "reconcile will be repeated");
        } else {
            tracing::warn!(queue = name, %key, category, attempt, retry_in_ms, %error, "reconcile failed");
        }
        delay
    }
}

async fn sleep_until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due.into()).await;
    }
}

/// Ends when any gate got a new value; never, when there is none or all senders are gone.
async fn any_changed(gates: &mut [watch::Receiver<bool>]) {
    if gates.is_empty() {
        return std::future::pending().await;
    }
    let waits = gates.iter_mut().map(|gate| {
        Box::pin(async move {
            if gate.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    });
    futures::future::select_all(waits).await;
}

//! Supervised tasks in two phases, and the order in which they end.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// When a task is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// On shutdown: whatever takes or does work.
    Work,
    /// Once all of `Work` has ended: leases, events, the admin server.
    AfterDrain,
}

/// Shared by everything that spawns tasks. Cloning shares it.
#[derive(Clone, Default)]
pub(crate) struct Supervisor {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    shutdown: CancellationToken,
    drained: CancellationToken,
    work: TaskTracker,
    after_drain: TaskTracker,
    running: Mutex<BTreeMap<u64, String>>,
    next_id: AtomicU64,
    failed: AtomicBool,
}

impl Supervisor {
    pub(crate) fn shutdown(&self) -> CancellationToken {
        self.inner.shutdown.clone()
    }

    pub(crate) fn drained(&self) -> CancellationToken {
        self.inner.drained.clone()
    }

    /// Whether any task has failed so far.
    pub(crate) fn failed(&self) -> bool {
        self.inner.failed.load(Ordering::Acquire)
    }

    /// Names of tasks that have not ended.
    pub(crate) fn running(&self) -> Vec<String> {
        self.names().values().cloned().collect()
    }

    pub(crate) fn spawn<F>(&self, phase: Phase, name: String, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let tracker = match phase {
            Phase::Work => &self.inner.work,
            Phase::AfterDrain => &self.inner.after_drain,
        };
        let id = self.inner.next_id.fetch_add(1, Ordering::Relaxed);
        self.names().insert(id, name.clone());
        let supervisor = self.clone();
        tracker.spawn(async move {
            // A task of its own, so that its panic is a value here.
            let ended = tokio::spawn(task).await;
            supervisor.names().remove(&id);
            supervisor.judge(phase, &name, ended);
        });
    }

    /// Asks the tasks to end, work first, and waits until they have.
    pub(crate) async fn drain(&self) {
        self.inner.shutdown.cancel();
        self.inner.work.close();
        self.inner.work.wait().await;
        self.inner.drained.cancel();
        self.inner.after_drain.close();
        self.inner.after_drain.wait().await;
    }

    fn judge(&self, phase: Phase, name: &str, ended: Result<anyhow::Result<()>, tokio::task::JoinError>) {
        let asked = match phase {
            Phase::Work => self.inner.shutdown.is_cancelled(),
            Phase::AfterDrain => self.inner.drained.is_cancelled(),
        };
        let reason = match ended {
            Ok(Ok(())) if asked => return tracing::debug!(task = name, "task ended"),
            Ok(Ok(())) => "ended without being asked to".to_owned(),
            Ok(Err(error)) => format!("{error:#}"),
            Err(panic) => panic.to_string(),
        };
        tracing::error!(
            task = name,
            reason,
            "supervised task failed, stopping the process"
        );
        self.inner.failed.store(true, Ordering::Release);
        self.inner.shutdown.cancel();
    }

    fn names(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, String>> {
        self.inner.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn settled(supervisor: &Supervisor) {
        tokio::time::timeout(Duration::from_secs(5), supervisor.drain())
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn work_ends_before_what_waits_for_the_drain() {
        let supervisor = Supervisor::default();
        let order = Arc::new(Mutex::new(Vec::new()));
        let (shutdown, drained) = (supervisor.shutdown(), supervisor.drained());
        let log = Arc::clone(&order);
        supervisor.spawn(Phase::Work, "worker".into(), async move {
            shutdown.cancelled().await;
            // The item in hand takes a while.
            tokio::time::sleep(Duration::from_millis(50)).await;
            log.lock().unwrap().push("work");
            Ok(())
        });
        let log = Arc::clone(&order);
        supervisor.spawn(Phase::AfterDrain, "lease".into(), async move {
            drained.cancelled().await;
            log.lock().unwrap().push("lease");
            Ok(())
        });
        settled(&supervisor).await;
        assert_eq!(*order.lock().unwrap(), ["work", "lease"]);
        assert!(!supervisor.failed());
    }

    #[tokio::test]
    async fn a_task_that_ends_errs_or_panics_early_stops_the_process() {
        type Task = std::pin::Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;
        let ways: [Task; 3] = [
            Box::pin(async { Ok(()) }),
            Box::pin(async { anyhow::bail!("lost") }),
            Box::pin(async { panic!("boom") }),
        ];
        for way in ways {
            let supervisor = Supervisor::default();
            supervisor.spawn(Phase::AfterDrain, "fragile".into(), way);
            tokio::time::timeout(Duration::from_secs(5), supervisor.shutdown().cancelled())
                .await
                .unwrap();
            settled(&supervisor).await;
            assert!(supervisor.failed());
        }
    }

    #[tokio::test]
    async fn a_task_that_does_not_end_is_named() {
        let supervisor = Supervisor::default();
        supervisor.spawn(Phase::Work, "stuck".into(), std::future::pending());
        let drained = tokio::time::timeout(Duration::from_millis(50), supervisor.drain()).await;
        assert!(drained.is_err());
        assert_eq!(supervisor.running(), ["stuck"]);
    }
}

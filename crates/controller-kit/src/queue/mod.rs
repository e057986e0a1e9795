//! The work queue: keys in, reconciles out, each key at most once at a time.

mod retry;
mod state;
mod worker;

use std::collections::HashMap;
use std::fmt::Display;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use self::retry::Failures;
use self::state::State;
use crate::runtime::Runtime;

/// What a key must be: cheap to copy, comparable, printable in logs.
pub trait QueueKey: Clone + Eq + Hash + Display + Send + Sync + 'static {}
impl<K: Clone + Eq + Hash + Display + Send + Sync + 'static> QueueKey for K {}

/// One key to work on.
#[derive(Clone, Debug)]
pub struct Work<K> {
    /// The key.
    pub key: K,
    /// When the key was first added after its last run began (or came due, if it was delayed):
    /// the start of the latency an observer sees.
    pub since: Instant,
    /// How many runs of this key have failed in a row.
    pub attempt: u32,
}

/// What a finished reconcile wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing until something changes.
    Done,
    /// Another run after this time, or earlier if something changes. Each run says it anew: a run
    /// caused by a change supersedes the delayed one.
    After(Duration),
}

/// An error of a reconcile. Every error leads to another run after the key's backoff.
pub trait ReconcileError: Display {
    /// A short fixed name for metrics and logs, such as `conflict` or `unknown`. Errors of category
    /// `conflict` mean that the decision was stale and are replanned quickly.
    fn category(&self) -> &'static str;

    /// The least time to wait, if the server gave one.
    fn retry_after(&self) -> Option<Duration> {
        None
    }
}

/// A deduplicated queue of keys. Cloning shares it.
///
/// A key being worked on is never worked on twice at once; added again meanwhile, it runs again after.
/// Failed keys come back after an exponential backoff with jitter (50 ms to 30 s), forgotten on success.
pub struct Queue<K> {
    shared: Arc<Shared<K>>,
}

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

pub(crate) struct Shared<K> {
    state: Mutex<State<K>>,
    failures: Mutex<HashMap<K, Failures>>,
    gates: Mutex<Vec<watch::Receiver<bool>>>,
    changed: Notify,
}

impl<K: QueueKey> Default for Queue<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: QueueKey> Queue<K> {
    /// An empty queue.
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State::new()),
                failures: Mutex::new(HashMap::new()),
                gates: Mutex::new(Vec::new()),
                changed: Notify::new(),
            }),
        }
    }

    /// Adds a key to be worked on as soon as a worker is free. Never blocks.
    pub fn add(&self, key: K) {
        self.shared.state().add(key, Instant::now());
        self.shared.changed.notify_one();
    }

    /// Adds a key to be worked on after `delay`. Of several delayed adds the earliest counts;
    /// an [`add`](Self::add) meanwhile supersedes them all.
    pub fn add_after(&self, key: K, delay: Duration) {
        self.shared.state().add_at(key, Instant::now() + delay);
        self.shared.changed.notify_one();
    }

    /// Keys waiting for a worker now, without delayed ones.
    pub fn depth(&self) -> usize {
        self.shared.state().depth()
    }

    /// Whether no key waits, is worked on or comes later.
    pub fn is_idle(&self) -> bool {
        self.shared.state().is_idle()
    }

    /// Lets workers take keys only while `open` is true; keys are kept meanwhile. With several gates all must
    /// be open. Call it before [`run`](Self::run). A gate whose sender is gone keeps its last value.
    pub fn gate(&self, open: watch::Receiver<bool>) {
        self.shared
            .gates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(open);
    }

    /// Starts working: up to `concurrency` keys at once, in a supervised task called `name` (also the metric
    /// label `queue`), once every watch started on `runtime` is primed.
    ///
    /// A panic in `reconcile` ends the process cleanly with a failure code: state is only in the API, so a
    /// restart is the one recovery path. On shutdown the keys in hand are finished and no more are taken.
    pub fn run<F, Fut, E>(&self, runtime: &Runtime, name: &'static str, concurrency: usize, reconcile: F)
    where
        F: Fn(Work<K>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Next, E>> + Send + 'static,
        E: ReconcileError + Send + 'static,
    {
        let gates = self
            .shared
            .gates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let worker = worker::Workers::new(Arc::clone(&self.shared), gates, name, concurrency.max(1));
        let (primed, shutdown) = (runtime.primed(), runtime.shutdown());
        runtime.spawn(name, async move {
            tokio::select! {
                () = primed => worker.work(shutdown, Arc::new(reconcile)).await,
                () = shutdown.cancelled() => Ok(()),
            }
        });
    }
}

impl<K> Shared<K> {
    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failures(&self) -> MutexGuard<'_, HashMap<K, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

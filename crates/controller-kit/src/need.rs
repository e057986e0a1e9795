//! Lets watches rest while nobody needs what they bring.
//!
//! Each watch of GameServers or Pods costs the API server an encoding and this process a decoding for every change of any of
//! them. A controller whose work is opt-in (a network, a probe) has none in a cluster where no set asks for it: it keeps the
//! watches that tell of such a set, and lets the others end. See `docs/adr/0038-watches-that-rest.md`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::admin::WatchHealth;
use crate::runtime::Runtime;

/// Whether the watches started with [`while_needed`](crate::watch::Watch::while_needed) are needed. Cloning shares it.
///
/// It begins with yes, so that whatever an earlier process left undone is seen. While it says no, the watches' stores are empty;
/// their objects are told as deleted when they begin to rest, and as new when they go on.
#[derive(Clone)]
pub struct Need {
    inner: Arc<Inner>,
}

struct Inner {
    needed: watch::Sender<bool>,
    watches: Mutex<Vec<Arc<WatchHealth>>>,
}

impl Default for Need {
    fn default() -> Self {
        Self::new()
    }
}

impl Need {
    /// One that says yes.
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                needed: watch::Sender::new(true),
                watches: Mutex::default(),
            }),
        }
    }

    /// Says that the watches are needed now. Never blocks; for handlers of the watches that do not rest, which the store shows the
    /// reason to already.
    pub fn wake(&self) {
        self.inner
            .needed
            .send_if_modified(|needed| !std::mem::replace(needed, true));
    }

    /// Whether the watches are needed and have not listed everything yet: what their stores lack may be there.
    pub fn is_waking(&self) -> bool {
        *self.inner.needed.borrow() && !self.watches().iter().all(|watch| watch.is_complete())
    }

    /// Lets the watches rest once `idle` has been true for the time `after`, again and again until shutdown. `after` of zero: they
    /// never rest.
    ///
    /// `idle` must be true only if the stores of the watches that do not rest hold no reason for [`wake`](Self::wake), so that
    /// nothing is missed between the two. It may look at every object: it is asked a few times in `after`, and only while awake.
    pub fn rest_after<F>(&self, runtime: &Runtime, after: Duration, idle: F)
    where
        F: Fn() -> bool + Send + Sync + 'static,
    {
        if after.is_zero() {
            return;
        }
        let (need, shutdown, primed) = (self.clone(), runtime.shutdown(), runtime.primed());
        runtime.spawn("rest", async move {
            if shutdown.run_until_cancelled(primed).await.is_none() {
                return Ok(());
            }
            let mut quiet: Option<Instant> = None;
            while shutdown
                .run_until_cancelled(tokio::time::sleep(after / 4))
                .await
                .is_some()
            {
                if !*need.inner.needed.borrow() || need.is_waking() || !idle() {
                    quiet = None;
                } else if quiet.get_or_insert_with(Instant::now).elapsed() >= after {
                    need.rest(&idle);
                    quiet = None;
                }
            }
            Ok(())
        });
    }

    /// The same for a controller of which one process leads. `done` says whether none of its work waits, and is asked of the leader
    /// only: what another process has queued is the leader's to do. The watches are needed after each change of `leads`.
    pub fn rest_beside_leader<D, F>(
        &self,
        runtime: &Runtime,
        after: Duration,
        leads: watch::Receiver<bool>,
        done: D,
        idle: F,
    ) where
        D: Fn() -> bool + Send + Sync + 'static,
        F: Fn() -> bool + Send + Sync + 'static,
    {
        let leading = leads.clone();
        self.rest_after(runtime, after, move || (!*leading.borrow() || done()) && idle());
        self.wake_after_elections(runtime, leads);
    }

    /// What the last leader left undone is not known to who has rested.
    fn wake_after_elections(&self, runtime: &Runtime, mut leads: watch::Receiver<bool>) {
        let (need, shutdown) = (self.clone(), runtime.shutdown());
        runtime.spawn("look after an election", async move {
            while let Some(Ok(())) = shutdown.run_until_cancelled(leads.changed()).await {
                need.wake();
            }
            shutdown.cancelled().await;
            Ok(())
        });
    }

    fn rest(&self, idle: &impl Fn() -> bool) {
        // Asked again under the lock that `wake` takes: a store shows a reason before its handler calls `wake`, so either
        // `idle` sees it or `wake` comes after.
        let resting = self
            .inner
            .needed
            .send_if_modified(|needed| idle() && std::mem::replace(needed, false));
        if resting {
            tracing::info!("nothing to do: watches rest");
        }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<bool> {
        self.inner.needed.subscribe()
    }

    pub(crate) fn attach(&self, watch: Arc<WatchHealth>) {
        self.watches().push(watch);
    }

    fn watches(&self) -> MutexGuard<'_, Vec<Arc<WatchHealth>>> {
        // Nothing that can panic runs under the lock.
        self.inner.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Starts the next reading early when a lease changes.
//!
//! Events decide nothing by themselves: a decision is made from an answer that is never stale. A broken or refused watch
//! costs time, at most one `retry`, and nothing else.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api,
    api::{WatchEvent, WatchParams},
};
use tokio::time::Instant as TokioInstant;
use tracing::debug;

/// A replica that gives shards up writes several leases in a row: one listing for all of them.
const COALESCE: Duration = Duration::from_millis(15);

type Events = BoxStream<'static, kube::Result<WatchEvent<Lease>>>;

/// A watch on leases, opened when it is first waited for.
pub(crate) struct Wakeup {
    /// Never locked: the mutex makes a stream that is only `Send` part of a value that tasks may share.
    events: Mutex<Option<Events>>,
}

impl Wakeup {
    pub(crate) fn new() -> Self {
        Self {
            events: Mutex::new(None),
        }
    }

    /// Makes sure there is a watch; a new one continues from `version`, which the caller has just read.
    pub(crate) fn follow(&mut self, api: &Api<Lease>, params: &WatchParams, version: &str) {
        let events = self.events();
        if events.is_some() {
            return;
        }
        let (api, params, version) = (
            api.clone(),
            params.clone().disable_bookmarks(),
            version.to_owned(),
        );
        let open = async move { api.watch(&params, &version).await };
        *events = Some(futures::stream::once(open).try_flatten().boxed());
    }

    /// Ends the watch; a process that leads needs none.
    pub(crate) fn close(&mut self) {
        *self.events() = None;
    }

    /// Waits until `deadline`, or until a lease changes (`true`: it was deleted) in a way that `is_news`.
    pub(crate) async fn wait(&mut self, deadline: Instant, is_news: impl Fn(&Lease, bool) -> bool) {
        let deadline = TokioInstant::from_std(deadline);
        while let Ok(event) = tokio::time::timeout_at(deadline, self.next()).await {
            let news = match event {
                WatchEvent::Added(lease) | WatchEvent::Modified(lease) => is_news(&lease, false),
                WatchEvent::Deleted(lease) => is_news(&lease, true),
                WatchEvent::Bookmark(_) | WatchEvent::Error(_) => false,
            };
            if news {
                tokio::time::sleep(COALESCE).await;
                return;
            }
        }
    }

    /// The next event; never without a watch. A watch that ends is opened anew after the next listing.
    async fn next(&mut self) -> WatchEvent<Lease> {
        if let Some(events) = self.events() {
            match events.next().await {
                Some(Ok(WatchEvent::Error(status))) => debug!(code = status.code, "watch on leases ended"),
                Some(Ok(event)) => return event,
                Some(Err(error)) => debug!(%error, "watch on leases failed"),
                None => {}
            }
        }
        *self.events() = None;
        std::future::pending().await
    }

    fn events(&mut self) -> &mut Option<Events> {
        self.events.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

//! One game server: is there a difference (in the watch callbacks), and writing it (in the queue's workers).

use std::time::{Duration, Instant};

use api_types::views::GameServerView;
use controller_kit::{
    events::{EventRecord, Events},
    key::ObjectKey,
    queue::{Next, Queue},
    store::Store,
    write::{WriteError, Writer},
};
use jiff::Timestamp;
use leader_election::shards::shard_of;

use crate::{
    apply::apply,
    gap::{Ended, Gap, Overdue},
    metrics::{self, Trigger},
    notify,
    observe::{Observer, Snapshot},
    overlay,
    ownership::Ownership,
    plan::{self, PodPatch, plan},
};

/// The longest pause after `error`, where the queue's own backoff is too long: that would grow to 30 s while the API server is
/// down, and the first opsStates after its return would be as late. What a backoff limits is limited here by the concurrency: no
/// more requests wait for a struggling server than when it is well.
///
/// `None` where an event runs the key again (somebody else wrote the Pod), or where only a change can help.
fn longest_pause(key: &ObjectKey, error: &WriteError) -> Option<Duration> {
    // Spread by key over 0.75 to 1.25 s.
    let pause = Duration::from_millis(750 + u64::from(shard_of(&key.namespace, &key.name, 500)));
    match error {
        WriteError::Unknown(_) => Some(pause),
        WriteError::TooManyRequests { retry_after } => Some(pause.max(*retry_after)),
        // An API server that starts refuses everybody until it has read the roles; missing rights stay missing for longer.
        WriteError::Forbidden(_) => Some(pause * 2),
        WriteError::Conflict(_) | WriteError::NotFound | WriteError::Invalid(_) => None,
    }
}

/// Everything one sync needs.
pub(crate) struct Syncer {
    pub(crate) observer: Observer,
    pub(crate) queue: Queue<ObjectKey>,
    pub(crate) gap: Gap,
    pub(crate) ownership: Ownership,
    pub(crate) writer: Writer,
    pub(crate) events: Events,
}

impl Syncer {
    /// Something about `key` changed: queues it if its Pod differs from what it should show. Runs on the watch's task, takes
    /// microseconds, and is why status updates, heartbeats and our own echoes never reach the queue.
    pub(crate) fn consider(&self, key: &ObjectKey, trigger: Trigger) {
        if !self.ownership.owns(key) {
            return;
        }
        let differs = self
            .observer
            .snapshot(key)
            .is_some_and(|snapshot| plan(&snapshot.observed(), Timestamp::now()).is_some());
        if differs {
            self.gap.differs(key, trigger, Instant::now());
            self.queue.add(key.clone());
        } else {
            self.close(key);
        }
    }

    /// The gap of `key` has ended without a patch of ours: somebody else wrote the Pod, or it is gone.
    fn close(&self, key: &ObjectKey) {
        if let Some(ended) = self.gap.closed(key, Instant::now()) {
            self.report_healed(key, ended);
        }
    }

    /// Tells of gaps that have lasted too long: what lags, and why.
    pub(crate) fn report_overdue(&self) {
        for overdue in self.gap.overdue(Instant::now()) {
            if let Some(event) = self.lagging(&overdue) {
                metrics::gap_warned();
                self.events.publish(event);
            } else {
                self.gap.untold(&overdue.key);
            }
        }
    }

    /// The event about a gap; `None` without a GameServer to tell it on, or when it has just ended.
    fn lagging(&self, overdue: &Overdue) -> Option<EventRecord> {
        let snapshot = self.observer.snapshot(&overdue.key)?;
        let patch = plan(&snapshot.observed(), Timestamp::now())?;
        let server = snapshot.server.as_ref()?;
        Some(notify::lagging(server, &patch.changes, overdue))
    }

    fn report_healed(&self, key: &ObjectKey, ended: Ended) {
        if !ended.warned {
            return;
        }
        let snapshot = self.observer.snapshot(key);
        if let Some(server) = snapshot.as_ref().and_then(|snapshot| snapshot.server.as_ref()) {
            self.events.publish(notify::healed(server, ended.lasted));
        }
    }

    /// Considers every Pod: at the start, when shards were gained, and at each resync.
    pub(crate) fn sweep(&self) {
        for key in self.observer.pods.get().map(Store::keys).unwrap_or_default() {
            self.consider(&key, Trigger::Sweep);
        }
    }

    /// Reports values of `new` that no label can hold, those that `old` did not have already.
    pub(crate) fn report_invalid(&self, key: &ObjectKey, old: Option<&GameServerView>, new: &GameServerView) {
        let mut values = plan::invalid_values(new);
        if values.is_empty() || !self.ownership.owns(key) {
            return;
        }
        let known = old.map(plan::invalid_values).unwrap_or_default();
        values.retain(|value| !known.contains(value));
        metrics::skipped(values.len());
        for event in notify::invalid(new, &values) {
            self.events.publish(event);
        }
    }

    /// Observe, plan, write; remembers why it failed, should the Pod come to lag.
    pub(crate) async fn sync(&self, key: &ObjectKey) -> Result<Next, WriteError> {
        let outcome = self.try_sync(key).await;
        if let Err(error) = &outcome {
            self.gap.failed(key, error.to_string());
        }
        outcome
    }

    /// One request, no reads.
    async fn try_sync(&self, key: &ObjectKey) -> Result<Next, WriteError> {
        let Some(snapshot) = self.observer.snapshot(key).filter(|_| self.ownership.owns(key)) else {
            self.close(key);
            return Ok(Next::Done);
        };
        if snapshot
            .server
            .as_deref()
            .is_some_and(|server| plan::is_behind(server, &snapshot.pod))
        {
            metrics::behind();
        }
        let Some(patch) = plan(&snapshot.observed(), Timestamp::now()) else {
            self.close(key);
            return Ok(Next::Done);
        };
        match apply(&self.writer, key, &patch).await {
            Ok(version) => {
                self.acknowledged(key, &snapshot, &patch, &version);
                Ok(Next::Done)
            }
            // The Pod watch will say so too.
            Err(WriteError::NotFound) => {
                self.close(key);
                Ok(Next::Done)
            }
            // The event of whoever wrote the Pod runs this key again, usually before the backoff is over.
            Err(error @ WriteError::Conflict(_)) => {
                metrics::conflict();
                Err(error)
            }
            Err(WriteError::Invalid(reason)) => self.sync_reduced(key, &snapshot, &patch, reason).await,
            Err(error) => {
                if let Some(pause) = longest_pause(key, &error) {
                    self.queue.add_after(key.clone(), pause);
                }
                Err(error)
            }
        }
    }

    /// The API server will never take the whole patch (annotations too large, an impossible image): what it does take goes
    /// without the rest.
    async fn sync_reduced(
        &self,
        key: &ObjectKey,
        snapshot: &Snapshot,
        patch: &PodPatch,
        reason: String,
    ) -> Result<Next, WriteError> {
        metrics::refused();
        if let Some(server) = &snapshot.server {
            self.events.publish(notify::refused(server, &reason));
        }
        for reduced in patch.reduced() {
            match apply(&self.writer, key, &reduced).await {
                Ok(version) => {
                    self.acknowledged(key, snapshot, &reduced, &version);
                    break;
                }
                Err(WriteError::Invalid(_)) => {}
                Err(error) => return Err(error),
            }
        }
        // Still a difference: it stays in the sync gap, and is tried again at the pace of the backoff.
        Err(WriteError::Invalid(reason))
    }

    fn acknowledged(&self, key: &ObjectKey, snapshot: &Snapshot, patch: &PodPatch, version: &str) {
        let now = Instant::now();
        self.observer
            .wrote(key, overlay::patched(&snapshot.pod, patch, version));
        let differs = self
            .observer
            .snapshot(key)
            .is_some_and(|snapshot| plan(&snapshot.observed(), Timestamp::now()).is_some());
        if let Some(ended) = self.gap.acknowledged(key, differs, now) {
            metrics::synced(ended.trigger, ended.lasted);
            self.report_healed(key, ended);
        }
        metrics::patched(patch.changes.iter().map(|change| change.subject).collect());
        if let Some(server) = &snapshot.server {
            for event in notify::changes(server, &patch.changes) {
                self.events.publish(event);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_was_away_is_never_left_alone_for_long() {
        let key = ObjectKey::new("games", "arena-0");
        let pause = |error| longest_pause(&key, &error);
        let second = pause(WriteError::Unknown(String::new())).unwrap();
        assert!((750..1250).contains(&second.as_millis()), "{second:?}");
        let asked = Duration::from_secs(7);
        assert_eq!(
            pause(WriteError::TooManyRequests { retry_after: asked }),
            Some(asked)
        );
        assert!(pause(WriteError::Forbidden(String::new())).is_some_and(|pause| pause > second));
        assert_eq!(pause(WriteError::Conflict(String::new())), None);
    }
}

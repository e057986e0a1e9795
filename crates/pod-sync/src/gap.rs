//! The sync gap: which game servers' Pods differ from what they should show, and since when.
//!
//! This is the figure an operator alerts on. It is kept from the events, not from the queue, so a key that waits for a
//! backoff, a full queue or a slow API server is in it all the same.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use controller_kit::key::ObjectKey;

use crate::metrics::{self, Trigger};

#[derive(Clone, Copy)]
struct Span {
    trigger: Trigger,
    since: Instant,
    /// The newest event that still showed a difference: where the next span begins when a patch closes only the first.
    latest: Instant,
}

/// Open gaps by game server.
#[derive(Default)]
pub(crate) struct Gap {
    open: Mutex<HashMap<ObjectKey, Span>>,
}

impl Gap {
    /// An event showed a difference.
    pub(crate) fn differs(&self, key: &ObjectKey, trigger: Trigger, now: Instant) {
        let mut open = self.lock();
        open.entry(key.clone())
            .or_insert(Span {
                trigger,
                since: now,
                latest: now,
            })
            .latest = now;
    }

    /// The Pod shows what it should, or is none of ours.
    pub(crate) fn closed(&self, key: &ObjectKey) {
        self.lock().remove(key);
    }

    /// A patch was acknowledged; `differs` says whether a later change is still to be written. Returns what began the span
    /// and how long it took; `None` when a concurrent event closed it already.
    pub(crate) fn acknowledged(
        &self,
        key: &ObjectKey,
        differs: bool,
        now: Instant,
    ) -> Option<(Trigger, Duration)> {
        let mut open = self.lock();
        let span = open.get_mut(key)?;
        let took = (span.trigger, now.saturating_duration_since(span.since));
        if differs {
            span.since = span.latest;
        } else {
            open.remove(key);
        }
        Some(took)
    }

    /// Forgets the servers that `keep` refuses: another replica looks after them now.
    pub(crate) fn retain(&self, keep: impl Fn(&ObjectKey) -> bool) {
        self.lock().retain(|key, _| keep(key));
    }

    /// Publishes the gauges.
    pub(crate) fn report(&self, now: Instant) {
        let open = self.lock();
        let oldest = open
            .values()
            .map(|span| now.saturating_duration_since(span.since))
            .max();
        metrics::gap(open.len(), oldest.unwrap_or_default());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Span>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gap_lasts_from_the_first_difference_to_the_acknowledged_patch() {
        let (gap, key, start) = (Gap::default(), ObjectKey::new("games", "arena-0"), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        gap.differs(&key, Trigger::GameServer, at(0));
        gap.differs(&key, Trigger::Pod, at(4));
        assert_eq!(
            gap.acknowledged(&key, false, at(9)),
            Some((Trigger::GameServer, Duration::from_millis(9)))
        );
        assert_eq!(gap.acknowledged(&key, false, at(10)), None, "closed");
    }

    #[test]
    fn gap_goes_on_from_the_change_that_came_during_the_patch() {
        let (gap, key, start) = (Gap::default(), ObjectKey::new("games", "arena-0"), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        gap.differs(&key, Trigger::GameServer, at(0));
        gap.differs(&key, Trigger::GameServer, at(6));
        assert_eq!(
            gap.acknowledged(&key, true, at(9)),
            Some((Trigger::GameServer, Duration::from_millis(9)))
        );
        assert_eq!(
            gap.acknowledged(&key, false, at(11)),
            Some((Trigger::GameServer, Duration::from_millis(5)))
        );
    }
}

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

/// How long a Pod may lag before its GameServer gets a Warning.
const OVERDUE: Duration = Duration::from_secs(5);
/// Open warnings at a time. When the API server itself is the reason all servers lag at once: the gauge says how many, and
/// an event for each would be written while their patches wait.
const MAX_WARNED: usize = 50;

#[derive(Clone)]
struct Span {
    trigger: Trigger,
    since: Instant,
    /// The newest event that still showed a difference: where the next span begins when a patch closes only the first.
    latest: Instant,
    /// Why the last attempt failed.
    failure: Option<String>,
    /// Whether the GameServer got a Warning.
    warned: bool,
}

impl Span {
    fn new(trigger: Trigger, since: Instant) -> Self {
        Self {
            trigger,
            since,
            latest: since,
            failure: None,
            warned: false,
        }
    }

    fn lasted(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

/// A gap that has just ended, in full or up to a later change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    /// What began it.
    pub(crate) trigger: Trigger,
    /// How long it lasted.
    pub(crate) lasted: Duration,
    /// Whether its GameServer got a Warning about it.
    pub(crate) warned: bool,
}

/// A gap that has lasted too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Overdue {
    /// Whose.
    pub(crate) key: ObjectKey,
    /// For how long it has lasted.
    pub(crate) lasted: Duration,
    /// Why the last attempt failed; `None` when none has.
    pub(crate) failure: Option<String>,
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
            .or_insert_with(|| Span::new(trigger, now))
            .latest = now;
    }

    /// An attempt to close it failed.
    pub(crate) fn failed(&self, key: &ObjectKey, failure: String) {
        if let Some(span) = self.lock().get_mut(key) {
            span.failure = Some(failure);
        }
    }

    /// The Pod shows what it should, or is none of ours.
    pub(crate) fn closed(&self, key: &ObjectKey, now: Instant) -> Option<Ended> {
        self.lock().remove(key).map(|span| Ended {
            trigger: span.trigger,
            lasted: span.lasted(now),
            warned: span.warned,
        })
    }

    /// A patch was acknowledged; `differs` says whether a later change is still to be written. `None` when a concurrent
    /// event closed it already.
    pub(crate) fn acknowledged(&self, key: &ObjectKey, differs: bool, now: Instant) -> Option<Ended> {
        if !differs {
            return self.closed(key, now);
        }
        let mut open = self.lock();
        let span = open.get_mut(key)?;
        let next = Span::new(span.trigger, span.latest);
        let before = std::mem::replace(span, next);
        Some(Ended {
            trigger: before.trigger,
            lasted: before.lasted(now),
            warned: before.warned,
        })
    }

    /// The gaps that have lasted too long and have not been told yet; each is told once.
    pub(crate) fn overdue(&self, now: Instant) -> Vec<Overdue> {
        let mut open = self.lock();
        let room = MAX_WARNED.saturating_sub(open.values().filter(|span| span.warned).count());
        open.iter_mut()
            .filter(|(_, span)| !span.warned && span.lasted(now) > OVERDUE)
            .take(room)
            .map(|(key, span)| {
                span.warned = true;
                Overdue {
                    key: key.clone(),
                    lasted: span.lasted(now),
                    failure: span.failure.clone(),
                }
            })
            .collect()
    }

    /// What [`overdue`](Self::overdue) gave could not be told after all: it may be given again.
    pub(crate) fn untold(&self, key: &ObjectKey) {
        if let Some(span) = self.lock().get_mut(key) {
            span.warned = false;
        }
    }

    /// Forgets the servers that `keep` refuses: another replica looks after them now.
    pub(crate) fn retain(&self, keep: impl Fn(&ObjectKey) -> bool) {
        self.lock().retain(|key, _| keep(key));
    }

    /// Publishes the gauges.
    pub(crate) fn report(&self, now: Instant) {
        let open = self.lock();
        let oldest = open.values().map(|span| span.lasted(now)).max();
        metrics::gap(open.len(), oldest.unwrap_or_default());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Span>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(ms: u64, warned: bool) -> Ended {
        Ended {
            trigger: Trigger::GameServer,
            lasted: Duration::from_millis(ms),
            warned,
        }
    }

    #[test]
    fn gap_lasts_from_the_first_difference_to_the_acknowledged_patch() {
        let (gap, key, start) = (Gap::default(), ObjectKey::new("games", "arena-0"), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        gap.differs(&key, Trigger::GameServer, at(0));
        gap.differs(&key, Trigger::Pod, at(4));
        assert_eq!(gap.acknowledged(&key, false, at(9)), Some(ended(9, false)));
        assert_eq!(gap.acknowledged(&key, false, at(10)), None, "closed");
        assert_eq!(gap.acknowledged(&key, true, at(10)), None, "closed");
    }

    #[test]
    fn gap_goes_on_from_the_change_that_came_during_the_patch() {
        let (gap, key, start) = (Gap::default(), ObjectKey::new("games", "arena-0"), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        gap.differs(&key, Trigger::GameServer, at(0));
        gap.differs(&key, Trigger::GameServer, at(6));
        assert_eq!(gap.acknowledged(&key, true, at(9)), Some(ended(9, false)));
        assert_eq!(gap.acknowledged(&key, false, at(11)), Some(ended(5, false)));
    }

    #[test]
    fn an_overdue_gap_is_told_once_with_its_last_failure_and_again_when_it_has_ended() {
        let (gap, key, start) = (Gap::default(), ObjectKey::new("games", "arena-0"), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        gap.differs(&key, Trigger::GameServer, at(0));
        gap.failed(&key, "conflict: first".into());
        gap.failed(&key, "conflict: last".into());
        assert_eq!(gap.overdue(at(5000)), []);
        let told = gap.overdue(at(5001));
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].failure.as_deref(), Some("conflict: last"));
        assert_eq!(told[0].lasted, Duration::from_millis(5001));
        assert_eq!(gap.overdue(at(9000)), [], "told");
        // A change during the patch is a gap of its own.
        gap.differs(&key, Trigger::GameServer, at(9000));
        assert_eq!(gap.acknowledged(&key, true, at(9100)), Some(ended(9100, true)));
        assert_eq!(gap.closed(&key, at(9200)), Some(ended(200, false)));
    }

    #[test]
    fn warnings_are_few_when_everything_lags() {
        let (gap, start) = (Gap::default(), Instant::now());
        for id in 0..500 {
            gap.differs(
                &ObjectKey::new("games", format!("arena-{id}").as_str()),
                Trigger::Sweep,
                start,
            );
        }
        let late = start + Duration::from_secs(60);
        let told = gap.overdue(late);
        assert_eq!(told.len(), MAX_WARNED);
        assert_eq!(gap.overdue(late), []);
        gap.closed(&told[0].key, late);
        assert_eq!(gap.overdue(late).len(), 1, "room for another");
        gap.untold(&told[1].key);
        assert_eq!(gap.overdue(late).len(), 1, "and for one that was not told");
    }
}

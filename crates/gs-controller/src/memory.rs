//! What must be remembered between two runs for one game server. Losing it costs a request, never correctness.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use controller_kit::key::ObjectKey;

/// How long the cache may take to show an own write before it is looked at regardless.
const ECHO_TIMEOUT: Duration = Duration::from_secs(2);

/// Per-server memory. An entry exists only while it says something.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    entries: Mutex<HashMap<ObjectKey, Entry>>,
}

#[derive(Debug, Default)]
struct Entry {
    /// The last own write, until the cache shows it.
    written: Option<Written>,
    /// Since when a difference is known that may wait.
    waiting_since: Option<Instant>,
    /// When the Pod was seen to become ready, until the status says so.
    ready_since: Option<Instant>,
}

#[derive(Debug)]
struct Written {
    uid: String,
    resource_version: String,
    at: Instant,
}

/// Identity and version of a GameServer, from the cache or from the answer to a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version<'a> {
    /// UID.
    pub uid: &'a str,
    /// `resourceVersion`.
    pub resource_version: &'a str,
}

impl Memory {
    /// Remembers an own write, so that nothing is decided before the cache shows it.
    pub(crate) fn wrote(&self, key: &ObjectKey, version: Version<'_>, now: Instant) {
        let written = Written {
            uid: version.uid.to_owned(),
            resource_version: version.resource_version.to_owned(),
            at: now,
        };
        self.change(key, |entry| entry.written = Some(written));
    }

    /// How much longer to wait for the cache to show the last own write; `None` when it does, or never will.
    ///
    /// Without this, a Pod event between a write and its echo sends the same write again: harmless, and a request too
    /// many on the way of each server.
    pub(crate) fn behind(
        &self,
        key: &ObjectKey,
        cached: Option<Version<'_>>,
        now: Instant,
    ) -> Option<Duration> {
        let mut left = None;
        self.change(key, |entry| {
            let Some(written) = &entry.written else { return };
            let waited = now.saturating_duration_since(written.at);
            left = ECHO_TIMEOUT
                .checked_sub(waited)
                .filter(|left| !left.is_zero() && !shows(cached, written));
            if left.is_none() {
                entry.written = None;
            }
        });
        left
    }

    /// The GameServer with this UID is gone: its last write will not be seen any more.
    pub(crate) fn gone(&self, key: &ObjectKey, uid: &str) {
        self.change(key, |entry| {
            if entry.written.as_ref().is_some_and(|written| written.uid == uid) {
                entry.written = None;
            }
            entry.waiting_since = None;
        });
    }

    /// How long a difference has been waiting.
    pub(crate) fn waiting(&self, key: &ObjectKey, now: Instant) -> Duration {
        let entries = self.lock();
        let since = entries.get(key).and_then(|entry| entry.waiting_since);
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// A difference is left waiting; the first call counts.
    pub(crate) fn wait(&self, key: &ObjectKey, now: Instant) {
        self.change(key, |entry| {
            entry.waiting_since.get_or_insert(now);
        });
    }

    /// The Pod was seen to become ready.
    pub(crate) fn became_ready(&self, key: &ObjectKey, now: Instant) {
        self.change(key, |entry| entry.ready_since = Some(now));
    }

    /// The Pod is gone or no longer ready.
    pub(crate) fn no_longer_ready(&self, key: &ObjectKey) {
        self.change(key, |entry| entry.ready_since = None);
    }

    /// The stored status is right. Gives the time at which the Pod became ready, once.
    pub(crate) fn settled(&self, key: &ObjectKey) -> Option<Instant> {
        let mut ready_since = None;
        self.change(key, |entry| {
            entry.waiting_since = None;
            ready_since = entry.ready_since.take();
        });
        ready_since
    }

    fn change(&self, key: &ObjectKey, change: impl FnOnce(&mut Entry)) {
        let mut entries = self.lock();
        let mut entry = entries.remove(key).unwrap_or_default();
        change(&mut entry);
        if entry.written.is_some() || entry.waiting_since.is_some() || entry.ready_since.is_some() {
            entries.insert(key.clone(), entry);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Entry>> {
        // No code that can panic runs under the lock, and each change is complete in itself.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether what the cache has is at least as new as what was written.
fn shows(cached: Option<Version<'_>>, written: &Written) -> bool {
    let Some(cached) = cached.filter(|cached| cached.uid == written.uid) else {
        return false;
    };
    // Opaque by the letter, a number of one etcd in every API server there is; anything else is not waited for.
    match (
        cached.resource_version.parse::<u64>(),
        written.resource_version.parse::<u64>(),
    ) {
        (Ok(cached), Ok(written)) => cached >= written,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version<'a>(uid: &'a str, resource_version: &'a str) -> Version<'a> {
        Version {
            uid,
            resource_version,
        }
    }

    #[test]
    fn a_write_is_awaited_until_the_cache_shows_it_or_time_is_up() {
        let (memory, key, start) = (Memory::default(), ObjectKey::new("games", "a-0"), Instant::now());
        assert_eq!(memory.behind(&key, None, start), None);
        memory.wrote(&key, version("u", "100"), start);
        for cached in [None, Some(version("u", "99")), Some(version("other", "200"))] {
            assert_eq!(
                memory.behind(&key, cached, start),
                Some(ECHO_TIMEOUT),
                "{cached:?}"
            );
        }
        assert_eq!(memory.behind(&key, Some(version("u", "1000")), start), None);
        memory.wrote(&key, version("u", "100"), start);
        assert_eq!(memory.behind(&key, None, start + ECHO_TIMEOUT), None);
        assert!(memory.lock().is_empty());
    }

    #[test]
    fn a_write_to_a_vanished_object_is_not_awaited() {
        let (memory, key, now) = (Memory::default(), ObjectKey::new("games", "a-0"), Instant::now());
        memory.wrote(&key, version("new", "7"), now);
        memory.gone(&key, "old");
        assert!(memory.behind(&key, Some(version("old", "9")), now).is_some());
        memory.gone(&key, "new");
        assert_eq!(memory.behind(&key, None, now), None);
    }

    #[test]
    fn waiting_counts_from_the_first_difference() {
        let (memory, key, start) = (Memory::default(), ObjectKey::new("games", "a-0"), Instant::now());
        let second = Duration::from_secs(1);
        memory.wait(&key, start);
        memory.wait(&key, start + second);
        assert_eq!(memory.waiting(&key, start + 3 * second), 3 * second);
        assert_eq!(memory.settled(&key), None);
        assert_eq!(memory.waiting(&key, start + 3 * second), Duration::ZERO);
        assert!(memory.lock().is_empty());
    }

    #[test]
    fn readiness_is_reported_once() {
        let (memory, key, now) = (Memory::default(), ObjectKey::new("games", "a-0"), Instant::now());
        memory.became_ready(&key, now);
        assert_eq!(memory.settled(&key), Some(now));
        assert_eq!(memory.settled(&key), None);
        memory.became_ready(&key, now);
        memory.no_longer_ready(&key);
        assert_eq!(memory.settled(&key), None);
    }
}

//! What must be remembered between two runs for one game server. Losing it costs a request, never correctness.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use controller_kit::{
    echo::{Echoes, Version},
    key::ObjectKey,
};

/// Per-server memory. An entry exists only while it says something.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    echoes: Echoes,
    entries: Mutex<HashMap<ObjectKey, Entry>>,
}

#[derive(Debug, Default)]
struct Entry {
    /// Since when a difference is known that may wait.
    waiting_since: Option<Instant>,
    /// When the Pod was seen to become ready, until the status says so.
    ready_since: Option<Instant>,
    /// The GameServer went while the cache still showed its Pod.
    outlived: bool,
}

impl Entry {
    fn says_something(&self) -> bool {
        self.waiting_since.is_some() || self.ready_since.is_some() || self.outlived
    }
}

impl Memory {
    /// Remembers an own write, so that nothing is decided before the cache shows it.
    pub(crate) fn wrote(&self, key: &ObjectKey, version: Version<'_>, now: Instant) {
        self.echoes.wrote(key, version, now);
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
        self.echoes.behind(key, cached, now)
    }

    /// The GameServer with this UID is gone: its last write will not be seen any more. `outlived` says that the cache
    /// still shows its Pod.
    pub(crate) fn gone(&self, key: &ObjectKey, uid: &str, outlived: bool) {
        self.echoes.gone(key, uid);
        self.change(key, |entry| {
            entry.waiting_since = None;
            entry.outlived = outlived;
        });
    }

    /// Whether the Pod in the cache may be gone: its GameServer is, and the two watches are not of one age.
    pub(crate) fn outlived(&self, key: &ObjectKey) -> bool {
        self.lock().get(key).is_some_and(|entry| entry.outlived)
    }

    /// The Pod that the cache showed is gone, or is another one now.
    pub(crate) fn pod_replaced(&self, key: &ObjectKey) {
        self.change(key, |entry| entry.outlived = false);
    }

    /// How long a difference has been waiting.
    pub(crate) fn waiting(&self, key: &ObjectKey, now: Instant) -> Duration {
        let entries = self.lock();
        let since = entries.get(key).and_then(|entry| entry.waiting_since);
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// How many servers are between two states: something about them waits to be written, or was just seen.
    pub(crate) fn unsettled(&self) -> usize {
        self.lock().len()
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
        if entry.says_something() {
            entries.insert(key.clone(), entry);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Entry>> {
        // No code that can panic runs under the lock, and each change is complete in itself.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_counts_from_the_first_difference() {
        let (memory, key, start) = (Memory::default(), ObjectKey::new("games", "a-0"), Instant::now());
        let second = Duration::from_secs(1);
        memory.wait(&key, start);
        memory.wait(&key, start + second);
        assert_eq!(memory.unsettled(), 1);
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

    #[test]
    fn a_pod_that_outlives_its_game_server_is_doubted_until_it_goes() {
        let (memory, key) = (Memory::default(), ObjectKey::new("games", "a-0"));
        memory.gone(&key, "first", true);
        assert!(memory.outlived(&key));
        memory.pod_replaced(&key);
        assert!(!memory.outlived(&key));
        memory.gone(&key, "second", false);
        assert!(!memory.outlived(&key));
        assert!(memory.lock().is_empty());
    }
}

//! Own writes that the cache does not show yet. Losing one costs a request, never correctness.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::key::ObjectKey;
use crate::write::{FailedWrite, MetaOnly, WriteError};

/// How long the cache may take to show an own write before it is looked at regardless.
pub const TIMEOUT: Duration = Duration::from_secs(2);

/// Identity and version of an object, from the cache or from the answer to a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version<'a> {
    /// UID.
    pub uid: &'a str,
    /// `resourceVersion`.
    pub resource_version: &'a str,
}

#[derive(Debug)]
struct Written {
    uid: String,
    resource_version: String,
    at: Instant,
}

/// The last own write of each object until the cache shows it: without this, an event between a write and its echo
/// sends the same write again.
#[derive(Debug, Default)]
pub struct Echoes {
    written: Mutex<HashMap<ObjectKey, Written>>,
}

impl Echoes {
    /// Remembers an own write, so that nothing is decided before the cache shows it.
    pub fn wrote(&self, key: &ObjectKey, version: Version<'_>, now: Instant) {
        let written = Written {
            uid: version.uid.to_owned(),
            resource_version: version.resource_version.to_owned(),
            at: now,
        };
        self.lock().insert(key.clone(), written);
    }

    /// [`wrote`](Self::wrote) for the answer to a write of `key`; `doing` says in words what was written. False when there was
    /// nothing to write to: the object's own event says so too.
    ///
    /// # Errors
    /// When the write failed otherwise.
    pub fn remember(
        &self,
        key: &ObjectKey,
        written: Result<MetaOnly, WriteError>,
        doing: &'static str,
    ) -> Result<bool, FailedWrite> {
        match written {
            Ok(written) => {
                let version = Version {
                    uid: &written.uid,
                    resource_version: &written.resource_version,
                };
                self.wrote(key, version, Instant::now());
                Ok(true)
            }
            Err(WriteError::NotFound) => Ok(false),
            Err(error) => Err(FailedWrite::write(doing)(error)),
        }
    }

    /// How much longer to wait for the cache to show the last own write; `None` when it does, or never will.
    pub fn behind(&self, key: &ObjectKey, cached: Option<Version<'_>>, now: Instant) -> Option<Duration> {
        let mut entries = self.lock();
        let written = entries.get(key)?;
        let left = TIMEOUT.saturating_sub(now.saturating_duration_since(written.at));
        if left.is_zero() || shows(cached, written) {
            entries.remove(key);
            return None;
        }
        Some(left)
    }

    /// The object with this UID is gone: its last write will not be seen any more.
    pub fn gone(&self, key: &ObjectKey, uid: &str) {
        let mut entries = self.lock();
        if entries.get(key).is_some_and(|written| written.uid == uid) {
            entries.remove(key);
        }
    }

    /// Whether every write has been seen.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Written>> {
        // No code that can panic runs under the lock, and each change is complete in itself.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
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
        let (echoes, key, start) = (Echoes::default(), ObjectKey::new("games", "a-0"), Instant::now());
        assert_eq!(echoes.behind(&key, None, start), None);
        echoes.wrote(&key, version("u", "100"), start);
        for cached in [None, Some(version("u", "99")), Some(version("other", "200"))] {
            assert_eq!(echoes.behind(&key, cached, start), Some(TIMEOUT), "{cached:?}");
        }
        assert_eq!(echoes.behind(&key, Some(version("u", "1000")), start), None);
        echoes.wrote(&key, version("u", "100"), start);
        assert_eq!(echoes.behind(&key, None, start + TIMEOUT), None);
        assert!(echoes.is_empty());
    }

    #[test]
    fn a_write_to_a_vanished_object_is_not_awaited() {
        let (echoes, key, now) = (Echoes::default(), ObjectKey::new("games", "a-0"), Instant::now());
        echoes.wrote(&key, version("new", "7"), now);
        echoes.gone(&key, "old");
        assert!(echoes.behind(&key, Some(version("old", "9")), now).is_some());
        echoes.gone(&key, "new");
        assert_eq!(echoes.behind(&key, None, now), None);
    }
}

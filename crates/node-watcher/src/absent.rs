//! Since when a node that has Pods is not there.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Nodes that Pods name and the cache does not have.
///
/// A Pod's event may overtake that of the node it was bound to, and some clouds delete and make a node's object anew: a
/// node counts as missing only after a while.
#[derive(Debug, Default)]
pub(crate) struct Absent {
    since: Mutex<HashMap<String, Instant>>,
}

impl Absent {
    /// The node was deleted.
    pub(crate) fn gone(&self, node: &str, now: Instant) {
        self.lock().entry(node.to_owned()).or_insert(now);
    }

    /// The node is there.
    pub(crate) fn seen(&self, node: &str) {
        self.lock().remove(node);
    }

    /// How long the node has been looked for; the first look starts the count.
    pub(crate) fn age(&self, node: &str, now: Instant) -> Duration {
        let mut since = self.lock();
        let first = since.entry(node.to_owned()).or_insert(now);
        now.saturating_duration_since(*first)
    }

    /// Whether no node is missing.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Forgets the nodes that `wanted` refuses, and gives those that stay.
    pub(crate) fn retain(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let mut since = self.lock();
        since.retain(|node, _| wanted(node));
        since.keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absence_counts_from_the_first_look_until_the_node_is_seen() {
        let (absent, start) = (Absent::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        absent.gone("a", at(0));
        absent.gone("a", at(2));
        assert_eq!(absent.age("a", at(3)), Duration::from_secs(3));
        assert_eq!(absent.age("b", at(3)), Duration::ZERO);
        absent.seen("a");
        assert_eq!(absent.age("a", at(9)), Duration::ZERO);
        assert_eq!(absent.retain(|node| node == "b"), ["b"]);
        assert_eq!(absent.age("a", at(12)), Duration::ZERO, "forgotten");
    }
}

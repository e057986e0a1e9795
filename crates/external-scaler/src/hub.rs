//! Who waits for news of which set.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use controller_kit::key::ObjectKey;
use tokio::sync::watch;

/// Wakes those who wait for a set. However much happens between two looks of theirs, it is one waking.
#[derive(Debug, Default)]
pub(crate) struct Hub(Mutex<HashMap<ObjectKey, watch::Sender<()>>>);

impl Hub {
    /// News of this set from now on.
    pub(crate) fn subscribe(&self, set: &ObjectKey) -> watch::Receiver<()> {
        let mut sets = self.lock();
        // Streams that ended leave their sets here until somebody looks: a name that nobody has could else stay for ever.
        sets.retain(|known, sender| known == set || sender.receiver_count() > 0);
        sets.entry(set.clone()).or_default().subscribe()
    }

    /// Something about this set changed.
    pub(crate) fn changed(&self, set: &ObjectKey) {
        if let Some(sender) = self.lock().get(set) {
            sender.send_replace(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_reach_those_who_wait_and_nobody_else() {
        let (hub, arena, lobby) = (
            Hub::default(),
            ObjectKey::new("games", "arena"),
            ObjectKey::new("games", "lobby"),
        );
        let (mut one, mut other) = (hub.subscribe(&arena), hub.subscribe(&lobby));
        hub.changed(&arena);
        hub.changed(&arena);
        assert!(one.has_changed().unwrap() && !other.has_changed().unwrap());
        one.borrow_and_update();
        assert!(!one.has_changed().unwrap());
        hub.changed(&lobby);
        other.borrow_and_update();
        drop(other);
        hub.subscribe(&arena);
        assert_eq!(hub.lock().len(), 1, "a set that nobody waits for is forgotten");
    }
}

//! What is known of the sets.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use controller_kit::{key::ObjectKey, store::Store, tally::Tally};

use crate::{
    hub::Hub,
    plan::{Counts, Wanted, Wish, wanted},
    views::SetView,
};

/// What is known of the sets, and who waits for news of them. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Known {
    /// The sets.
    pub sets: Store<SetView>,
    /// Their servers.
    pub servers: Arc<Tally<Counts>>,
    /// Who waits for news.
    pub hub: Arc<Hub>,
    /// Whether everything is known: a count of half the servers would add the other half again.
    pub complete: Arc<AtomicBool>,
}

/// What a set has, and what it should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Replicas in its spec.
    pub replicas: i32,
    /// What it should have.
    pub wanted: Wanted,
}

impl Known {
    /// Whether everything is known.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// What a set should have; `None` when there is no such set.
    pub(crate) fn look(&self, set: &ObjectKey, wish: &Wish) -> Option<Seen> {
        let view = self.sets.get(set)?;
        Some(Seen {
            replicas: view.replicas,
            wanted: wanted(view.replicas, &self.servers.of(set), wish),
        })
    }
}

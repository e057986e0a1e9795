//! Which game servers this replica looks after.

use std::sync::Arc;

use controller_kit::key::ObjectKey;
use leader_election::shards::OwnedShards;
use tokio::sync::watch;

/// All servers, or those whose shard's lease this replica holds.
#[derive(Clone)]
pub(crate) enum Ownership {
    /// `--shards 0`: no leases, one replica.
    All,
    /// Changes as leases come and go.
    Shards(watch::Receiver<Arc<OwnedShards>>),
}

impl Ownership {
    /// Whether `key` is looked after here now. Not for safety, which is the patch's precondition: it saves work.
    pub(crate) fn owns(&self, key: &ObjectKey) -> bool {
        match self {
            Self::All => true,
            Self::Shards(owned) => owned.borrow().owns(&key.namespace, &key.name),
        }
    }
}

//! Reads what is known about one server from the caches.

use std::{sync::Arc, time::Duration};

use controller_kit::{key::ObjectKey, store::Store};

use crate::{
    plan::report::heartbeat_every,
    views::{GameServerView, PodView, SetView},
};

/// The caches.
#[derive(Clone)]
pub(crate) struct Stores {
    /// Pods that carry a set's name.
    pub pods: Store<PodView>,
    /// GameServers.
    pub game_servers: Store<GameServerView>,
    /// GameServerSets.
    pub sets: Store<SetView>,
}

/// A server that has shown who it is.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Namespace and name of Pod and GameServer.
    pub key: ObjectKey,
    /// The Pod that calls.
    pub pod: Arc<PodView>,
}

impl Stores {
    /// The GameServer of this Pod, once there is one.
    pub(crate) fn record_of(&self, caller: &Caller) -> Option<Arc<GameServerView>> {
        self.game_servers
            .get(&caller.key)
            .filter(|server| server.metadata.is_record_of(&caller.pod.metadata))
    }

    /// How often this server's heartbeat is renewed.
    pub(crate) fn heartbeat_every(&self, pod: &PodView) -> Option<Duration> {
        let set = ObjectKey::new(pod.metadata.namespace.as_str(), pod.set()?);
        heartbeat_every(self.sets.get(&set)?.heartbeat_timeout)
    }
}

//! Reads what is known about one game server from the caches.

use std::{sync::Arc, time::Instant};

use controller_kit::{echo::Version, key::ObjectKey, store::Store};

use crate::{
    absent::Absent,
    plan::{NodeSeen, Observed},
    rest,
    views::{GameServerView, NodeView, PodView, SetView},
};

/// Index of the Pods by their node.
pub(crate) const PODS_BY_NODE: &str = "node";

/// The caches.
#[derive(Clone)]
pub(crate) struct Stores {
    /// Pods that carry a set's name.
    pub pods: Store<PodView>,
    /// GameServers.
    pub game_servers: Store<GameServerView>,
    /// GameServers that no node is shown on yet.
    pub without_node: Store<GameServerView>,
    /// GameServerSets whose GameServers outlive their Pods.
    pub keeping: Store<SetView>,
    /// Nodes.
    pub nodes: Store<NodeView>,
    /// Nodes that Pods name and the cache does not have.
    pub absent: Arc<Absent>,
}

/// What the caches hold about one game server at one time.
pub(crate) struct Snapshot {
    pod: Option<Arc<PodView>>,
    game_server: Option<Arc<GameServerView>>,
    node: Option<Arc<NodeView>>,
    absent_for: std::time::Duration,
}

/// Key of a node.
pub(crate) fn node_key(name: &str) -> ObjectKey {
    ObjectKey::new("", name)
}

impl Stores {
    /// Whether nothing will have to be written, once all that is due now is, until a node, a GameServer without a label or a set
    /// asks for it.
    pub(crate) fn is_settled(&self) -> bool {
        let mut settled = self.absent.is_empty() && self.keeping.is_empty() && self.without_node.is_empty();
        // In this order: there are few nodes, and the servers are looked at only if nothing else needs them.
        self.nodes.for_each(|node| settled &= !rest::is_news(node));
        if settled {
            self.game_servers
                .for_each(|server| settled &= !rest::outlives_its_pod(server));
        }
        settled
    }

    /// Reads the caches. The parts may be of different ages: whichever changes last brings the key back.
    pub(crate) fn observe(&self, key: &ObjectKey, now: Instant) -> Snapshot {
        let pod = self.pods.get(key);
        let name = pod.as_ref().and_then(|pod| pod.node_name.as_deref());
        let node = name.and_then(|name| self.nodes.get(&node_key(name)));
        let absent_for = match (name, &node) {
            (Some(name), None) => self.absent.age(name, now),
            _ => std::time::Duration::ZERO,
        };
        Snapshot {
            game_server: self.game_servers.get(key),
            pod,
            node,
            absent_for,
        }
    }
}

impl Snapshot {
    /// The snapshot as the plan takes it.
    pub(crate) fn observed(&self) -> Observed<'_> {
        let bound = self.pod.as_ref().is_some_and(|pod| pod.node_name.is_some());
        Observed {
            pod: self.pod.as_deref(),
            game_server: self.game_server.as_deref(),
            node: match &self.node {
                Some(node) => NodeSeen::There(node),
                None if bound => NodeSeen::Missing(self.absent_for),
                None => NodeSeen::Unbound,
            },
        }
    }

    /// Identity and version of the cached GameServer.
    pub(crate) fn version(&self) -> Option<Version<'_>> {
        self.game_server.as_ref().map(|game_server| Version {
            uid: &game_server.metadata.uid,
            resource_version: &game_server.metadata.resource_version,
        })
    }
}

//! Reads what is known about one server from the caches.

use std::{sync::Arc, time::Instant};

use controller_kit::{
    echo::{Echoes, Version},
    key::ObjectKey,
    store::Store,
};

use api_types::{keys, views::Meta};

use crate::{
    plan::Observed,
    ports::Held,
    views::{GameServerView, IngressView, NodeView, PodView, ServiceView, SetView},
};

/// Index of the Pods by their node.
pub(crate) const PODS_BY_NODE: &str = "node";
/// Index of the Pods by their set: `namespace/name`.
pub(crate) const PODS_BY_SET: &str = "set";

/// The caches.
#[derive(Clone)]
pub(crate) struct Stores {
    /// Pods with a network.
    pub pods: Store<PodView>,
    /// GameServers.
    pub game_servers: Store<GameServerView>,
    /// GameServerSets.
    pub sets: Store<SetView>,
    /// Services of servers, and all of type LoadBalancer.
    pub services: Store<ServiceView>,
    /// Ingresses of servers.
    pub ingresses: Store<IngressView>,
    /// Nodes.
    pub nodes: Store<NodeView>,
}

/// Own writes that the caches do not show yet, by kind.
#[derive(Debug, Default)]
pub(crate) struct OwnWrites {
    /// To Pods.
    pub pods: Echoes,
    /// To GameServers.
    pub game_servers: Echoes,
    /// To Services.
    pub services: Echoes,
    /// To Ingresses.
    pub ingresses: Echoes,
}

/// What the caches hold about one server at one time.
#[derive(Default)]
pub(crate) struct Snapshot {
    pod: Option<Arc<PodView>>,
    game_server: Option<Arc<GameServerView>>,
    set: Option<Arc<SetView>>,
    service: Option<Arc<ServiceView>>,
    ingress: Option<Arc<IngressView>>,
    node: Option<Arc<NodeView>>,
    held: Option<Held>,
}

impl Stores {
    /// Reads the caches. The parts may be of different ages: whichever changes last brings the key back. `held` tells which
    /// ports the Service with a UID holds.
    pub(crate) fn observe(&self, key: &ObjectKey, held: impl FnOnce(&str) -> Option<Held>) -> Snapshot {
        let pod = self.pods.get(key);
        let facts = pod.as_ref().map(|pod| &pod.facts);
        let node = facts.and_then(|facts| facts.node_name.as_deref());
        let set = facts.map(|facts| ObjectKey::new(Arc::clone(&key.namespace), Arc::clone(&facts.set)));
        let service = self.services.get(key);
        Snapshot {
            game_server: self.game_servers.get(key),
            set: set.and_then(|set| self.sets.get(&set)),
            ingress: self.ingresses.get(key),
            node: node.and_then(|node| self.nodes.get(&ObjectKey::new("", node))),
            held: service.as_ref().and_then(|service| held(&service.metadata.uid)),
            service,
            pod,
        }
    }
}

impl Stores {
    /// Whether nothing has or wants a network, or has one left.
    pub(crate) fn is_idle(&self) -> bool {
        let mut idle = self.pods.is_empty() && self.ingresses.is_empty();
        // In this order: there are few sets, and the servers are looked at only if nothing else needs them.
        self.sets.for_each(|set| idle &= !set.has_network);
        self.services
            .for_each(|service| idle &= !service.metadata.labels.contains_key(keys::label::OWNER_GSS));
        if idle {
            self.game_servers.for_each(|server| idle &= !server.has_network());
        }
        idle
    }
}

impl Snapshot {
    /// The snapshot as the plan takes it.
    pub(crate) fn observed(&self) -> Observed<'_> {
        Observed {
            pod: self.pod.as_deref(),
            game_server: self.game_server.as_deref(),
            set: self.set.as_deref(),
            service: self.service.as_deref(),
            ingress: self.ingress.as_deref(),
            node: self.node.as_ref().and_then(|node| node.address.as_deref()),
            held: self.held.as_ref(),
        }
    }

    /// How much longer to wait for the caches to show the last own writes about this server; `None` when they do.
    pub(crate) fn behind(
        &self,
        key: &ObjectKey,
        own: &OwnWrites,
        now: Instant,
    ) -> Option<std::time::Duration> {
        let waits = [
            own.pods
                .behind(key, version(self.pod.as_deref().map(|it| &it.metadata)), now),
            own.game_servers.behind(
                key,
                version(self.game_server.as_deref().map(|it| &it.metadata)),
                now,
            ),
            own.services
                .behind(key, version(self.service.as_deref().map(|it| &it.metadata)), now),
            own.ingresses
                .behind(key, version(self.ingress.as_deref().map(|it| &it.metadata)), now),
        ];
        waits.into_iter().flatten().max()
    }
}

fn version(meta: Option<&Meta>) -> Option<Version<'_>> {
    meta.map(|meta| Version {
        uid: &meta.uid,
        resource_version: &meta.resource_version,
    })
}

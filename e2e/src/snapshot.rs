//! What one namespace looks like, as three independent watches have shown it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api_types::{Condition, GameServer, GameServerSet, GameServerStatus, keys, names};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

/// Objects by name, and every version of every Pod.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Pods that exist, those being deleted included.
    pub pods: BTreeMap<String, Arc<Pod>>,
    /// GameServers that exist.
    pub servers: BTreeMap<String, Arc<GameServer>>,
    /// GameServerSets that exist.
    pub sets: BTreeMap<String, Arc<GameServerSet>>,
    /// Every version of every Pod, oldest first: what a single later look would have missed.
    pub pod_history: Vec<Arc<Pod>>,
}

impl Snapshot {
    pub(crate) fn put_pod(&mut self, name: String, pod: Arc<Pod>) {
        self.pod_history.push(pod.clone());
        self.pods.insert(name, pod);
    }

    pub(crate) fn put_server(&mut self, name: String, server: Arc<GameServer>) {
        self.servers.insert(name, server);
    }

    pub(crate) fn put_set(&mut self, name: String, set: Arc<GameServerSet>) {
        self.sets.insert(name, set);
    }

    /// Pods of the set, those being deleted included.
    pub fn pods_of(&self, set: &str) -> impl Iterator<Item = &Pod> {
        let owned = move |pod: &&Arc<Pod>| label(pod, keys::label::OWNER_GSS) == Some(set);
        self.pods.values().filter(owned).map(Arc::as_ref)
    }

    /// GameServers of the set.
    pub fn servers_of(&self, set: &str) -> impl Iterator<Item = &GameServer> {
        let owned = move |gs: &&Arc<GameServer>| {
            gs.labels()
                .get(keys::label::OWNER_GSS)
                .is_some_and(|owner| owner == set)
        };
        self.servers.values().filter(owned).map(Arc::as_ref)
    }

    /// Ids of the set's Pods that are not being deleted.
    pub fn ids(&self, set: &str) -> BTreeSet<u32> {
        let staying = self
            .pods_of(set)
            .filter(|pod| pod.metadata.deletion_timestamp.is_none());
        staying
            .filter_map(|pod| names::ordinal_of(&pod.name_any()))
            .collect()
    }

    /// UIDs of the set's Pods by id, those being deleted included.
    pub fn uids(&self, set: &str) -> BTreeMap<u32, String> {
        self.pods_of(set)
            .filter_map(|pod| Some((names::ordinal_of(&pod.name_any())?, pod.uid()?)))
            .collect()
    }

    /// Whether the set is at rest with exactly these ids: a Pod and a Ready GameServer of its own for each, the Pod showing the
    /// latest generation of its GameServer; no other of either; and a status that speaks of the set's latest generation.
    pub fn at_rest(&self, set: &str, ids: &[u32]) -> bool {
        let wanted: BTreeSet<u32> = ids.iter().copied().collect();
        let settled = self
            .servers_of(set)
            .filter(|gs| self.is_ready(gs) && self.is_synced(&gs.name_any()));
        let settled: BTreeSet<u32> = settled
            .filter_map(|gs| names::ordinal_of(&gs.name_any()))
            .collect();
        let counts = [self.pods_of(set).count(), self.servers_of(set).count()];
        self.ids(set) == wanted
            && settled == wanted
            && counts == [wanted.len(); 2]
            && self.status_is_current(set, wanted.len())
    }

    fn status_is_current(&self, set: &str, ready: usize) -> bool {
        let Some(set) = self.sets.get(set) else {
            return false;
        };
        set.status.as_ref().is_some_and(|status| {
            status.observed_generation == set.metadata.generation
                && usize::try_from(status.ready_replicas) == Ok(ready)
                && usize::try_from(status.current_replicas) == Ok(ready)
        })
    }

    /// Whether the server is Ready in its own status and on its Pod, and belongs to that Pod rather than to an earlier one.
    pub fn is_ready(&self, server: &GameServer) -> bool {
        let Some(pod) = self.pods.get(&server.name_any()) else {
            return false;
        };
        let shown = server
            .status
            .as_ref()
            .and_then(|status| status.current_state.as_deref());
        let of_this_pod = server
            .owner_references()
            .iter()
            .all(|o| o.kind != "Pod" || Some(&o.uid) == pod.uid().as_ref());
        shown == Some("Ready") && label(pod, keys::label::GS_STATE) == Some("Ready") && of_this_pod
    }

    /// The server's status, where it has one.
    pub fn status(&self, server: &str) -> Option<&GameServerStatus> {
        self.servers.get(server)?.status.as_ref()
    }

    /// A label of a Pod.
    pub fn pod_label(&self, pod: &str, key: &str) -> Option<&str> {
        label(self.pods.get(pod)?, key)
    }

    /// An annotation of a Pod.
    pub fn pod_annotation(&self, pod: &str, key: &str) -> Option<&str> {
        self.pods.get(pod)?.annotations().get(key).map(String::as_str)
    }

    /// Whether the Pod shows the newest generation of its GameServer.
    pub fn is_synced(&self, server: &str) -> bool {
        let generation = self.servers.get(server).and_then(|gs| gs.metadata.generation);
        let shown = self.pod_annotation(server, keys::annotation::SYNCED_GENERATION);
        generation.is_some() && shown.and_then(|text| text.parse().ok()) == generation
    }

    /// A condition of a set, if it speaks of the set's latest generation.
    pub fn condition(&self, set: &str, type_: &str) -> Option<&Condition> {
        let set = self.sets.get(set)?;
        let found = set
            .status
            .as_ref()?
            .conditions
            .iter()
            .find(|condition| condition.type_ == type_)?;
        let current = found
            .observed_generation
            .is_none_or(|seen| Some(seen) == set.metadata.generation);
        current.then_some(found)
    }
}

/// A label of a Pod.
pub fn label<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    pod.labels().get(key).map(String::as_str)
}

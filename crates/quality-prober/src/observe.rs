//! Reads what is known about one game server from the caches.

use std::sync::Arc;

use api_types::views::Meta;
use controller_kit::{echo::Version, key::ObjectKey, store::Store};

use crate::views::{PodView, SetView};

/// Index of the Pods by their set.
pub(crate) const PODS_BY_SET: &str = "set";

/// The caches.
#[derive(Clone)]
pub(crate) struct Stores {
    /// Pods that carry a set's name; those of one node in node mode.
    pub pods: Store<PodView>,
    /// GameServerSets.
    pub sets: Store<SetView>,
}

/// A Pod and its set.
#[derive(Debug, Clone)]
pub(crate) struct Probed {
    /// The Pod.
    pub pod: Arc<PodView>,
    /// Its set.
    pub set: Arc<SetView>,
}

/// Value of a Pod in [`PODS_BY_SET`].
pub(crate) fn set_of(pod: &PodView) -> Option<String> {
    (!pod.set.is_empty()).then(|| format!("{}/{}", pod.metadata.namespace, pod.set))
}

impl Stores {
    /// The Pod and its set, if both are there and the one is the other's.
    pub(crate) fn probed(&self, key: &ObjectKey) -> Option<Probed> {
        let pod = self.pods.get(key)?;
        let set = self
            .sets
            .get(&ObjectKey::new(key.namespace.as_ref(), Arc::clone(&pod.set)))?;
        pod.is_of(&set.metadata.uid).then_some(Probed { pod, set })
    }
}

/// Keys of the Pods of a set.
pub(crate) fn pods_of(pods: &Store<PodView>, set: &SetView) -> impl Iterator<Item = ObjectKey> + use<> {
    let set = format!("{}/{}", set.metadata.namespace, set.metadata.name);
    let pods = pods.by_index(PODS_BY_SET, &set);
    pods.into_iter().map(|pod| ObjectKey::of(&pod.metadata))
}

/// Identity and version of a cached object.
pub(crate) fn version(meta: &Meta) -> Version<'_> {
    Version {
        uid: &meta.uid,
        resource_version: &meta.resource_version,
    }
}

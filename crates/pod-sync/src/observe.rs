//! What is known about one game server: the caches, and our own latest write where it is ahead of them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use api_types::{
    eviction::Policy,
    views::{GameServerView, PodView},
};
use controller_kit::{key::ObjectKey, store::Store};

use crate::{
    overlay,
    plan::{Eviction, Observed},
    template::SetTemplate,
};

/// The stores of the three watches, and what we wrote.
///
/// A store is filled in after its watch has started; a callback that runs earlier finds nothing there, which is why all
/// Pods are swept once every watch is primed.
#[derive(Default)]
pub(crate) struct Observer {
    pub(crate) servers: OnceLock<Store<GameServerView>>,
    pub(crate) pods: OnceLock<Store<PodView>>,
    pub(crate) sets: OnceLock<Store<SetTemplate>>,
    /// Pods as our acknowledged patches left them, until the watch has caught up: a handful at any moment.
    written: Mutex<HashMap<ObjectKey, Arc<PodView>>>,
    /// What sets mean that do not say who may evict their servers.
    default_eviction: Policy,
}

/// All there is to decide from, held while the decision is made.
pub(crate) struct Snapshot {
    pub(crate) server: Option<Arc<GameServerView>>,
    pub(crate) pod: Arc<PodView>,
    set: Option<Arc<SetTemplate>>,
    default_eviction: Policy,
}

impl Snapshot {
    pub(crate) fn observed(&self) -> Observed<'_> {
        Observed {
            server: self.server.as_deref(),
            pod: &self.pod,
            template: self.set.as_deref().map(|set| &set.images),
            eviction: self.set.as_deref().map(|set| Eviction {
                policy: set.eviction.policy.unwrap_or(self.default_eviction),
                set: set.eviction,
            }),
        }
    }
}

impl Observer {
    /// Knows nothing yet. `default_eviction` is what sets mean that do not say who may evict their servers.
    pub(crate) fn new(default_eviction: Policy) -> Self {
        Self {
            default_eviction,
            ..Self::default()
        }
    }

    /// What is known about `key`; `None` without a Pod.
    pub(crate) fn snapshot(&self, key: &ObjectKey) -> Option<Snapshot> {
        let cached = self.pods.get()?.get(key)?;
        let written = self
            .written()
            .get(key)
            .filter(|ours| overlay::is_ahead(ours, &cached))
            .cloned();
        let pod = written.unwrap_or(cached);
        let set = pod.owner_set().and_then(|set| {
            self.sets
                .get()?
                .get(&ObjectKey::new(Arc::clone(&key.namespace), set))
        });
        let server = self.servers.get().and_then(|servers| servers.get(key));
        Some(Snapshot {
            server,
            pod,
            set,
            default_eviction: self.default_eviction,
        })
    }

    /// Remembers an acknowledged write until the Pod watch shows it. The event often comes before the answer: then there is
    /// nothing to remember. The store is read under the lock, so an event cannot slip in between.
    pub(crate) fn wrote(&self, key: &ObjectKey, pod: PodView) {
        let mut written = self.written();
        let cached = self.pods.get().and_then(|pods| pods.get(key));
        if cached.is_some_and(|cached| overlay::is_ahead(&pod, &cached)) {
            written.insert(key.clone(), Arc::new(pod));
        }
    }

    /// The Pod watch delivered `pod`.
    pub(crate) fn pod_seen(&self, key: &ObjectKey, pod: &PodView) {
        let mut written = self.written();
        if written.get(key).is_some_and(|ours| !overlay::is_ahead(ours, pod)) {
            written.remove(key);
        }
    }

    /// The Pod is gone.
    pub(crate) fn pod_gone(&self, key: &ObjectKey) {
        self.written().remove(key);
    }

    fn written(&self) -> MutexGuard<'_, HashMap<ObjectKey, Arc<PodView>>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::synced_pod;

    fn pod(version: &str, ops_state: &str) -> PodView {
        synced_pod()
            .metadata("resourceVersion", json!(version))
            .label("game.kruise.io/gs-opsState", ops_state)
            .view()
    }

    fn shown(observer: &Observer, key: &ObjectKey) -> String {
        observer.snapshot(key).unwrap().pod.metadata.labels["game.kruise.io/gs-opsState"].to_owned()
    }

    fn observer(key: &ObjectKey, pod: PodView) -> Observer {
        let observer = Observer::default();
        let pods = Store::new(Vec::new());
        pods.insert(key, Arc::new(pod));
        assert!(observer.pods.set(pods).is_ok());
        observer
    }

    #[test]
    fn snapshot_shows_our_write_until_the_watch_has_it() {
        let key = ObjectKey::new("games", "arena-0");
        let observer = observer(&key, pod("100", "None"));
        observer.wrote(&key, pod("105", "Allocated"));
        assert_eq!(shown(&observer, &key), "Allocated");

        // An event older than our write (the kubelet's, say) does not hide it.
        observer
            .pods
            .get()
            .unwrap()
            .insert(&key, Arc::new(pod("103", "None")));
        observer.pod_seen(&key, &pod("103", "None"));
        assert_eq!(shown(&observer, &key), "Allocated");

        observer
            .pods
            .get()
            .unwrap()
            .insert(&key, Arc::new(pod("106", "Kill")));
        observer.pod_seen(&key, &pod("106", "Kill"));
        assert_eq!(shown(&observer, &key), "Kill");
        assert!(observer.written().is_empty());
    }

    #[test]
    fn snapshot_remembers_nothing_when_the_event_came_before_the_answer() {
        let key = ObjectKey::new("games", "arena-0");
        let observer = observer(&key, pod("105", "Allocated"));
        observer.wrote(&key, pod("105", "Allocated"));
        assert!(observer.written().is_empty());
    }

    #[test]
    fn snapshot_never_takes_one_pods_write_for_another() {
        let key = ObjectKey::new("games", "arena-0");
        let observer = observer(&key, pod("100", "None"));
        observer.wrote(&key, pod("105", "Allocated"));
        let replaced = PodView {
            metadata: api_types::views::Meta {
                uid: "next".into(),
                ..pod("90", "None").metadata
            },
            ..pod("90", "None")
        };
        observer.pods.get().unwrap().insert(&key, Arc::new(replaced));
        assert_eq!(shown(&observer, &key), "None");
    }
}

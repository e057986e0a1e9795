//! An independent witness: every revision of every Pod, in order, with the time it was seen.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Instant,
};

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, WatchEvent, WatchParams};

use super::{World, annotation, label};

/// One revision of one Pod.
#[derive(Clone, Debug)]
pub(crate) struct Revision {
    pub(crate) pod: Pod,
    pub(crate) seen: Instant,
}

impl Revision {
    /// The GameServer generation the Pod shows.
    pub(crate) fn generation(&self) -> i64 {
        annotation(&self.pod, "synced-generation").map_or(0, |text| text.parse().unwrap())
    }

    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        label(&self.pod, key)
    }
}

/// A watch on the world's Pods.
pub(crate) struct PodWatch {
    revisions: Arc<Mutex<Vec<Revision>>>,
    task: tokio::task::JoinHandle<()>,
}

impl PodWatch {
    /// Sees every revision made after this call.
    pub(crate) async fn start(world: &World) -> Self {
        let version = world
            .pods
            .list(&ListParams::default().limit(1))
            .await
            .unwrap()
            .metadata
            .resource_version
            .unwrap();
        let revisions = Arc::new(Mutex::new(Vec::new()));
        let (api, sink) = (world.pods.clone(), Arc::clone(&revisions));
        let params = WatchParams::default().timeout(290).disable_bookmarks();
        let mut events = api.watch(&params, &version).await.unwrap().boxed();
        let task = tokio::spawn(async move {
            while let Ok(Some(event)) = events.try_next().await {
                if let WatchEvent::Added(pod) | WatchEvent::Modified(pod) = event {
                    sink.lock().unwrap().push(Revision {
                        pod,
                        seen: Instant::now(),
                    });
                }
            }
        });
        Self { revisions, task }
    }

    /// All revisions so far.
    pub(crate) fn revisions(&self) -> Vec<Revision> {
        self.revisions.lock().unwrap().clone()
    }

    /// Revisions of one Pod so far.
    pub(crate) fn of(&self, name: &str) -> Vec<Revision> {
        let mut revisions = self.revisions();
        revisions.retain(|revision| revision.pod.metadata.name.as_deref() == Some(name));
        revisions
    }

    /// Fails if any Pod ever went back to an older GameServer.
    pub(crate) fn assert_never_back(&self) {
        let mut shown: BTreeMap<String, i64> = BTreeMap::new();
        for revision in self.revisions() {
            let name = revision.pod.metadata.name.clone().unwrap();
            let before = shown
                .insert(name.clone(), revision.generation())
                .unwrap_or_default();
            assert!(
                revision.generation() >= before,
                "{name} went back from {before} to {}",
                revision.generation()
            );
        }
        assert!(!shown.is_empty(), "the witness saw nothing");
    }
}

impl Drop for PodWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

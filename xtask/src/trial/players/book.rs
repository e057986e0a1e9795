//! What an observer that knows nothing of the controllers saw of Pods and GameServers, and what the players reported.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api_types::{GameServer, keys};
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use tokio_util::task::AbortOnDropHandle;

use crate::trial::is_ready;

/// One Pod.
#[derive(Debug, Clone, Default)]
pub(super) struct SeenPod {
    pub(super) uid: String,
    pub(super) ready: bool,
    pub(super) terminating: bool,
    pub(super) image: String,
}

/// One GameServer.
#[derive(Debug, Clone, Default)]
pub(super) struct SeenServer {
    pub(super) uid: String,
    pub(super) pod_uid: String,
    /// Reason of its deletion claim.
    pub(super) claim: Option<String>,
    pub(super) node: Option<String>,
}

/// All that was seen and said.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) pods: BTreeMap<String, SeenPod>,
    pub(super) servers: BTreeMap<String, SeenServer>,
    /// Players that the API server acknowledged, by the Pod's UID.
    pub(super) players: BTreeMap<String, u32>,
    /// Pods whose deletion was accepted, by UID, with their names.
    ended: BTreeMap<String, String>,
    /// Pods that may go with players on them: they have failed.
    pub(super) excused: BTreeSet<String>,
}

impl Book {
    /// Players on the Pod of this name.
    pub(super) fn players_on(&self, pod: &SeenPod) -> u32 {
        self.players.get(&pod.uid).copied().unwrap_or(0)
    }

    /// Pods that were deleted though players were on them, by the last report that was acknowledged.
    ///
    /// Asked when nothing is under way: an acknowledgement may reach the program after the deletion that it precedes.
    pub(super) fn dropped(&self) -> Vec<String> {
        let with_players = self.players.iter().filter(|(_, count)| **count > 0);
        with_players
            .filter(|(uid, _)| !self.excused.contains(*uid))
            .filter_map(|(uid, count)| {
                let name = self.ended.get(uid)?;
                Some(format!(
                    "{name} (Pod {uid}) was deleted with {count} players on it"
                ))
            })
            .collect()
    }

    fn pod_applied(&mut self, pod: &Pod) {
        let seen = SeenPod {
            uid: pod.uid().unwrap_or_default(),
            ready: is_ready(pod),
            terminating: pod.metadata.deletion_timestamp.is_some(),
            image: pod
                .spec
                .as_ref()
                .and_then(|spec| spec.containers.first()?.image.clone())
                .unwrap_or_default(),
        };
        if seen.terminating {
            self.ended.insert(seen.uid.clone(), pod.name_any());
        }
        self.pods.insert(pod.name_any(), seen);
    }

    fn pod_gone(&mut self, pod: &Pod) {
        let (name, uid) = (pod.name_any(), pod.uid().unwrap_or_default());
        // A Pod that left the set, running, leaves this watch too.
        let removed = pod.labels().contains_key(keys::label::REMOVED_FROM_GSS);
        if !removed {
            self.ended.insert(uid.clone(), name.clone());
        }
        if self.pods.get(&name).is_some_and(|seen| seen.uid == uid) {
            self.pods.remove(&name);
        }
    }

    fn server_applied(&mut self, server: &GameServer) {
        let status = server.status.as_ref();
        let owners = server.owner_references();
        let pod = owners.iter().find(|owner| owner.kind == "Pod");
        let seen = SeenServer {
            uid: server.uid().unwrap_or_default(),
            pod_uid: pod.map(|owner| owner.uid.clone()).unwrap_or_default(),
            claim: status
                .and_then(|status| status.deletion_claim.as_ref())
                .map(|claim| claim.reason.clone()),
            node: status.and_then(|status| status.node_name.clone()),
        };
        self.servers.insert(server.name_any(), seen);
    }
}

/// The book, which two watches and the players write to.
#[derive(Clone, Default)]
pub(super) struct Shared(Arc<Mutex<Book>>);

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts both watches.
    pub(super) fn observe(&self, client: &Client, namespace: &str) -> [AbortOnDropHandle<()>; 2] {
        let (pods, servers) = (self.clone(), self.clone());
        let config = watcher::Config::default().labels(keys::label::OWNER_GSS);
        let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let mut pod_events = Box::pin(watcher(api, config).default_backoff());
        let api: Api<GameServer> = Api::namespaced(client.clone(), namespace);
        let mut server_events = Box::pin(watcher(api, watcher::Config::default()).default_backoff());
        let watching_pods = tokio::spawn(async move {
            loop {
                match pod_events.try_next().await {
                    Ok(Some(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod))) => {
                        pods.lock().pod_applied(&pod);
                    }
                    Ok(Some(watcher::Event::Delete(pod))) => pods.lock().pod_gone(&pod),
                    Ok(Some(watcher::Event::Init)) => pods.lock().pods.clear(),
                    Ok(Some(watcher::Event::InitDone)) | Err(_) => {}
                    Ok(None) => return,
                }
            }
        });
        let watching_servers = tokio::spawn(async move {
            loop {
                match server_events.try_next().await {
                    Ok(Some(watcher::Event::Apply(server) | watcher::Event::InitApply(server))) => {
                        servers.lock().server_applied(&server);
                    }
                    Ok(Some(watcher::Event::Delete(server))) => {
                        let gone = server.uid();
                        let mut book = servers.lock();
                        if book.servers.get(&server.name_any()).map(|seen| &seen.uid) == gone.as_ref() {
                            book.servers.remove(&server.name_any());
                        }
                    }
                    Ok(Some(watcher::Event::Init)) => servers.lock().servers.clear(),
                    Ok(Some(watcher::Event::InitDone)) | Err(_) => {}
                    Ok(None) => return,
                }
            }
        });
        [
            AbortOnDropHandle::new(watching_pods),
            AbortOnDropHandle::new(watching_servers),
        ]
    }
}

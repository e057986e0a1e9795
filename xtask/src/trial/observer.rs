//! Watches Pods and GameServers independently of the controllers, and keeps account of what must never happen.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api_types::{GameServer, keys, names};
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use kube::runtime::watcher;
use kube::{Client, ResourceExt as _};
use tokio_util::task::AbortOnDropHandle;

/// What the observer knows of one game server.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) ops_state: String,
    pub(super) resource_version: String,
    pub(super) ready: bool,
    pub(super) pod_uid: Option<String>,
    pub(super) claimed: bool,
}

/// One live Pod as the observer sees it.
#[derive(Debug, Clone, Default)]
pub(super) struct SeenPod {
    pub(super) uid: String,
    pub(super) ready: bool,
    pub(super) terminating: bool,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) synced_generation: i64,
}

#[derive(Default)]
/// Everything seen, and what was wrong with it.
pub(super) struct Ledger {
    pub(super) servers: HashMap<String, Seen>,
    pub(super) pods: HashMap<String, SeenPod>,
    /// Acknowledged and not yet released: name to Pod UID.
    pub(super) allocated: HashMap<String, String>,
    /// Acknowledged allocations whose Pod was deleted before their release, and how that was seen.
    pub(super) lost: BTreeMap<String, String>,
    pub(super) violations: Vec<String>,
}

impl Ledger {
    pub(super) fn difference(&self, expected: usize, reserved: &BTreeSet<u32>) -> Option<String> {
        if self.pods.len() != expected {
            return Some(format!("{} Pods, expected {expected}", self.pods.len()));
        }
        if self.servers.len() != expected {
            return Some(format!("{} GameServers, expected {expected}", self.servers.len()));
        }
        for (name, pod) in &self.pods {
            if names::ordinal_of(name).is_some_and(|id| reserved.contains(&id)) {
                return Some(format!("{name} uses a reserved id"));
            }
            if pod.terminating || !pod.ready {
                return Some(format!("{name} isn't Ready"));
            }
            let Some(server) = self.servers.get(name) else {
                return Some(format!("{name} has no GameServer"));
            };
            if server.claimed {
                return Some(format!("{name} carries a deletion claim at rest"));
            }
            if server.pod_uid.as_ref() != Some(&pod.uid) {
                return Some(format!("GameServer {name} belongs to another Pod"));
            }
            if !server.ready {
                return Some(format!("GameServer {name} isn't Ready"));
            }
            for (key, value) in [
                (keys::label::GS_OPS_STATE, server.ops_state.as_str()),
                (keys::label::GS_STATE, "Ready"),
            ] {
                if pod.labels.get(key).map(String::as_str) != Some(value) {
                    return Some(format!(
                        "label {key} of {name} is {:?}, not {value}",
                        pod.labels.get(key)
                    ));
                }
            }
        }
        None
    }

    fn pod_applied(&mut self, pod: &Pod, reserved: &BTreeSet<u32>) {
        let name = pod.name_any();
        let seen = SeenPod {
            uid: pod.uid().unwrap_or_default(),
            ready: is_ready(pod),
            terminating: pod.metadata.deletion_timestamp.is_some(),
            labels: pod.labels().clone(),
            synced_generation: pod
                .annotations()
                .get(keys::annotation::SYNCED_GENERATION)
                .and_then(|g| g.parse().ok())
                .unwrap_or(0),
        };
        match self.pods.get(&name) {
            Some(before) if before.uid == seen.uid => {
                if seen.synced_generation < before.synced_generation {
                    self.violations
                        .push(format!("{name}: synced-generation went backwards"));
                }
            }
            Some(before) if !before.terminating => {
                self.violations.push(format!(
                    "{name}: a second Pod while the first was not terminating"
                ));
            }
            _ => {
                if names::ordinal_of(&name).is_some_and(|id| reserved.contains(&id)) {
                    self.violations.push(format!("{name}: a Pod on a reserved id"));
                }
            }
        }
        if seen.terminating && self.allocated.get(&name) == Some(&seen.uid) {
            self.note_lost(&name, "its Pod is being deleted");
        }
        self.pods.insert(name, seen);
    }

    /// Notes a lost allocation once, with what is needed to find out why.
    pub(super) fn note_lost(&mut self, name: &str, how: &str) {
        let server = self.servers.get(name);
        let server = server.map_or("no GameServer is seen".to_owned(), |seen| {
            format!(
                "GameServer version {}, opsState {}, ready {}, claimed {}, of Pod {:?}",
                seen.resource_version, seen.ops_state, seen.ready, seen.claimed, seen.pod_uid
            )
        });
        let pod = self
            .pods
            .get(name)
            .map(|pod| (&pod.uid, pod.terminating, pod.ready));
        let text = format!(
            "{name}, allocated as Pod {:?}: {how}; {server}; Pod seen (UID, terminating, ready): {pod:?}",
            self.allocated.get(name)
        );
        self.lost.entry(name.to_owned()).or_insert(text);
    }

    fn pod_deleted(&mut self, pod: &Pod) {
        let name = pod.name_any();
        let uid = pod.uid().unwrap_or_default();
        if self.allocated.get(&name) == Some(&uid) {
            self.note_lost(&name, "its Pod was deleted");
        }
        if self.pods.get(&name).is_some_and(|seen| seen.uid == uid) {
            self.pods.remove(&name);
        }
    }
}

pub(super) fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the Pod's condition Ready is True.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
}

pub(super) fn owner_pod(server: &GameServer) -> Option<String> {
    server
        .owner_references()
        .iter()
        .find(|o| o.kind == "Pod")
        .map(|o| o.uid.clone())
}

pub(super) fn observe_pods(
    client: &Client,
    namespace: &str,
    ledger: Arc<Mutex<Ledger>>,
    reserved: BTreeSet<u32>,
) -> AbortOnDropHandle<()> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let config = watcher::Config::default().labels(keys::label::OWNER_GSS);
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut events = Box::pin(kube::runtime::WatchStreamExt::default_backoff(watcher(
            api, config,
        )));
        loop {
            match events.try_next().await {
                Ok(Some(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod))) => {
                    lock(&ledger).pod_applied(&pod, &reserved);
                }
                Ok(Some(watcher::Event::Delete(pod))) => lock(&ledger).pod_deleted(&pod),
                // A relist starts: what vanished meanwhile is only known by its absence.
                Ok(Some(watcher::Event::Init)) => lock(&ledger).pods.clear(),
                Ok(Some(watcher::Event::InitDone)) | Err(_) => {}
                Ok(None) => return,
            }
        }
    }))
}

pub(super) fn observe_servers(
    client: &Client,
    namespace: &str,
    ledger: Arc<Mutex<Ledger>>,
) -> AbortOnDropHandle<()> {
    let api: Api<GameServer> = Api::namespaced(client.clone(), namespace);
    AbortOnDropHandle::new(tokio::spawn(async move {
        let stream = watcher(api, watcher::Config::default());
        let mut events = Box::pin(kube::runtime::WatchStreamExt::default_backoff(stream));
        loop {
            match events.try_next().await {
                Ok(Some(watcher::Event::Apply(server) | watcher::Event::InitApply(server))) => {
                    let status = server.status.as_ref();
                    let seen = Seen {
                        ops_state: server.spec.ops_state.clone().unwrap_or_default(),
                        resource_version: server.resource_version().unwrap_or_default(),
                        ready: status.is_some_and(|s| s.current_state.as_deref() == Some("Ready")),
                        pod_uid: owner_pod(&server),
                        claimed: status.is_some_and(|s| s.deletion_claim.is_some()),
                    };
                    lock(&ledger).servers.insert(server.name_any(), seen);
                }
                Ok(Some(watcher::Event::Delete(server))) => {
                    lock(&ledger).servers.remove(&server.name_any());
                }
                Ok(Some(watcher::Event::Init)) => lock(&ledger).servers.clear(),
                Ok(Some(watcher::Event::InitDone)) | Err(_) => {}
                Ok(None) => return,
            }
        }
    }))
}

//! One GameServerSet in a namespace of its own, an allocator, and an observer that sees every change independently of the controllers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use api_types::{GameServer, GameServerSet, keys, names};
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher;
use kube::{Client, ResourceExt as _};
use rand::Rng;
use rand::seq::IteratorRandom as _;
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;

/// What the CRD answers to an allocation that comes after the deletion claim.
const CLAIM_MESSAGE: &str = "this game server is being deleted and can no longer be allocated";

/// How the set of an [`Arena`] is made.
#[derive(Debug, Clone, Copy)]
pub struct ArenaSpec {
    /// First value of `spec.replicas`.
    pub replicas: u32,
    /// `spec.scaleStrategy.protectAllocated`.
    pub protect_allocated: bool,
    /// Reserve ids 3 and 10–12.
    pub reserve: bool,
}

/// What became of one allocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allocation {
    /// The API server acknowledged it.
    Acknowledged {
        /// The server's name.
        name: String,
        /// Its Pod at that moment.
        pod_uid: String,
    },
    /// Somebody else changed the server in between; an allocator tries another.
    Conflict,
    /// Refused because the server is being deleted.
    Refused,
    /// Refused with another message, which is a violation.
    WrongMessage(String),
    /// No server could be allocated.
    NoneFree,
}

/// What the observer knows of one game server.
#[derive(Debug, Clone, Default)]
struct Seen {
    ops_state: String,
    resource_version: String,
    ready: bool,
    pod_uid: Option<String>,
    claimed: bool,
}

/// One live Pod as the observer sees it.
#[derive(Debug, Clone, Default)]
struct SeenPod {
    uid: String,
    ready: bool,
    terminating: bool,
    labels: BTreeMap<String, String>,
    synced_generation: i64,
}

#[derive(Default)]
struct Ledger {
    servers: HashMap<String, Seen>,
    pods: HashMap<String, SeenPod>,
    /// Acknowledged and not yet released: name to Pod UID.
    allocated: HashMap<String, String>,
    /// Acknowledged allocations whose Pod was deleted before their release.
    lost: BTreeSet<String>,
    violations: Vec<String>,
}

/// A set under trial.
pub struct Arena {
    client: Client,
    /// Namespace of the set, made for it.
    pub namespace: String,
    ledger: Arc<Mutex<Ledger>>,
    reserved: BTreeSet<u32>,
    _observers: Vec<AbortOnDropHandle<()>>,
}

const SET: &str = "arena";

impl Arena {
    /// Makes a namespace and the set in it, and starts observing.
    ///
    /// # Errors
    /// When the API server refuses either.
    pub async fn create(client: &Client, spec: ArenaSpec) -> Result<Self> {
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let wanted: Namespace = serde_json::from_value(json!({"metadata": {"generateName": "arena-"}}))?;
        let namespace = namespaces
            .create(&PostParams::default(), &wanted)
            .await?
            .name_any();
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let reserved: BTreeSet<u32> = if spec.reserve {
            [3, 10, 11, 12].into()
        } else {
            BTreeSet::new()
        };
        let observers = vec![
            observe_pods(client, &namespace, ledger.clone(), reserved.clone()),
            observe_servers(client, &namespace, ledger.clone()),
        ];
        let arena = Self {
            client: client.clone(),
            namespace,
            ledger,
            reserved,
            _observers: observers,
        };
        let sets: Api<GameServerSet> = Api::namespaced(client.clone(), &arena.namespace);
        sets.create(
            &PostParams::default(),
            &serde_json::from_value(arena.manifest(spec))?,
        )
        .await?;
        Ok(arena)
    }

    fn manifest(&self, spec: ArenaSpec) -> serde_json::Value {
        let mut manifest = json!({
            "apiVersion": "game.kruise.io/v1alpha1",
            "kind": "GameServerSet",
            "metadata": {"name": SET, "namespace": self.namespace},
            "spec": {
                "replicas": spec.replicas,
                "scaleStrategy": {"protectAllocated": spec.protect_allocated},
                "gameServerTemplate": {"spec": {"terminationGracePeriodSeconds": 0,
                    "containers": [{"name": "game", "image": "example.invalid/game:1"}]}},
            },
        });
        if spec.reserve {
            manifest["spec"]["reserveGameServerIds"] = json!([3, "10-12"]);
        }
        manifest
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    fn servers(&self) -> Api<GameServer> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn sets(&self) -> Api<GameServerSet> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Sets `spec.replicas`.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn scale(&self, replicas: u32) -> Result<()> {
        let patch = json!({"spec": {"replicas": replicas}});
        self.sets()
            .patch(SET, &PatchParams::default(), &Patch::Merge(&patch))
            .await?;
        Ok(())
    }

    /// Allocates a random Ready server that shows opsState None, with the `resourceVersion` that was read. It knows nothing of
    /// deletion claims, as allocators written for OpenKruiseGame don't.
    ///
    /// # Errors
    /// When the API server can't be reached.
    pub async fn allocate(&self, rng: &mut (impl Rng + Send)) -> Result<Allocation> {
        let choice = {
            let ledger = self.ledger();
            let free = ledger
                .servers
                .iter()
                .filter(|(_, s)| s.ready && s.ops_state == "None");
            free.choose(rng).map(|(name, seen)| (name.clone(), seen.clone()))
        };
        let Some((name, seen)) = choice else {
            return Ok(Allocation::NoneFree);
        };
        let patch = json!({"metadata": {"resourceVersion": seen.resource_version}, "spec": {"opsState": "Allocated"}});
        match self
            .servers()
            .patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
        {
            Ok(server) => {
                let pod_uid = owner_pod(&server).unwrap_or_default();
                let mut ledger = self.ledger();
                ledger.allocated.insert(name.clone(), pod_uid.clone());
                // The observer may have seen this Pod's deletion already; the acknowledgement still came first in etcd's order
                // only if the claim was refused, which it was not: count it.
                if ledger
                    .pods
                    .get(&name)
                    .is_none_or(|pod| pod.uid == pod_uid && pod.terminating)
                {
                    ledger.lost.insert(name.clone());
                }
                Ok(Allocation::Acknowledged { name, pod_uid })
            }
            Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => {
                Ok(Allocation::Conflict)
            }
            Err(kube::Error::Api(status)) if status.message.contains(CLAIM_MESSAGE) => {
                Ok(Allocation::Refused)
            }
            Err(kube::Error::Api(status)) if status.code == 422 => {
                Ok(Allocation::WrongMessage(status.message.clone()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Ends an allocation: opsState None again, unless the server is gone.
    ///
    /// # Errors
    /// When the API server can't be reached.
    pub async fn release(&self, name: &str) -> Result<()> {
        let patch = json!({"spec": {"opsState": "None"}});
        let known = self.ledger().allocated.remove(name).is_some();
        if !known {
            return Ok(());
        }
        match self
            .servers()
            .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
        {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends every allocation.
    ///
    /// # Errors
    /// As [`Arena::release`].
    pub async fn release_all(&self) -> Result<()> {
        let names: Vec<String> = self.ledger().allocated.keys().cloned().collect();
        for name in names {
            self.release(&name).await?;
        }
        Ok(())
    }

    /// Allocated servers whose Pod is still there.
    pub fn allocated(&self) -> usize {
        self.ledger().allocated.len()
    }

    /// Acknowledged allocations whose Pod was deleted before their release.
    pub fn lost(&self) -> usize {
        self.ledger().lost.len()
    }

    /// Forgets the lost allocations, so that the next phase counts its own.
    pub fn forget_lost(&self) {
        let mut ledger = self.ledger();
        let lost = std::mem::take(&mut ledger.lost);
        ledger.allocated.retain(|name, _| !lost.contains(name));
    }

    /// Live Pods that are not allocated.
    pub fn unallocated_survivors(&self) -> usize {
        let ledger = self.ledger();
        ledger
            .pods
            .iter()
            .filter(|(name, pod)| !pod.terminating && !ledger.allocated.contains_key(*name))
            .count()
    }

    /// What the observer found wrong so far.
    pub fn violations(&self) -> Vec<String> {
        self.ledger().violations.clone()
    }

    /// Waits until `expected` servers are Ready and everything about them agrees; gives the ids.
    ///
    /// # Errors
    /// After `limit`, with what still differs.
    pub async fn wait_settled(&self, expected: usize, limit: Duration) -> Result<BTreeSet<u32>> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let difference = self.difference(expected).await?;
            let Some(difference) = difference else {
                return Ok(self.ids());
            };
            if tokio::time::Instant::now() > deadline {
                bail!("not settled after {} s: {difference}", limit.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn ids(&self) -> BTreeSet<u32> {
        self.ledger()
            .pods
            .keys()
            .filter_map(|name| names::ordinal_of(name))
            .collect()
    }

    /// The first thing that isn't as it should be with `expected` servers at rest.
    async fn difference(&self, expected: usize) -> Result<Option<String>> {
        if let Some(difference) = self.ledger().difference(expected, &self.reserved) {
            return Ok(Some(difference));
        }
        let set = self.sets().get(SET).await?;
        let generation = set.metadata.generation;
        let Some(status) = set.status else {
            return Ok(Some("the set has no status".into()));
        };
        if status.observed_generation != generation {
            return Ok(Some(format!(
                "status.observedGeneration is {:?}, generation {generation:?}",
                status.observed_generation
            )));
        }
        if status.ready_replicas as usize != expected || status.current_replicas as usize != expected {
            return Ok(Some(format!(
                "status counts {} ready of {}, expected {expected}",
                status.ready_replicas, status.current_replicas
            )));
        }
        Ok(None)
    }

    /// Waits for `condition` of the set's status, such as "conditions has ScaleInBlocked True".
    ///
    /// # Errors
    /// After `limit`.
    pub async fn wait_condition(&self, kind: &str, status: &str, limit: Duration) -> Result<()> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let set = serde_json::to_value(self.sets().get(SET).await?)?;
            let conditions = set["status"]["conditions"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            if conditions
                .iter()
                .any(|c| c["type"] == kind && c["status"] == status)
            {
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                bail!("condition {kind} isn't {status} after {limit:?}: {conditions:?}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Deletes the namespace.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn delete(self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces
            .delete(&self.namespace, &DeleteParams::default())
            .await
            .context("can't delete the namespace")?;
        Ok(())
    }
}

impl Ledger {
    fn difference(&self, expected: usize, reserved: &BTreeSet<u32>) -> Option<String> {
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
            self.lost.insert(name.clone());
        }
        self.pods.insert(name, seen);
    }

    fn pod_deleted(&mut self, pod: &Pod) {
        let name = pod.name_any();
        let uid = pod.uid().unwrap_or_default();
        if self.allocated.get(&name) == Some(&uid) {
            self.lost.insert(name.clone());
        }
        if self.pods.get(&name).is_some_and(|seen| seen.uid == uid) {
            self.pods.remove(&name);
        }
    }
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
}

fn owner_pod(server: &GameServer) -> Option<String> {
    server
        .owner_references()
        .iter()
        .find(|o| o.kind == "Pod")
        .map(|o| o.uid.clone())
}

fn observe_pods(
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

fn observe_servers(client: &Client, namespace: &str, ledger: Arc<Mutex<Ledger>>) -> AbortOnDropHandle<()> {
    let api: Api<GameServer> = Api::namespaced(client.clone(), namespace);
    AbortOnDropHandle::new(tokio::spawn(async move {
        let stream = watcher(api, watcher::Config::default());
        let mut events = Box::pin(kube::runtime::WatchStreamExt::default_backoff(stream));
        loop {
            match events.try_next().await {
                Ok(Some(watcher::Event::Apply(server) | watcher::Event::InitApply(server))) => {
                    let status = serde_json::to_value(&server.status).unwrap_or_default();
                    let seen = Seen {
                        ops_state: server.spec.ops_state.clone().unwrap_or_default(),
                        resource_version: server.resource_version().unwrap_or_default(),
                        ready: status["currentState"] == "Ready",
                        pod_uid: owner_pod(&server),
                        claimed: !status["deletionClaim"].is_null(),
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

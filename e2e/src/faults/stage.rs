//! Where a workload acts: one namespace, as users, allocators and kubelets act on it, past every proxy.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, bail};
use api_types::{GameServer, GameServerSet};
use k8s_openapi::api::core::v1::{PersistentVolume, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::history::{GAME_SERVER, History, Observer};
use super::rest::{Rest, is_ready, is_terminating, label, text};
use super::{Ledger, allocations::Allocations, ledger::lock};

/// Name of the set of every workload.
pub const GAME: &str = "game";
/// How long a set may take to come to rest, faults and restarts included, on a machine that has time for it.
pub const BOUND: Duration = Duration::from_secs(25);
/// A set at rest must not be written to for so long.
pub const QUIET: Duration = Duration::from_millis(700);

/// One namespace with its observer.
pub struct Stage {
    /// Administrator's client, straight to the API server.
    pub client: Client,
    /// The namespace.
    pub namespace: String,
    /// What is seen of it.
    pub observer: Arc<Observer>,
    /// What the controllers did.
    pub ledger: Ledger,
    /// Decides what is random in a workload.
    pub seed: u64,
    /// What the allocator was told.
    pub allocations: Allocations,
    /// A node's name: Pods bound to it need no scheduler.
    pub node: String,
    /// How long each step may take: [`BOUND`], or more where the clean run took long.
    pub bound: Duration,
    /// Names of volumes that were made.
    pub volumes: Mutex<Vec<String>>,
}

/// Something that did not come about in time: a violation, where other errors mean that the plan could not be tried.
#[derive(Debug, thiserror::Error)]
#[error("{what}, after {} s: {why}", .bound.as_secs())]
pub struct NotInTime {
    what: String,
    why: String,
    bound: Duration,
}

impl Stage {
    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Makes the set, with `spec` merged over a spec of one container.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn create(&self, replicas: u32, spec: &Value) -> Result<()> {
        let mut object = crate::act::set_with(GAME, replicas, spec);
        object["metadata"]["namespace"] = json!(self.namespace);
        let pod = &mut object["spec"]["gameServerTemplate"]["spec"];
        pod["nodeName"] = json!(self.node);
        let set: GameServerSet = serde_json::from_value(object)?;
        let sets: Api<GameServerSet> = self.api();
        sets.create(&PostParams::default(), &set).await?;
        Ok(())
    }

    /// Merges `spec` into the set's, and waits until that is seen: what was at rest before is not at rest with it.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn patch_set(&self, spec: &Value) -> Result<()> {
        let sets: Api<GameServerSet> = self.api();
        let patch = Patch::Merge(json!({"spec": spec}));
        let patched = sets.patch(GAME, &PatchParams::default(), &patch).await?;
        self.until("the change of the set is not seen", |history| {
            let seen = history.get(super::history::SET, GAME)?["metadata"]["generation"].as_i64();
            (seen < patched.metadata.generation).then(|| format!("{seen:?}"))
        })
        .await
    }

    /// Sets `spec.replicas`.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn scale(&self, replicas: u32) -> Result<()> {
        self.patch_set(&json!({"replicas": replicas})).await
    }

    /// Deletes the set, and with it what it owns.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn delete_set(&self) -> Result<()> {
        let sets: Api<GameServerSet> = self.api();
        sets.delete(GAME, &DeleteParams::background()).await?;
        Ok(())
    }

    /// Merges `spec` into a GameServer's.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn patch_server(&self, name: &str, spec: &Value) -> Result<()> {
        self.merge::<GameServer>(name, None, &json!({"spec": spec})).await
    }

    /// Merges `patch` into a Pod or its subresource.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn patch_pod(&self, name: &str, subresource: Option<&str>, patch: &Value) -> Result<()> {
        self.merge::<Pod>(name, subresource, patch).await
    }

    /// Deletes a Pod as an eviction does.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn evict(&self, name: &str) -> Result<()> {
        let pods: Api<Pod> = self.api();
        pods.delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    async fn merge<K>(&self, name: &str, subresource: Option<&str>, patch: &Value) -> Result<()>
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let (api, params, patch) = (self.api::<K>(), PatchParams::default(), Patch::Merge(patch));
        match subresource {
            Some(subresource) => api.patch_subresource(subresource, name, &params, &patch).await?,
            None => api.patch(name, &params, &patch).await?,
        };
        Ok(())
    }

    /// Takes a server for players, if it is free, Ready, and still as it was seen; true when that was acknowledged.
    ///
    /// # Errors
    /// When the API server can't be reached.
    pub async fn allocate(&self, name: &str) -> Result<bool> {
        let seen = self.see(|history| {
            let server = history.get(GAME_SERVER, name)?;
            let pod = history.get(super::history::POD, name)?;
            let free = text(server, "/spec/opsState") == "None" || server["spec"]["opsState"].is_null();
            (free && is_ready(pod) && !is_terminating(pod))
                .then(|| text(server, "/metadata/resourceVersion").to_owned())
        });
        let Some(version) = seen else { return Ok(false) };
        let patch = json!({"metadata": {"resourceVersion": version}, "spec": {"opsState": "Allocated"}});
        let servers: Api<GameServer> = self.api();
        let answer = servers
            .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await;
        match answer {
            Ok(server) => {
                self.allocations.acknowledged(&server);
                Ok(true)
            }
            Err(kube::Error::Api(status)) if [404, 409, 422].contains(&status.code) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a server for players, as soon as nothing else is written to it.
    ///
    /// # Errors
    /// [`NotInTime`] after [`Stage::bound`]; when the API server can't be reached.
    pub async fn allocate_surely(&self, name: &str) -> Result<()> {
        let deadline = Instant::now() + self.bound;
        while !self.allocate(name).await? {
            if Instant::now() > deadline {
                let (what, why) = (format!("{name} can't be allocated"), String::new());
                return Err(self.late(what, why));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Makes a volume that waits for this claim. `nth` tells several for the same claim apart.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn volume(&self, class: &str, claim: &str, nth: usize) -> Result<()> {
        let name = format!("{}-{claim}-{nth}", self.namespace);
        let volume = json!({
            "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": "1Mi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": class,
                "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": "/tmp"},
                "claimRef": {"namespace": self.namespace, "name": claim},
            },
        });
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        volumes
            .create(&PostParams::default(), &serde_json::from_value(volume)?)
            .await?;
        lock(&self.volumes).push(name);
        Ok(())
    }

    /// Lets go of what belongs to no namespace. Volumes vanish when their claims have.
    pub async fn clear(&self) {
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let made = lock(&self.volumes).clone();
        for name in made {
            let _ = volumes.delete(&name, &DeleteParams::default()).await;
        }
    }

    /// Ends an allocation.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn release(&self, name: &str) -> Result<()> {
        self.allocations.released(name);
        self.patch_server(name, &json!({"opsState": "None"})).await
    }

    fn late(&self, what: String, why: String) -> anyhow::Error {
        let bound = self.bound;
        NotInTime { what, why, bound }.into()
    }

    /// Looks at what was seen so far.
    pub fn see<R>(&self, look: impl FnOnce(&History) -> Option<R>) -> Option<R> {
        self.observer.look(&self.namespace, look).flatten()
    }

    /// Waits until `missing` gives nothing any more.
    ///
    /// # Errors
    /// [`NotInTime`] after [`Stage::bound`].
    pub async fn until(&self, what: &str, missing: impl Fn(&History) -> Option<String>) -> Result<()> {
        let mut ticks = self.observer.open(&self.namespace);
        let deadline = Instant::now() + self.bound;
        loop {
            ticks.mark_unchanged();
            let Some(why) = self.see(&missing) else {
                return Ok(());
            };
            match timeout_at(deadline, ticks.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => bail!("the observer ended"),
                Err(_) => {
                    let what = what.to_owned();
                    return Err(self.late(what, why));
                }
            }
        }
    }

    /// Waits until the set is at rest as described.
    ///
    /// # Errors
    /// [`NotInTime`] after [`Stage::bound`].
    pub async fn settle(&self, rest: &Rest) -> Result<()> {
        self.until("not at rest", |history| rest.difference(GAME, history))
            .await
    }

    /// Waits until nothing is written any more.
    ///
    /// # Errors
    /// [`NotInTime`] after [`Stage::bound`].
    pub async fn quiet(&self) -> Result<()> {
        let deadline = Instant::now() + self.bound;
        loop {
            let since = self.ledger.last_write().elapsed();
            if since >= QUIET {
                return Ok(());
            }
            if Instant::now() > deadline {
                let last = self
                    .ledger
                    .entries()
                    .iter()
                    .rev()
                    .find(|e| e.call.mutates())
                    .cloned();
                let why = last.map_or_else(String::new, |entry| {
                    format!("last: {} {}", entry.client, entry.call)
                });
                let what = "still writing at rest".to_owned();
                return Err(self.late(what, why));
            }
            tokio::time::sleep(QUIET.saturating_sub(since)).await;
        }
    }

    /// Waits until Pods in this lifecycle state are `count`, and gives their names.
    ///
    /// # Errors
    /// [`NotInTime`] after [`Stage::bound`].
    pub async fn in_lifecycle(&self, state: &str, count: usize) -> Result<Vec<String>> {
        let named = |history: &History| -> Vec<String> {
            let key = api_types::keys::label::LIFECYCLE_STATE;
            history
                .of(super::history::POD)
                .filter(|(_, pod)| label(pod, key) == state)
                .map(|(name, _)| name.to_owned())
                .collect()
        };
        self.until(state, |history| {
            let found = named(history).len();
            (found != count).then(|| format!("{found} Pods, expected {count}"))
        })
        .await?;
        Ok(self.see(|history| Some(named(history))).unwrap_or_default())
    }
}

//! One GameServerSet in a namespace of its own, an allocator, and an observer that sees every change independently of the controllers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use api_types::{GameServer, GameServerSet, names};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use rand::Rng;
use rand::seq::IteratorRandom as _;
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;

use super::observer::{Ledger, lock, observe_pods, observe_servers, owner_pod};

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

impl ArenaSpec {
    /// A set of so many servers and nothing else.
    pub const fn plain(replicas: u32) -> Self {
        Self {
            replicas,
            protect_allocated: false,
            reserve: false,
        }
    }
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
                    ledger.note_lost(&name, "its Pod was gone when the allocation was acknowledged");
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

    /// Acknowledged allocations whose Pod was deleted before their release, each with how that was seen.
    pub fn lost(&self) -> Vec<String> {
        self.ledger().lost.values().cloned().collect()
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

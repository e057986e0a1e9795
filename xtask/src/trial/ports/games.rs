//! Two sets on shared load balancers, one that keeps its Services, and what happens to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use api_types::{GameServer, GameServerSet};
use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use rand::Rng;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};

use super::cloud::ID_ANNOTATION;

/// The sets, and whether their Services outlive the Pods.
const SETS: [(&str, bool); 2] = [("moving", false), ("fixed", true)];

/// The two sets in a namespace of their own.
pub(super) struct Games {
    client: Client,
    namespace: String,
    servers: u32,
    replicas: [AtomicU32; 2],
}

impl Games {
    /// Makes both.
    ///
    /// # Errors
    /// When the API server refuses.
    pub(super) async fn create(client: &Client, servers: u32) -> Result<Self> {
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let wanted: Namespace = serde_json::from_value(json!({"metadata": {"generateName": "ports-"}}))?;
        let namespace = namespaces
            .create(&PostParams::default(), &wanted)
            .await?
            .name_any();
        let games = Self {
            client: client.clone(),
            namespace,
            servers,
            replicas: [AtomicU32::new(servers / 2), AtomicU32::new(servers / 2)],
        };
        for index in 0..SETS.len() {
            games.make(index).await?;
        }
        Ok(games)
    }

    async fn make(&self, index: usize) -> Result<()> {
        let (name, fixed) = SETS[index];
        // Room for half of the servers on each load balancer, and little more: ports are given again soon.
        let high = 1000 + self.servers * 2 + 3;
        let conf: Value = [
            ("PortProtocols", "80,7777/UDP,9000/TCPUDP"),
            ("LoadBalancerIds", "lb-a,lb-b"),
            ("IdAnnotation", ID_ANNOTATION),
            ("MinPort", "1000"),
            ("MaxPort", &high.to_string()),
            ("BlockPorts", "1001,1004"),
            ("Fixed", if fixed { "true" } else { "false" }),
        ]
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
        let set = json!({
            "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "metadata": {"name": name},
            "spec": {
                "replicas": self.replicas[index].load(Ordering::Relaxed),
                "network": {"networkType": "Kubernetes-LoadBalancer", "networkConf": conf},
                "gameServerTemplate": {"spec": {"terminationGracePeriodSeconds": 0,
                    "containers": [{"name": "game", "image": "example.invalid/game:1"}]}},
            },
        });
        self.sets()
            .create(&PostParams::default(), &serde_json::from_value(set)?)
            .await?;
        Ok(())
    }

    fn sets(&self) -> Api<GameServerSet> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// One random change: scale, delete a Pod or a Service, disable a server or enable it, delete a set and make it anew.
    ///
    /// # Errors
    /// When the API server can't be reached.
    pub(super) async fn change(&self, rng: &mut (impl Rng + Send)) -> Result<()> {
        let index = rng.random_range(0..SETS.len());
        match rng.random_range(0..100) {
            0..40 => {
                let replicas = rng.random_range(0..=self.servers);
                self.replicas[index].store(replicas, Ordering::Relaxed);
                let patch = json!({"spec": {"replicas": replicas}});
                let patch = Patch::Merge(&patch);
                self.sets()
                    .patch(SETS[index].0, &PatchParams::default(), &patch)
                    .await?;
            }
            40..65 => self.delete_one::<Pod>(rng).await?,
            65..75 => self.delete_one::<Service>(rng).await?,
            75..95 => self.toggle(rng).await?,
            _ => {
                // In the foreground: a new set of the name would have to wait for the Pods of the old one.
                self.sets()
                    .delete(SETS[index].0, &DeleteParams::foreground())
                    .await?;
                while self.sets().get_opt(SETS[index].0).await?.is_some() {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
                self.make(index).await?;
            }
        }
        Ok(())
    }

    async fn delete_one<K>(&self, rng: &mut (impl Rng + Send)) -> Result<()>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
    {
        let all: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        let names: Vec<String> = all
            .list_metadata(&ListParams::default())
            .await?
            .iter()
            .map(kube::ResourceExt::name_any)
            .collect();
        if let Some(name) = names.choose(rng) {
            match all.delete(name, &DeleteParams::default()).await {
                Err(error) if !matches!(&error, kube::Error::Api(status) if status.code == 404) => {
                    return Err(error.into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn toggle(&self, rng: &mut (impl Rng + Send)) -> Result<()> {
        let servers = self.servers().await?;
        let Some(server) = servers.choose(rng) else {
            return Ok(());
        };
        let disabled = !server.spec.network_disabled.unwrap_or(false);
        let patch = json!({"spec": {"networkDisabled": disabled}});
        let api: Api<GameServer> = Api::namespaced(self.client.clone(), &self.namespace);
        match api
            .patch(&server.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
            .await
        {
            Err(error) if !matches!(&error, kube::Error::Api(status) if status.code == 404) => {
                Err(error.into())
            }
            _ => Ok(()),
        }
    }

    async fn servers(&self) -> Result<Vec<GameServer>> {
        let api: Api<GameServer> = Api::namespaced(self.client.clone(), &self.namespace);
        Ok(api.list(&ListParams::default()).await?.items)
    }

    /// UIDs of all Services.
    ///
    /// # Errors
    /// When they can't be read.
    pub(super) async fn service_uids(&self) -> Result<BTreeSet<String>> {
        let api: Api<Service> = Api::namespaced(self.client.clone(), &self.namespace);
        let all = api.list_metadata(&ListParams::default()).await?;
        Ok(all.iter().filter_map(kube::ResourceExt::uid).collect())
    }

    /// The first thing that isn't as it should be: so many servers, each reachable unless it is disabled.
    ///
    /// # Errors
    /// When they can't be read.
    pub(super) async fn difference(&self) -> Result<Option<String>> {
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for server in self.servers().await? {
            let set = server.labels().get("game.kruise.io/owner-gss").cloned();
            *counts.entry(set.unwrap_or_default()).or_default() += 1;
            let network = server
                .status
                .as_ref()
                .and_then(|status| status.network_status.as_ref());
            let state = network.and_then(|network| network.current_network_state.as_deref());
            let wanted = if server.spec.network_disabled.unwrap_or(false) {
                "NotReady"
            } else {
                "Ready"
            };
            if state != Some(wanted) || server.metadata.deletion_timestamp.is_some() {
                return Ok(Some(format!("{} is {state:?}, not {wanted}", server.name_any())));
            }
        }
        for ((name, _), replicas) in SETS.iter().zip(&self.replicas) {
            let (found, wanted) = (
                counts.get(*name).copied().unwrap_or(0),
                replicas.load(Ordering::Relaxed),
            );
            if found != wanted {
                return Ok(Some(format!("{name} has {found} servers, not {wanted}")));
            }
        }
        Ok(None)
    }

    /// Deletes both sets.
    ///
    /// # Errors
    /// When the API server refuses.
    pub(super) async fn delete_sets(&self) -> Result<()> {
        for (name, _) in SETS {
            self.sets().delete(name, &DeleteParams::background()).await?;
        }
        Ok(())
    }

    /// Deletes the namespace.
    ///
    /// # Errors
    /// When the API server refuses.
    pub(super) async fn delete(self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client);
        namespaces
            .delete(&self.namespace, &DeleteParams::default())
            .await?;
        Ok(())
    }
}

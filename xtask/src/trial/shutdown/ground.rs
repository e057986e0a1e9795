//! What a round is played on: the documented set, a real Envoy before it, and a real Prometheus that watches Envoy.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use e2e::World;
use e2e::gateway::{Discovery, Empty, Seen, Settings};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

use super::players::{Door, Wire};
use super::{Drain, Gateway, SERVERS};
use crate::cluster::{self, images};
use crate::envoy::Envoy;
use crate::prometheus::Prometheus;

/// The set of the documentation.
pub(super) const SET: &str = "postio";
/// Where probes ask for Prometheus; the image's start script says the same.
const PROMETHEUS_PORT: u16 = 9090;
/// Class of the Ingresses in the documentation.
const CLASS: &str = "higress";
/// Until a change in the cluster is known to Envoy.
const KNOWN: Duration = Duration::from_secs(60);

/// The ground; its Envoy and Prometheus end when it is dropped.
pub(super) struct Ground {
    /// The namespace `default`, which the manifest and the probe name.
    pub(super) world: World,
    /// What Envoy was told.
    pub(super) discovery: Discovery,
    /// The gateway.
    pub(super) envoy: Envoy,
    prometheus: Prometheus,
    _folder: tempfile::TempDir,
}

impl Ground {
    /// Starts Envoy and Prometheus, applies the set and waits until players can reach its servers.
    ///
    /// # Errors
    /// When the cluster has no real node, or a part doesn't start.
    pub(super) async fn prepare(
        client: &Client,
        kubeconfig: &Path,
        behaviour: Gateway,
        drain: Drain,
    ) -> Result<Self> {
        let name = cluster::local_name(kubeconfig);
        let cluster = cluster::find(&name.context("this needs a local cluster with a real node")?)?;
        let gateway = cluster
            .gateway
            .clone()
            .context("this needs a node that is real: --nodes kubelet=1")?;
        let manifest = e2e::cluster::manifest("posio.yaml")?;
        let mut set = mended(serde_yaml::from_str(&manifest)?, drain)?;
        if behaviour == Gateway::Keeps {
            let quality = &mut set["spec"]["serviceQualities"][0];
            quality["exec"]["command"] = json!(["bash", "./probe-mended.sh"]);
            // Who joins just before the server goes is counted only with the next scrape.
            quality["successThreshold"] = json!(2);
        }
        let image = set["spec"]["gameServerTemplate"]["spec"]["containers"][0]["image"].as_str();
        images::import(&cluster, "posio", image.context("the manifest names no image")?).await?;

        let world = World::new(client.clone(), "default".into()).await?;
        world.remove_set(SET).await?;
        let folder = tempfile::tempdir()?;
        let admin = e2e::ports::free()?;
        let settings = Settings {
            namespace: world.namespace.clone(),
            class: CLASS.into(),
            folder: folder.path().to_owned(),
            admin,
            empty: match behaviour {
                Gateway::Drops => Empty::Dropped,
                Gateway::Keeps => Empty::Kept,
            },
        };
        let (discovery, bootstrap) = Discovery::start(client, settings)?;
        let envoy = Envoy::start(&bootstrap, admin).await?;
        let address = format!("{gateway}:{PROMETHEUS_PORT}");
        let prometheus = Prometheus::start(folder.path(), address, &scrape_config(admin)).await?;
        let ground = Self {
            world,
            discovery,
            envoy,
            prometheus,
            _folder: folder,
        };
        ground.world.apply(&set).await?;
        ground.ready(SERVERS).await?;
        Ok(ground)
    }

    /// Waits until so many servers are Ready and reached by the gateway.
    ///
    /// # Errors
    /// When that takes more than a minute.
    pub(super) async fn ready(&self, servers: u32) -> Result<()> {
        self.world.at_rest(SET, &(0..servers).collect::<Vec<_>>()).await?;
        let reached = |seen: &Seen| (0..servers).all(|id| takes_players(seen, id));
        let seen = self
            .discovery
            .until(&format!("all of {servers} servers"), KNOWN, reached)
            .await?;
        // Envoy has read its files when a player is answered.
        for id in 0..servers {
            let door = door(&seen, id)?;
            for wire in Wire::ALL {
                let let_in = async {
                    while !door.lets_in(wire).await {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                };
                tokio::time::timeout(KNOWN, let_in)
                    .await
                    .with_context(|| format!("{} lets nobody in over {wire:?}", door.server))?;
            }
            self.counted(id).await?;
        }
        Ok(())
    }

    /// Waits until Prometheus knows server `id`: the documented probe takes one that doesn't answer for a server without players.
    async fn counted(&self, id: u32) -> Result<()> {
        let seen = self.discovery.now();
        let backend = seen
            .backend(&host(id))
            .context("the gateway doesn't know the server")?;
        let query = format!(
            "envoy_cluster_upstream_cx_active{{cluster_name=\"{}\"}}",
            backend.cluster
        );
        let counted = async {
            // One that has just started doesn't answer yet.
            while !matches!(self.prometheus.value(&query).await, Ok(Some(_))) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(KNOWN, counted)
            .await
            .with_context(|| format!("Prometheus doesn't know {}", server(id)))
    }

    /// The door of server `id`.
    ///
    /// # Errors
    /// When the gateway doesn't know it.
    pub(super) fn door(&self, id: u32) -> Result<Door> {
        door(&self.discovery.now(), id)
    }

    /// Whatever there is of servers from id `from` on.
    ///
    /// # Errors
    /// When the API server doesn't answer.
    pub(super) async fn left_of(&self, from: u32) -> Result<Vec<String>> {
        let (client, namespace) = (&self.world.client, &self.world.namespace);
        let services: Api<Service> = Api::namespaced(client.clone(), namespace);
        let ingresses: Api<Ingress> = Api::namespaced(client.clone(), namespace);
        let mut found = names(&self.world.pods(), "Pod").await?;
        found.extend(names(&self.world.servers(), "GameServer").await?);
        found.extend(names(&services, "Service").await?);
        found.extend(names(&ingresses, "Ingress").await?);
        found.retain(|(_, name)| id_of(name).is_some_and(|id| id >= from));
        Ok(found
            .into_iter()
            .map(|(kind, name)| format!("{kind} {name}"))
            .collect())
    }
}

async fn names<K>(api: &Api<K>, kind: &'static str) -> Result<Vec<(&'static str, String)>>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let list = api.list(&ListParams::default()).await?;
    Ok(list.iter().map(|object| (kind, object.name_any())).collect())
}

/// Whether the gateway sends new players to server `id`.
pub(super) fn takes_players(seen: &Seen, id: u32) -> bool {
    seen.backend(&host(id))
        .is_some_and(|backend| !backend.endpoints.is_empty())
}

/// Name of server `id`.
pub(super) fn server(id: u32) -> String {
    format!("{SET}-{id}")
}

fn id_of(name: &str) -> Option<u32> {
    name.strip_prefix(SET)?.strip_prefix('-')?.parse().ok()
}

fn host(id: u32) -> String {
    format!("game{id}.postio.example.com")
}

fn door(seen: &Seen, id: u32) -> Result<Door> {
    let backend = seen.backend(&host(id));
    let backend = backend.with_context(|| format!("the gateway has no {}", host(id)))?;
    let tcp = seen.tcp.get(&backend.cluster);
    Ok(Door {
        server: server(id),
        host: host(id),
        http: seen.http,
        tcp: *tcp.context("the gateway opened no port for TCP")?,
    })
}

/// The documented set with its slips mended, and a draining server taken out of service. Nothing else is changed.
fn mended(mut set: Value, drain: Drain) -> Result<Value> {
    let mounts = json!([{"name": "gsinfo", "mountPath": "/etc/gsinfo"}]);
    put(&mut set, "/spec/serviceQualities/0/containerName", json!(SET))?;
    put(
        &mut set,
        "/spec/gameServerTemplate/spec/containers/0/volumeMounts",
        mounts,
    )?;
    match drain {
        Drain::Hook => put(&mut set, "/spec/lifecycle/preDelete/markPodNotReady", json!(true))?,
        Drain::Plugin => {
            let parameters = set
                .pointer_mut("/spec/network/networkConf")
                .and_then(Value::as_array_mut);
            let parameters = parameters.context("the manifest has no networkConf")?;
            parameters.push(json!({"name": "DrainPolicy", "value": "RemoveEndpoint"}));
        }
    }
    Ok(set)
}

fn put(set: &mut Value, path: &str, value: Value) -> Result<()> {
    let (parent, key) = path.rsplit_once('/').context("no path")?;
    let object = set.pointer_mut(parent).and_then(Value::as_object_mut);
    let object = object.with_context(|| format!("the manifest has no {parent}"))?;
    object.insert(key.to_owned(), value);
    Ok(())
}

/// Every second, and nothing but the metric that probes ask for: a large page that comes late would count as no players.
fn scrape_config(admin: u16) -> Value {
    json!({
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [{
            "job_name": "envoy",
            "metrics_path": "/stats/prometheus",
            "params": {"filter": ["upstream_cx_active"]},
            "static_configs": [{"targets": [format!("127.0.0.1:{admin}")]}],
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_differs_from_the_documented_set_in_what_it_must() {
        let text = e2e::cluster::manifest("posio.yaml").unwrap();
        let documented: Value = serde_yaml::from_str(&text).unwrap();
        for drain in [Drain::Hook, Drain::Plugin] {
            let mut copy = mended(documented.clone(), drain).unwrap();
            assert_eq!(copy["spec"]["serviceQualities"][0]["containerName"], "postio");
            copy["spec"]["serviceQualities"][0]["containerName"] = json!("minecraft");
            let container = &mut copy["spec"]["gameServerTemplate"]["spec"]["containers"][0];
            container.as_object_mut().unwrap().remove("volumeMounts").unwrap();
            let hook = copy["spec"]["lifecycle"]["preDelete"].as_object_mut().unwrap();
            let marked = hook.remove("markPodNotReady");
            let parameters = copy["spec"]["network"]["networkConf"].as_array_mut().unwrap();
            let count = parameters.len();
            parameters.retain(|parameter| parameter["name"] != "DrainPolicy");
            assert_eq!(marked.is_some(), drain == Drain::Hook);
            assert_eq!(count - parameters.len(), usize::from(drain == Drain::Plugin));
            assert_eq!(copy, documented, "and in nothing else");
        }
    }

    #[test]
    fn names_and_ids() {
        assert_eq!(id_of(&server(12)), Some(12));
        assert_eq!(id_of("kubernetes"), None);
        assert_eq!(id_of("postio-x"), None);
    }
}

//! The games that run meanwhile.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use api_types::{GameServer, GameServerSet, keys};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::json;

use crate::fleet::apply_yaml;

/// Where the games are.
pub(super) const NAMESPACE: &str = "games";
/// What they run.
pub(super) const IMAGE: &str = "gamekeeper.local/demo/game:1";
/// How many of the set that is not to be touched.
pub(super) const REPLICAS: i32 = 3;
/// The set of one server whose opsState changes all the time.
pub(super) const BUSY: &str = "busy";

const SET: &str = "arena";
const LIMIT: Duration = Duration::from_secs(90);

/// What a game is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Game {
    uid: String,
    containers: Vec<(String, i32)>,
    /// Nobody has written anything if this stays.
    version: String,
}

impl Game {
    /// Whether it is the same Pod, its containers never restarted.
    pub(super) fn is_same_life(&self, other: &Self) -> bool {
        (&self.uid, &self.containers) == (&other.uid, &other.containers)
    }
}

/// The games' set.
pub(super) struct Games {
    client: Client,
    pods: Api<Pod>,
    servers: Api<GameServer>,
    sets: Api<GameServerSet>,
}

impl Games {
    /// In their namespace, which there must be.
    pub(super) fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
            pods: Api::namespaced(client.clone(), NAMESPACE),
            servers: Api::namespaced(client.clone(), NAMESPACE),
            sets: Api::namespaced(client.clone(), NAMESPACE),
        }
    }

    /// Makes the sets, waits until they run, and allocates the first server: a game is being played.
    ///
    /// # Errors
    /// When they don't run in time.
    pub(super) async fn start(&self) -> Result<()> {
        for (name, replicas) in [(SET, REPLICAS), (BUSY, 1)] {
            apply_yaml(&self.client, &manifest(name, replicas), Some(NAMESPACE)).await?;
        }
        self.ready(SET, REPLICAS as usize).await?;
        self.ready(BUSY, 1).await?;
        self.ops_state(0, "Allocated").await?;
        self.label_until(0, "Allocated").await
    }

    /// Waits until as many servers of the set are Ready, and no others there.
    async fn ready(&self, set: &str, expected: usize) -> Result<()> {
        let selector = ListParams::default().labels(&format!("{}={set}", keys::label::OWNER_GSS));
        let deadline = Instant::now() + LIMIT;
        loop {
            let servers = self.servers.list(&selector).await?.items;
            let state = |server: &GameServer| server.status.as_ref()?.current_state.clone();
            let ready = servers
                .iter()
                .filter(|server| state(server).as_deref() == Some("Ready"));
            if ready.count() == expected && servers.len() == expected {
                return Ok(());
            }
            if Instant::now() > deadline {
                let states: Vec<_> = servers
                    .iter()
                    .map(|server| (server.name_any(), state(server)))
                    .collect();
                bail!("{set} has {states:?}, and not {expected} Ready ones");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Sets the replicas, and waits for them.
    ///
    /// # Errors
    /// When they don't come in time.
    pub(super) async fn scale(&self, replicas: i32) -> Result<()> {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        self.sets.patch(SET, &PatchParams::default(), &patch).await?;
        self.ready(SET, replicas as usize).await
    }

    /// Every game by name.
    ///
    /// # Errors
    /// When one doesn't run.
    pub(super) async fn snapshot(&self) -> Result<BTreeMap<String, Game>> {
        let selector = ListParams::default().labels(&format!("{}={SET}", keys::label::OWNER_GSS));
        let pods = self.pods.list(&selector).await?.items;
        pods.iter().map(|pod| Ok((pod.name_any(), game(pod)?))).collect()
    }

    /// Patches a server's opsState, as an allocator does.
    ///
    /// # Errors
    /// When it is refused.
    pub(super) async fn ops_state(&self, id: u32, value: &str) -> Result<()> {
        let patch = Patch::Merge(json!({"spec": {"opsState": value}}));
        let name = format!("{SET}-{id}");
        self.servers.patch(&name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// The opsState that a Pod shows.
    ///
    /// # Errors
    /// When it is gone.
    pub(super) async fn label(&self, id: u32) -> Result<String> {
        let pod = self.pods.get(&format!("{SET}-{id}")).await?;
        Ok(pod
            .labels()
            .get(keys::label::GS_OPS_STATE)
            .cloned()
            .unwrap_or_default())
    }

    /// Waits until a Pod shows this opsState.
    ///
    /// # Errors
    /// When it doesn't in time.
    pub(super) async fn label_until(&self, id: u32, value: &str) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        while self.label(id).await? != value {
            if Instant::now() > deadline {
                bail!("{SET}-{id} doesn't show {value}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

fn game(pod: &Pod) -> Result<Game> {
    let status = pod.status.as_ref().context("a Pod has no status")?;
    let containers = status.container_statuses.iter().flatten();
    let running = containers
        .clone()
        .all(|it| it.state.as_ref().is_some_and(|state| state.running.is_some()));
    if !running || pod.metadata.deletion_timestamp.is_some() {
        bail!("{} doesn't run", pod.name_any());
    }
    Ok(Game {
        uid: pod.uid().context("a Pod has no UID")?,
        containers: containers
            .map(|it| (it.container_id.clone().unwrap_or_default(), it.restart_count))
            .collect(),
        version: pod.resource_version().context("a Pod has no version")?,
    })
}

fn manifest(name: &str, replicas: i32) -> String {
    json!({
        "apiVersion": "game.kruise.io/v1alpha1",
        "kind": "GameServerSet",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "gameServerTemplate": {"spec": {
                "terminationGracePeriodSeconds": 1,
                "securityContext": {"runAsNonRoot": true, "runAsUser": 10_001, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": "game",
                    "image": IMAGE,
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                }],
            }},
        },
    })
    .to_string()
}

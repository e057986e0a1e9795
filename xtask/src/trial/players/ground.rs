//! One set with players on it, in a namespace of its own.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use api_types::{GameServer, GameServerSet, GameServerSetStatus};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use super::book::{Book, Shared};

pub(super) const SET: &str = "arena";

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    /// The API server acknowledged it.
    Acknowledged,
    /// The server is being deleted, or gone: players are turned away.
    TurnedAway,
}

/// What the API server says to players who come too late.
const EMPTY_CLAIM: &str = "it takes no players any more";

/// A set, its players, and what was seen of both.
pub(super) struct Ground {
    client: Client,
    pub(super) namespace: String,
    pub(super) book: Shared,
    _observers: [AbortOnDropHandle<()>; 2],
}

impl Ground {
    /// Makes a namespace and a set of so many servers with host ports.
    pub(super) async fn create(client: &Client, replicas: u32) -> Result<Self> {
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let wanted: Namespace = serde_json::from_value(json!({"metadata": {"generateName": "players-"}}))?;
        let namespace = namespaces
            .create(&PostParams::default(), &wanted)
            .await?
            .name_any();
        let book = Shared::default();
        let ground = Self {
            client: client.clone(),
            _observers: book.observe(client, &namespace),
            namespace,
            book,
        };
        let set = json!({
            "apiVersion": "game.kruise.io/v1alpha1",
            "kind": "GameServerSet",
            "metadata": {"name": SET, "namespace": ground.namespace},
            "spec": {
                "replicas": replicas,
                "players": {"capacity": 10, "drainWhenEmpty": true},
                "failurePolicy": {"behavior": "Delete"},
                "updateStrategy": {"rollingUpdate": {"maxUnavailable": "100%"}},
                "network": {"networkType": "Kubernetes-HostPort",
                    "networkConf": [{"name": "ContainerPorts", "value": "game:7777/UDP"}]},
                "gameServerTemplate": {"spec": {"terminationGracePeriodSeconds": 0,
                    "containers": [{"name": "game", "image": "example.invalid/game:1"}]}},
            },
        });
        let sets: Api<GameServerSet> = ground.sets();
        sets.create(&PostParams::default(), &serde_json::from_value(set)?)
            .await?;
        Ok(ground)
    }

    fn sets(&self) -> Api<GameServerSet> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn servers(&self) -> Api<GameServer> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Changes the set's spec.
    pub(super) async fn change(&self, spec: &Value) -> Result<()> {
        self.sets()
            .patch(
                SET,
                &PatchParams::default(),
                &Patch::Merge(&json!({ "spec": spec })),
            )
            .await?;
        Ok(())
    }

    pub(super) async fn scale(&self, replicas: u32) -> Result<()> {
        self.change(&json!({ "replicas": replicas })).await
    }

    /// A new template, which takes new Pods.
    pub(super) async fn update(&self, version: u32) -> Result<String> {
        let image = format!("example.invalid/game:{version}");
        let containers = json!([{"name": "game", "image": image}]);
        self.change(&json!({"gameServerTemplate": {"spec": {"containers": containers}}}))
            .await?;
        Ok(image)
    }

    /// Marks a server for deletion, as people do.
    pub(super) async fn mark(&self, name: &str) -> Result<()> {
        let body = json!({"spec": {"markedForDeletion": true}});
        self.servers()
            .patch(name, &PatchParams::default(), &Patch::Merge(&body))
            .await?;
        Ok(())
    }

    /// An allocation; the answer is why it was refused.
    pub(super) async fn allocate(&self, name: &str) -> Result<Option<String>> {
        let body = json!({"spec": {"opsState": "Allocated"}});
        match self
            .servers()
            .patch(name, &PatchParams::default(), &Patch::Merge(&body))
            .await
        {
            Ok(_) => Ok(None),
            Err(kube::Error::Api(status)) if status.code == 422 => Ok(Some(status.message.clone())),
            Err(error) => Err(error.into()),
        }
    }

    /// Reports players of the server's Pod, as game-api writes them.
    pub(super) async fn report(&self, name: &str, players: u32) -> Result<Report> {
        self.send(name, players, "Healthy").await
    }

    /// The server says that it has failed.
    pub(super) async fn fail(&self, name: &str) -> Result<Report> {
        self.send(name, 0, "Failed").await
    }

    async fn send(&self, name: &str, players: u32, health: &str) -> Result<Report> {
        let seen = self.book.lock().servers.get(name).cloned();
        let Some(seen) = seen.filter(|seen| !seen.pod_uid.is_empty()) else {
            return Ok(Report::TurnedAway);
        };
        if health == "Failed" {
            self.book.lock().excused.insert(seen.pod_uid.clone());
        }
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        // The UID of the GameServer is that of this Pod's record: a later one of the name answers with a conflict.
        let body = json!({
            "metadata": {"uid": seen.uid},
            "status": {
                "players": {"count": players, "reportedAt": now},
                "reported": {"podUID": seen.pod_uid, "health": health, "state": "Running", "heartbeatAt": now},
            },
        });
        match self
            .servers()
            .patch_status(name, &PatchParams::default(), &Patch::Merge(&body))
            .await
        {
            Ok(_) => {
                self.book.lock().players.insert(seen.pod_uid, players);
                Ok(Report::Acknowledged)
            }
            Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => Ok(Report::TurnedAway),
            Err(kube::Error::Api(status)) if status.message.contains(EMPTY_CLAIM) => Ok(Report::TurnedAway),
            Err(error) => Err(error.into()),
        }
    }

    /// The set's status.
    pub(super) async fn status(&self) -> Result<GameServerSetStatus> {
        let set = self.sets().get(SET).await?;
        set.status.context("the set has no status")
    }

    /// Waits until the book is as `wanted` says, which gives what still differs.
    pub(super) async fn until(
        &self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Book) -> Option<String>,
    ) -> Result<()> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let difference = wanted(&self.book.lock());
            let Some(difference) = difference else {
                return Ok(());
            };
            if tokio::time::Instant::now() > deadline {
                bail!("{what}: not after {} s: {difference}", limit.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the set's status is as wanted.
    pub(super) async fn until_status(
        &self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&GameServerSetStatus) -> bool,
    ) -> Result<()> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let status = self.status().await.unwrap_or_default();
            if wanted(&status) {
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                bail!(
                    "{what}: not after {} s: {}",
                    limit.as_secs(),
                    serde_json::to_string(&status)?
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Deletes the namespace.
    pub(super) async fn delete(self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces
            .delete(&self.namespace, &DeleteParams::default())
            .await
            .context("can't delete the namespace")?;
        Ok(())
    }
}

/// Nothing more is on its way out, and so many servers of this image are ready.
pub(super) fn at_rest(book: &Book, replicas: u32, image: &str) -> Option<String> {
    if book.pods.len() != replicas as usize {
        return Some(format!("{} Pods, expected {replicas}", book.pods.len()));
    }
    for (name, pod) in &book.pods {
        let server = book.servers.get(name);
        let claim = server.and_then(|server| server.claim.as_deref());
        if pod.terminating || !pod.ready || pod.image != image {
            return Some(format!(
                "{name} is {pod:?}, expected one of {image} that is ready"
            ));
        }
        if server.is_none_or(|server| server.pod_uid != pod.uid) || claim.is_some() {
            return Some(format!("the GameServer of {name} is {server:?}"));
        }
    }
    None
}

//! A namespace on a real API server, and what the tests put there.

use std::{ops::Deref, path::Path, time::Instant};

use serde_json::{Value, json};
use test_bed::{Process, TestNamespace, uid};

/// A namespace of one test.
pub(crate) struct World(TestNamespace);

impl Deref for World {
    type Target = TestNamespace;

    fn deref(&self) -> &TestNamespace {
        &self.0
    }
}

/// From 1 to 4 servers of ten players, out above 80 %, in below 60 %.
pub(crate) fn settings(cooldown: i32) -> Value {
    json!({"enabled": true, "minReplicas": 1, "maxReplicas": 4, "scaleOutThreshold": 80, "scaleInThreshold": 60,
        "cooldownSeconds": cooldown})
}

impl World {
    /// A new namespace, on a cluster that has the CRDs.
    pub(crate) async fn new() -> Self {
        Self(TestNamespace::new("player-autoscaler").await)
    }

    pub(crate) async fn autoscaler(&self) -> Process {
        self.autoscaler_as(&self.kubeconfig, &["--leader-elect=false"])
            .await
    }

    pub(crate) async fn autoscaler_as(&self, kubeconfig: &Path, flags: &[&str]) -> Process {
        let program = env!("CARGO_BIN_EXE_player-autoscaler");
        Process::start(program, kubeconfig, &self.namespace, flags).await
    }

    /// Makes a set of this many servers, all of them there and available.
    pub(crate) async fn set(&self, name: &str, replicas: i32, settings: Value) {
        let body = json!({
            "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "metadata": {"name": name},
            "spec": {"replicas": replicas, "players": {"capacity": 10}, "playerAutoscaling": settings,
                "gameServerTemplate": {"spec": {"containers": [{"name": "game", "image": "game"}]}}},
        });
        let path = self.path("gameserversets", "");
        self.post(&path, &body).await.unwrap();
        self.follow(name).await;
    }

    /// Does what the other controllers do: as many servers as wanted, and a status that says so.
    pub(crate) async fn follow(&self, name: &str) {
        let set = self.set_object(name).await;
        let replicas = set["spec"]["replicas"].as_i64().unwrap();
        for id in 0..20 {
            let server = format!("{name}-{id}");
            let path = self.path("gameservers", &server);
            let there = self.get(&path).await.is_some();
            if id < replicas && !there {
                self.server(name, &server).await;
            } else if id >= replicas && there {
                self.delete(&path, &json!({})).await;
            }
        }
        let status = json!({"status": {"observedGeneration": set["metadata"]["generation"], "replicas": replicas,
            "currentReplicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas, "updatedReplicas": replicas}});
        let path = format!("{}/status", self.path("gameserversets", name));
        self.merge(&path, &status).await;
    }

    /// Owned by its set: the garbage collector takes what names a Pod that is not there.
    async fn server(&self, set: &str, name: &str) {
        let owner = uid(&self.set_object(set).await);
        let owner = json!({"apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "name": set, "uid": owner,
            "controller": true});
        let body = json!({
            "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServer",
            "metadata": {"name": name, "labels": {"game.kruise.io/owner-gss": set}, "ownerReferences": [owner]},
            "spec": {"opsState": "None"},
        });
        self.post(&self.path("gameservers", ""), &body).await.unwrap();
    }

    /// Reports players of a server, as game-api does for its Pod.
    pub(crate) async fn players(&self, name: &str, count: u32) {
        let path = format!("{}/status", self.path("gameservers", name));
        let body = json!({"status": {"players": {"count": count, "reportedAt": "2026-01-01T00:00:00Z"},
            "reported": {"podUID": pod_uid(name)}}});
        self.merge(&path, &body).await;
    }

    pub(crate) async fn set_object(&self, name: &str) -> Value {
        self.get(&self.path("gameserversets", name))
            .await
            .unwrap_or_default()
    }

    /// Waits until the set wants this many servers, and gives it.
    pub(crate) async fn replicas_until(&self, name: &str, replicas: i32) -> Value {
        self.when(&self.path("gameserversets", name), |set| {
            set["spec"]["replicas"] == replicas
        })
        .await
    }

    /// Waits until the status has this reason, and gives the status.
    pub(crate) async fn reason_until(&self, name: &str, reason: &str) -> Value {
        let set = self
            .when(&self.path("gameserversets", name), |set| {
                set["status"]["playerAutoscaling"]["reason"] == reason
            })
            .await;
        set["status"]["playerAutoscaling"].clone()
    }

    /// Waits for an event of the set with this reason, and gives its message.
    pub(crate) async fn event_until(&self, reason: &str) -> String {
        let events = self
            .when(&self.path("events", ""), |events| {
                let items = events["items"].as_array().unwrap();
                items.iter().any(|event| event["reason"] == reason)
            })
            .await;
        let items = events["items"].as_array().unwrap();
        let event = items.iter().find(|event| event["reason"] == reason).unwrap();
        event["message"].as_str().unwrap().to_owned()
    }

    /// Waits until the controller has looked at the set this often.
    pub(crate) async fn looks(process: &Process) -> u64 {
        process
            .metric("gamekeeper_reconciles_total", &["queue=\"sets\""])
            .await
    }
}

/// A UID that belongs to the name: there are no Pods here.
fn pod_uid(name: &str) -> String {
    format!("pod-of-{name}")
}

/// Seconds since.
pub(crate) fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}

//! A namespace on a real API server, and what the tests put into it.

use std::{ops::Deref, time::Instant};

use serde_json::{Value, json};
use test_bed::{PATIENCE, TestNamespace, pause};
pub(crate) use test_bed::{condition, uid};

/// A namespace of one test.
pub(crate) struct Arena(TestNamespace);

impl Deref for Arena {
    type Target = TestNamespace;

    fn deref(&self) -> &TestNamespace {
        &self.0
    }
}

impl Arena {
    /// A new namespace, on a cluster that has the CRDs.
    pub(crate) async fn new() -> Self {
        Self(TestNamespace::new("gs-controller").await)
    }

    /// Deletes the namespace. A test that fails leaves it behind, to be looked at.
    pub(crate) async fn end(self) {
        for pod in self.get(&self.path("pods", "")).await.unwrap()["items"]
            .as_array()
            .unwrap()
        {
            let name = pod["metadata"]["name"].as_str().unwrap();
            self.release(name).await;
            self.delete_pod(name, 0).await;
        }
        self.delete_namespace().await;
    }

    /// Makes a set that no controller manages (`replicas: 0`) and gives its UID.
    pub(crate) async fn set(&self, name: &str, reclaim_policy: &str) -> String {
        let body = json!({
            "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet",
            "metadata": {"name": name},
            "spec": {"replicas": 0, "gameServerTemplate": {
                "metadata": {"labels": {"app": "arena"}, "annotations": {"gs-sync/map": "dust"}},
                "reclaimPolicy": reclaim_policy,
                "spec": {"containers": [{"name": "game", "image": "game"}]},
            }},
        });
        uid(&self.post(&self.path("gameserversets", ""), &body).await.unwrap())
    }

    /// Makes a Pod of the set `arena` and gives its UID. It is bound to a node that does not exist: nobody but the test
    /// touches it.
    pub(crate) async fn pod(&self, name: &str, set_uid: &str) -> String {
        self.pod_with(name, set_uid, |_| {}).await
    }

    pub(crate) async fn pod_with(&self, name: &str, set_uid: &str, edit: impl FnOnce(&mut Value)) -> String {
        let mut body = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": name, "labels": {"game.kruise.io/owner-gss": "arena"},
                "ownerReferences": [{"apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet",
                    "name": "arena", "uid": set_uid, "controller": true, "blockOwnerDeletion": true}],
            },
            "spec": {
                "nodeName": "no-such-node", "automountServiceAccountToken": false,
                "containers": [{"name": "game", "image": "game"}],
            },
        });
        edit(&mut body);
        uid(&self.post_pod(&body).await)
    }

    pub(crate) async fn pod_status(&self, name: &str, status: &Value) {
        self.merge(
            &format!("{}/status", self.path("pods", name)),
            &json!({ "status": status }),
        )
        .await;
    }

    pub(crate) async fn make_ready(&self, name: &str, ip: &str) {
        self.pod_status(name, &ready(ip)).await;
    }

    pub(crate) async fn delete_pod(&self, name: &str, grace_seconds: u32) {
        self.delete(
            &self.path("pods", name),
            &json!({ "gracePeriodSeconds": grace_seconds }),
        )
        .await;
    }

    /// Takes the finalizers off a Pod.
    pub(crate) async fn release(&self, name: &str) {
        self.merge(
            &self.path("pods", name),
            &json!({"metadata": {"finalizers": null}}),
        )
        .await;
    }

    pub(crate) async fn game_server(&self, name: &str) -> Option<Value> {
        self.get(&self.path("gameservers", name)).await
    }

    /// Waits until the GameServer is there and `holds`, and gives it.
    pub(crate) async fn game_server_when(&self, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
        self.when(&self.path("gameservers", name), holds).await
    }

    /// Waits until the GameServer is gone.
    pub(crate) async fn gone(&self, name: &str) {
        let start = Instant::now();
        while let Some(object) = self.game_server(name).await {
            assert!(start.elapsed() < PATIENCE, "{name} is still there: {object:#?}");
            pause().await;
        }
    }

    /// The Warning events on a GameServer.
    pub(crate) async fn warnings(&self, name: &str) -> Vec<String> {
        let events = self.get(&self.path("events", "")).await.unwrap();
        let events = events["items"].as_array().unwrap().iter();
        events
            .filter(|event| event["involvedObject"]["name"] == name && event["type"] == "Warning")
            .map(|event| event["reason"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// The status of a ready Pod.
pub(crate) fn ready(ip: &str) -> Value {
    json!({"phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }], "conditions": [
        {"type": "Ready", "status": "True"}, {"type": "ContainersReady", "status": "True"}]})
}

pub(crate) fn state(game_server: &Value) -> &str {
    game_server["status"]["currentState"].as_str().unwrap_or_default()
}

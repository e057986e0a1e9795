//! A namespace on a real API server, and what the tests put there.

use std::ops::Deref;

use serde_json::{Value, json};
use test_bed::{TestNamespace, uid};
pub(crate) use test_bed::{condition, eventually};

/// A namespace of one test.
pub(crate) struct World(TestNamespace);

impl Deref for World {
    type Target = TestNamespace;

    fn deref(&self) -> &TestNamespace {
        &self.0
    }
}

const RECORD: &str = "game.kruise.io/service-quality-acted";

impl World {
    /// A new namespace, on a cluster that has the CRDs.
    pub(crate) async fn new() -> Self {
        Self(TestNamespace::new("quality-prober").await)
    }

    /// Makes the set `arena` with these service qualities and gives its UID.
    pub(crate) async fn set(&self, qualities: Value) -> String {
        let body = json!({
            "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "metadata": {"name": "arena"},
            "spec": {"replicas": 0, "serviceQualities": qualities,
                "gameServerTemplate": {"spec": {"containers": [{"name": "game", "image": "game"}]}}},
        });
        uid(&self.post(&self.path("gameserversets", ""), &body).await.unwrap())
    }

    /// Changes the set's service qualities.
    pub(crate) async fn change_set(&self, qualities: Value) {
        let path = self.path("gameserversets", "arena");
        self.merge(&path, &json!({"spec": {"serviceQualities": qualities}}))
            .await;
    }

    /// Makes a Pod of the set and gives its UID.
    pub(crate) async fn pod(&self, name: &str, set_uid: &str) -> String {
        let owner = json!({"apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "name": "arena", "uid": set_uid,
            "controller": true, "blockOwnerDeletion": true});
        let body = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": {"game.kruise.io/owner-gss": "arena"}, "ownerReferences": [owner]},
            "spec": {
                "schedulerName": "nobody", "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "game", "image": "game"}],
            },
        });
        uid(&self.post_pod(&body).await)
    }

    /// Makes a Pod and its GameServer, with this opsState.
    pub(crate) async fn server(&self, name: &str, set_uid: &str, ops_state: &str) {
        let pod = self.pod(name, set_uid).await;
        let body = json!({
            "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServer",
            "metadata": {"name": name, "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": pod,
                "controller": true, "blockOwnerDeletion": true}]},
            "spec": {"opsState": ops_state, "deletionPriority": 0},
        });
        self.post(&self.path("gameservers", ""), &body).await.unwrap();
    }

    /// What a kubelet reports of a Pod whose container has run for an hour.
    pub(crate) async fn runs(&self, name: &str) {
        let path = format!("{}/status", self.path("pods", name));
        let body = json!({"status": {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}],
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "game", "image": "game", "imageID": "", "ready": true, "restartCount": 0,
                "containerID": "containerd://first", "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]}});
        self.strategic_merge(&path, &body).await;
    }

    /// Writes the condition of a service quality, as a prober does.
    pub(crate) async fn says(&self, name: &str, quality: &str, status: &str, message: &str) {
        let path = format!("{}/status", self.path("pods", name));
        let condition = json!({"type": format!("game.kruise.io/{quality}"), "status": status, "message": message,
            "lastProbeTime": "2026-01-01T00:00:00Z"});
        self.strategic_merge(&path, &json!({"status": {"conditions": [condition]}}))
            .await;
    }

    pub(crate) async fn game_server(&self, name: &str) -> Value {
        self.get(&self.path("gameservers", name))
            .await
            .unwrap_or_default()
    }

    pub(crate) async fn pod_object(&self, name: &str) -> Value {
        self.get(&self.path("pods", name)).await.unwrap_or_default()
    }

    /// Waits for an opsState, and gives the GameServer.
    pub(crate) async fn ops_state_until(&self, name: &str, ops_state: &str) -> Value {
        let what = format!("opsState {ops_state} of {name}");
        let look = async || self.game_server(name).await;
        eventually(&what, look, |server| server["spec"]["opsState"] == ops_state).await
    }

    /// Waits until a service quality's entry of a GameServer has this status and result, and gives the entry.
    pub(crate) async fn entry_until(&self, name: &str, quality: &str, status: &str, result: &str) -> Value {
        let what = format!("{quality} of {name} is {status}: {result}");
        let look = async || entry(&self.game_server(name).await, quality);
        let said = |entry: &Value| {
            entry["status"] == status && entry["result"].as_str().unwrap_or_default() == result
        };
        eventually(&what, look, said).await
    }

    /// Waits until a Pod's condition has this status and message, and gives it.
    pub(crate) async fn condition_until(
        &self,
        name: &str,
        quality: &str,
        status: &str,
        message: &str,
    ) -> Value {
        let what = format!("{quality} of Pod {name} is {status}: {message}");
        let type_ = format!("game.kruise.io/{quality}");
        let look = async || condition(&self.pod_object(name).await, &type_);
        let said = |found: &Value| {
            found["status"] == status && found["message"].as_str().unwrap_or_default() == message
        };
        eventually(&what, look, said).await
    }

    /// Events about one object, as `type reason: message`.
    pub(crate) async fn events_of(&self, name: &str) -> Vec<String> {
        let events = self.get(&self.path("events", "")).await.unwrap();
        let of_it = events["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|it| it["involvedObject"]["name"] == name);
        let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
        of_it
            .map(|it| {
                format!(
                    "{} {}: {}",
                    text(it, "type"),
                    text(it, "reason"),
                    text(it, "message")
                )
            })
            .collect()
    }

    /// Waits for an event about an object that begins with this.
    pub(crate) async fn event_until(&self, name: &str, begins: &str) -> String {
        let look = async || self.events_of(name).await;
        let events = eventually(begins, look, |events| {
            events.iter().any(|it| it.starts_with(begins))
        })
        .await;
        events
            .into_iter()
            .find(|event| event.starts_with(begins))
            .unwrap()
    }
}

/// The entry of a service quality in a GameServer's status.
pub(crate) fn entry(server: &Value, quality: &str) -> Value {
    let entries = server["status"]["serviceQualitiesConditions"].as_array();
    let found = entries
        .into_iter()
        .flatten()
        .find(|entry| entry["name"] == quality);
    found.cloned().unwrap_or_default()
}

/// What the GameServer says was acted on.
pub(crate) fn record(server: &Value) -> Value {
    let text = server["metadata"]["annotations"][RECORD].as_str();
    text.map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
}

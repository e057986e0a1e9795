//! A namespace on a real API server, nodes of its own, and what the tests put there.

use std::ops::Deref;

use serde_json::{Value, json};
use test_bed::{TestNamespace, uid};
pub(crate) use test_bed::{condition, eventually};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Held by each test while it runs. Nodes belong to the whole cluster: trouble of one test's node ends the rest that another waits for.
static NODES: RwLock<()> = RwLock::const_new(());

/// A namespace of one test. Its nodes have names that begin with the namespace's.
pub(crate) struct World {
    scene: TestNamespace,
    _turn: Turn,
}

#[expect(dead_code, reason = "held until the test ends")]
enum Turn {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

impl Deref for World {
    type Target = TestNamespace;

    fn deref(&self) -> &TestNamespace {
        &self.scene
    }
}

impl World {
    /// A new namespace, on a cluster that has the CRDs.
    pub(crate) async fn new() -> Self {
        Self::in_turn(Turn::Shared(NODES.read().await)).await
    }

    /// A new namespace, on a cluster without nodes of other tests.
    pub(crate) async fn alone() -> Self {
        Self::in_turn(Turn::Alone(NODES.write().await)).await
    }

    async fn in_turn(turn: Turn) -> Self {
        Self {
            scene: TestNamespace::new("node-watcher").await,
            _turn: turn,
        }
    }

    /// Deletes the namespace and the nodes. A test that fails leaves them behind, to be looked at.
    pub(crate) async fn end(self, nodes: &[&str]) {
        for node in nodes {
            self.delete_node(node).await;
        }
        self.delete_namespace().await;
    }

    /// The real name of a test's node.
    pub(crate) fn node_name(&self, node: &str) -> String {
        format!("{}-{node}", self.namespace)
    }

    fn node_path(&self, node: &str) -> String {
        format!("/api/v1/nodes/{}", self.node_name(node))
    }

    /// Makes a node that is well.
    pub(crate) async fn node(&self, node: &str) {
        let body = json!({"metadata": {"name": self.node_name(node)}});
        self.post("/api/v1/nodes", &body).await.unwrap();
        self.node_says(node, "Ready", "True", 0).await;
    }

    /// Deletes a node.
    pub(crate) async fn delete_node(&self, node: &str) {
        self.delete(&self.node_path(node), &json!({})).await;
    }

    /// What a kubelet reports: one condition, and the second of its heartbeat.
    pub(crate) async fn node_says(&self, node: &str, type_: &str, status: &str, second: u32) {
        let time = format!("2026-01-01T00:{:02}:{:02}Z", second / 60, second % 60);
        let condition = json!({"type": type_, "status": status, "reason": "TestSays", "message": "so it is",
            "lastHeartbeatTime": time, "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let path = format!("{}/status", self.node_path(node));
        let body = json!({"status": {"conditions": [condition]}});
        self.strategic_merge(&path, &body).await;
    }

    /// Gives a node an address that is reached from outside.
    pub(crate) async fn node_address(&self, node: &str, address: &str) {
        let path = format!("{}/status", self.node_path(node));
        let addresses = json!([{"type": "ExternalIP", "address": address}]);
        self.merge(&path, &json!({"status": {"addresses": addresses}}))
            .await;
    }

    /// Sets the taints of a node.
    pub(crate) async fn taint(&self, node: &str, taints: Value) {
        self.merge(&self.node_path(node), &json!({"spec": {"taints": taints}}))
            .await;
    }

    /// Makes a Pod on a node (on none when empty) and gives its UID.
    pub(crate) async fn pod(&self, name: &str, node: &str) -> String {
        self.pod_owned(name, node, json!([])).await
    }

    /// Makes a Pod of the set `arena`, which has this UID.
    pub(crate) async fn pod_of_set(&self, name: &str, node: &str, set: &str) {
        let owner = json!({"apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "name": "arena",
            "uid": set, "controller": true, "blockOwnerDeletion": true});
        self.pod_owned(name, node, json!([owner])).await;
    }

    async fn pod_owned(&self, name: &str, node: &str, owners: Value) -> String {
        let mut body = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": {"game.kruise.io/owner-gss": "arena"}, "ownerReferences": owners},
            "spec": {
                "schedulerName": "nobody", "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "game", "image": "game"}],
                // The node controller evicts what does not tolerate a NoExecute taint at once, often before it can be seen.
                "tolerations": [{"effect": "NoExecute", "operator": "Exists", "tolerationSeconds": 300}],
            },
        });
        if !node.is_empty() {
            body["spec"]["nodeName"] = json!(self.node_name(node));
        }
        uid(&self.post_pod(&body).await)
    }

    /// Binds a Pod, as a scheduler does.
    pub(crate) async fn bind(&self, name: &str, node: &str) {
        let target = json!({"apiVersion": "v1", "kind": "Node", "name": self.node_name(node)});
        let body =
            json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target});
        let path = format!("{}/binding", self.path("pods", name));
        self.post(&path, &body).await.unwrap();
    }

    /// Makes a Pod and its GameServer, as gs-controller makes it and first writes its status.
    pub(crate) async fn server(&self, name: &str, node: &str) {
        let pod = self.pod(name, node).await;
        let labels = if node.is_empty() {
            json!({})
        } else {
            json!({"game.kruise.io/node-name": self.node_name(node)})
        };
        self.record(name, &pod, labels).await;
    }

    /// Makes the GameServer of the Pod with this UID.
    pub(crate) async fn record(&self, name: &str, pod: &str, labels: Value) {
        let body = json!({
            "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServer",
            "metadata": {"name": name, "labels": labels, "ownerReferences": [{"apiVersion": "v1", "kind": "Pod",
                "name": name, "uid": pod, "controller": true, "blockOwnerDeletion": true}]},
            "spec": {"opsState": "None"},
        });
        self.post(&self.path("gameservers", ""), &body).await.unwrap();
        self.pod_normal(name, "True").await;
    }

    /// Makes the GameServerSet `arena`, whose GameServers outlive their Pods; gives its UID.
    pub(crate) async fn keeping_set(&self) -> String {
        let body = json!({
            "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "metadata": {"name": "arena"},
            "spec": {"replicas": 1, "gameServerTemplate": {"reclaimPolicy": "Delete",
                "spec": {"containers": [{"name": "game", "image": "game"}]}}},
        });
        uid(&self.post(&self.path("gameserversets", ""), &body).await.unwrap())
    }

    /// Makes the GameServer of a Pod that it outlives.
    pub(crate) async fn record_of_set(&self, name: &str, set: &str, labels: Value) {
        let body = json!({
            "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServer",
            "metadata": {"name": name, "labels": labels, "ownerReferences": [{"apiVersion": "game.kruise.io/v1alpha1",
                "kind": "GameServerSet", "name": "arena", "uid": set, "controller": true, "blockOwnerDeletion": true}]},
            "spec": {"opsState": "None"},
        });
        self.post(&self.path("gameservers", ""), &body).await.unwrap();
    }

    /// Writes the neighbouring condition, as gs-controller does.
    pub(crate) async fn pod_normal(&self, name: &str, status: &str) {
        let path = format!("{}/status", self.path("gameservers", name));
        let body = json!({"apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServer", "metadata": {"name": name},
            "status": {"currentState": "Ready", "conditions": [{"type": "PodNormal", "status": status}]}});
        self.apply(&path, "gamekeeper-gs-controller", &body).await;
    }

    pub(crate) async fn game_server(&self, name: &str) -> Value {
        self.get(&self.path("gameservers", name))
            .await
            .unwrap_or_default()
    }

    /// Waits until a condition of a GameServer has this status and gives the GameServer.
    pub(crate) async fn condition_until(&self, name: &str, type_: &str, status: &str) -> Value {
        let what = format!("{type_} of {name} is {status}");
        let look = async || self.game_server(name).await;
        eventually(&what, look, |it| condition(it, type_)["status"] == status).await
    }

    /// Waits for a Warning about a GameServer and gives its text.
    pub(crate) async fn warning_until(&self, name: &str, reason: &str) -> String {
        let look = async || self.get(&self.path("events", "")).await.unwrap()["items"].clone();
        let of_it = |event: &&Value| {
            event["involvedObject"]["name"] == name && event["reason"] == reason && event["type"] == "Warning"
        };
        let events = eventually(reason, look, |events| {
            events.as_array().unwrap().iter().any(|it| of_it(&it))
        })
        .await;
        let event = events.as_array().unwrap().iter().find(of_it).unwrap();
        event["message"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap()
}

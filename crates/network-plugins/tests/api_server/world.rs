//! A namespace on a real API server, a node of its own, and what the tests put there.

use std::ops::{Deref, DerefMut};

use serde_json::{Value, json};
use test_bed::{Process, TestNamespace, uid};
pub(crate) use test_bed::{condition, eventually};

/// A namespace of one test with a set `arena`, and a node under 203.0.113.5.
pub(crate) struct World {
    space: TestNamespace,
    set_uid: String,
    type_: String,
    conf: Value,
}

impl Deref for World {
    type Target = TestNamespace;

    fn deref(&self) -> &TestNamespace {
        &self.space
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut TestNamespace {
        &mut self.space
    }
}

/// Parameters as `networkConf` lists them.
pub(crate) fn conf(parameters: &[(&str, &str)]) -> Value {
    parameters
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect()
}

impl World {
    /// A new namespace with a set of this network; the set is as it would be applied, so bad parameters are refused here.
    pub(crate) async fn new(type_: &str, parameters: &[(&str, &str)]) -> Self {
        let mut world = Self {
            space: TestNamespace::new("network-plugins").await,
            set_uid: String::new(),
            type_: type_.to_owned(),
            conf: conf(parameters),
        };
        let set = json!({
            "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "metadata": {"name": "arena"},
            "spec": {
                "replicas": 1, "network": {"networkType": type_, "networkConf": world.conf},
                "gameServerTemplate": {"spec": {"containers": [{"name": "game", "image": "game:1"}]}},
            },
        });
        let made = world.post(&world.path("gameserversets", ""), &set).await.unwrap();
        world.set_uid = uid(&made);
        let node = json!({"metadata": {"name": world.node_name()}});
        world.post("/api/v1/nodes", &node).await.unwrap();
        world.node_address("203.0.113.5").await;
        world
    }

    /// Says that the node has another address.
    pub(crate) async fn node_address(&self, address: &str) {
        let path = format!("/api/v1/nodes/{}/status", self.node_name());
        let body = json!({"status": {"addresses": [{"type": "ExternalIP", "address": address}]}});
        self.merge(&path, &body).await;
    }

    /// Deletes the namespace and the node. A test that fails leaves them behind, to be looked at.
    pub(crate) async fn end(self) {
        self.delete(&format!("/api/v1/nodes/{}", self.node_name()), &json!({}))
            .await;
        self.delete_namespace().await;
    }

    fn node_name(&self) -> String {
        format!("{}-node", self.namespace)
    }

    /// Starts the program for the namespace, without leader election, and waits until it is ready.
    pub(crate) async fn start(&self) -> Process {
        self.start_with(&[]).await
    }

    /// The same with further flags.
    pub(crate) async fn start_with(&self, flags: &[&str]) -> Process {
        let mut all = vec!["--leader-elect=false", "--ports-namespace", &self.namespace];
        all.extend(flags);
        let program = env!("CARGO_BIN_EXE_network-plugins");
        Process::start(program, &self.kubeconfig, &self.namespace, &all).await
    }

    /// Makes a Pod of the set on the node, with an address, and its GameServer; gives the Pod's UID.
    pub(crate) async fn server(&self, name: &str) -> String {
        self.server_with(
            name,
            json!({"name": "game", "image": "game:1"}),
            self.conf.clone(),
        )
        .await
    }

    /// The same with this container and these parameters.
    pub(crate) async fn server_with(&self, name: &str, container: Value, conf: Value) -> String {
        let mut annotations = json!({});
        if !self.type_.is_empty() {
            annotations = json!({
                "game.kruise.io/network-type": self.type_, "game.kruise.io/network-conf": conf.to_string(),
            });
        }
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": name, "annotations": annotations,
                "labels": {
                    "game.kruise.io/owner-gss": "arena", "game.kruise.io/network-disabled": "false",
                    "statefulset.kubernetes.io/pod-name": name, "lifecycle.apps.kruise.io/state": "Normal",
                },
                "ownerReferences": [{
                    "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "name": "arena", "uid": self.set_uid,
                    "controller": true, "blockOwnerDeletion": true,
                }],
            },
            "spec": {
                "nodeName": self.node_name(), "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
                "containers": [container],
            },
        });
        let pod = uid(&self.post_pod(&pod).await);
        let status = json!({"status": {"podIP": "10.0.0.7", "podIPs": [{"ip": "10.0.0.7"}], "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}]}});
        let path = format!("{}/status", self.path("pods", name));
        self.strategic_merge(&path, &status).await;
        self.record(name, &pod).await;
        pod
    }

    /// Makes the GameServer of the Pod with this UID, as gs-controller does.
    pub(crate) async fn record(&self, name: &str, pod: &str) {
        let body = json!({
            "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServer",
            "metadata": {
                "name": name, "labels": {"game.kruise.io/owner-gss": "arena"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": pod, "controller": true}],
            },
            "spec": {"opsState": "None", "networkDisabled": false},
        });
        self.post(&self.path("gameservers", ""), &body).await.unwrap();
    }

    /// Path of a server's Ingress.
    pub(crate) fn ingress(&self, name: &str) -> String {
        let root = "/apis/networking.k8s.io/v1/namespaces";
        format!("{root}/{}/ingresses/{name}", self.namespace)
            .trim_end_matches('/')
            .to_owned()
    }

    /// Path of a server's Service.
    pub(crate) fn service(&self, name: &str) -> String {
        self.path("services", name)
    }

    /// Changes labels of a Pod.
    pub(crate) async fn label(&self, name: &str, labels: Value) {
        let body = json!({"metadata": {"labels": labels}});
        self.merge(&self.path("pods", name), &body).await;
    }

    /// Sets the Pod's label as pod-sync does after `spec.networkDisabled` was changed.
    pub(crate) async fn disable(&self, name: &str, disabled: bool) {
        self.label(
            name,
            json!({"game.kruise.io/network-disabled": disabled.to_string()}),
        )
        .await;
    }

    /// Waits until the network of a server has this state, and gives its GameServer.
    pub(crate) async fn network_until(&self, name: &str, state: &str) -> Value {
        self.game_server_until(name, &format!("a network that is {state}"), |server| {
            server["status"]["networkStatus"]["currentNetworkState"] == state
        })
        .await
    }

    /// Waits until `NetworkReady` of a server has this reason, and gives its GameServer.
    pub(crate) async fn reason_until(&self, name: &str, reason: &str) -> Value {
        self.game_server_until(name, reason, |server| {
            condition(server, "NetworkReady")["reason"] == reason
        })
        .await
    }

    async fn game_server_until(&self, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let path = self.path("gameservers", name);
        let look = async || self.get(&path).await.unwrap_or_default();
        eventually(&format!("{what} of {name}"), look, wanted).await
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

    /// The Pod's annotation, as the game reads it.
    pub(crate) async fn annotation(&self, name: &str) -> String {
        let pod = self.get(&self.path("pods", name)).await.unwrap();
        let text = &pod["metadata"]["annotations"]["game.kruise.io/network-status"];
        text.as_str().unwrap_or_default().to_owned()
    }

    /// What a cloud answers: an address of the load balancer.
    pub(crate) async fn cloud_answers(&self, name: &str, address: Value) {
        let path = format!("{}/status", self.service(name));
        let body = json!({"status": {"loadBalancer": {"ingress": [address]}}});
        self.merge(&path, &body).await;
    }
}

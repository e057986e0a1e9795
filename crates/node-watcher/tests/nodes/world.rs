//! A namespace on a real API server, nodes of its own, and what the tests put there.

use std::{
    fmt::Debug,
    path::PathBuf,
    time::{Duration, Instant},
};

use http::{Method, Request};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// Longest wait for something that should take milliseconds.
const SOON: Duration = Duration::from_secs(30);

/// A namespace of one test. Its nodes have names that begin with the namespace's.
pub(crate) struct World {
    client: Client,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) namespace: String,
}

impl World {
    /// A new namespace, on a cluster that has the CRDs.
    pub(crate) async fn new() -> Self {
        static CRDS: OnceCell<()> = OnceCell::const_new();
        let kubeconfig = kubeconfig();
        let file = Kubeconfig::read_from(&kubeconfig).unwrap();
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
            .await
            .unwrap();
        let client = Client::try_from(config).unwrap();
        let mut world = Self {
            client,
            kubeconfig,
            namespace: String::new(),
        };
        CRDS.get_or_init(|| world.install_crds()).await;
        let wanted = json!({"metadata": {"generateName": "node-watcher-"}});
        let namespace = world.post("/api/v1/namespaces", &wanted).await.unwrap();
        namespace["metadata"]["name"]
            .as_str()
            .unwrap()
            .clone_into(&mut world.namespace);
        world
    }

    /// Deletes the namespace and the nodes. A test that fails leaves them behind, to be looked at.
    pub(crate) async fn end(self, nodes: &[&str]) {
        for node in nodes {
            self.delete(&self.node_path(node)).await;
        }
        self.delete(&format!("/api/v1/namespaces/{}", self.namespace))
            .await;
    }

    /// The path of a namespaced object, or of the collection when `name` is empty.
    pub(crate) fn path(&self, plural: &str, name: &str) -> String {
        let root = match plural {
            "gameservers" => "/apis/game.kruise.io/v1alpha1",
            "roles" | "rolebindings" => "/apis/rbac.authorization.k8s.io/v1",
            _ => "/api/v1",
        };
        format!("{root}/namespaces/{}/{plural}/{name}", self.namespace)
            .trim_end_matches('/')
            .to_owned()
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
        self.delete(&self.node_path(node)).await;
    }

    /// What a kubelet reports: one condition, and the second of its heartbeat.
    pub(crate) async fn node_says(&self, node: &str, type_: &str, status: &str, second: u32) {
        let time = format!("2026-01-01T00:{:02}:{:02}Z", second / 60, second % 60);
        let condition = json!({"type": type_, "status": status, "reason": "TestSays", "message": "so it is",
            "lastHeartbeatTime": time, "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let path = format!("{}/status", self.node_path(node));
        let body = json!({"status": {"conditions": [condition]}});
        self.send(
            Method::PATCH,
            &path,
            "application/strategic-merge-patch+json",
            &body,
        )
        .await
        .unwrap();
    }

    /// Sets the taints of a node.
    pub(crate) async fn taint(&self, node: &str, taints: Value) {
        self.patch(&self.node_path(node), &json!({"spec": {"taints": taints}}))
            .await;
    }

    /// Makes a Pod on a node (on none when empty) and gives its UID.
    pub(crate) async fn pod(&self, name: &str, node: &str) -> String {
        let mut body = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": {"game.kruise.io/owner-gss": "arena"}},
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
        let start = Instant::now();
        loop {
            match self.post(&self.path("pods", ""), &body).await {
                Ok(pod) => return uid(&pod),
                // A new namespace gets its service account a moment later.
                Err(error) if is(&error, 403) && start.elapsed() < SOON => pause().await,
                Err(error) => panic!("{error}"),
            }
        }
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

    /// Writes the neighbouring condition, as gs-controller does.
    pub(crate) async fn pod_normal(&self, name: &str, status: &str) {
        let path = format!(
            "{}/status?fieldManager=gamekeeper-gs-controller&force=true",
            self.path("gameservers", name)
        );
        let body = json!({"apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServer", "metadata": {"name": name},
            "status": {"currentState": "Ready", "conditions": [{"type": "PodNormal", "status": status}]}});
        self.send(Method::PATCH, &path, "application/apply-patch+yaml", &body)
            .await
            .unwrap();
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

    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        match self
            .send(Method::GET, path, "application/json", &Value::Null)
            .await
        {
            Ok(object) => Some(object),
            Err(error) if is(&error, 404) => None,
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, kube::Error> {
        self.send(Method::POST, path, "application/json", body).await
    }

    /// A merge patch.
    pub(crate) async fn patch(&self, path: &str, body: &Value) {
        self.send(Method::PATCH, path, "application/merge-patch+json", body)
            .await
            .unwrap();
    }

    pub(crate) async fn delete(&self, path: &str) {
        match self
            .send(Method::DELETE, path, "application/json", &json!({}))
            .await
        {
            Err(error) if !is(&error, 404) => panic!("{error}"),
            _ => {}
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: &Value,
    ) -> Result<Value, kube::Error> {
        let body = if body.is_null() {
            Vec::new()
        } else {
            serde_json::to_vec(body).unwrap()
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("Content-Type", content_type)
            .body(body)
            .unwrap();
        self.client.request(request).await
    }

    async fn install_crds(&self) {
        for definition in api_types::crd::all().unwrap() {
            let crd = serde_json::to_value(definition).unwrap();
            let name = crd["metadata"]["name"].as_str().unwrap();
            let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
            let apply = format!("{path}?fieldManager=tests&force=true");
            self.send(Method::PATCH, &apply, "application/apply-patch+yaml", &crd)
                .await
                .unwrap();
            let established = |crd: &Option<Value>| {
                let conditions = crd.as_ref().unwrap()["status"]["conditions"].as_array();
                conditions
                    .into_iter()
                    .flatten()
                    .any(|it| it["type"] == "Established" && it["status"] == "True")
            };
            eventually(
                "the CRD is established",
                async || self.get(&path).await,
                established,
            )
            .await;
        }
    }
}

/// Looks until `holds` and gives what was seen.
pub(crate) async fn eventually<T: Debug>(
    what: &str,
    look: impl AsyncFn() -> T,
    holds: impl Fn(&T) -> bool,
) -> T {
    let start = Instant::now();
    loop {
        let seen = look().await;
        if holds(&seen) {
            return seen;
        }
        assert!(
            start.elapsed() < SOON,
            "not in time: {what}; last seen: {seen:#?}"
        );
        pause().await;
    }
}

/// One condition of a GameServer; `Null` when it has none of this type.
pub(crate) fn condition(game_server: &Value, type_: &str) -> Value {
    let conditions = game_server["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .find(|it| it["type"] == type_)
        .cloned()
        .unwrap_or_default()
}

pub(crate) fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap()
}

fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap().to_owned()
}

fn kubeconfig() -> PathBuf {
    let named = std::env::var_os("GAMEKEEPER_TEST_KUBECONFIG").map(PathBuf::from);
    let path = named.unwrap_or_else(|| {
        let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
            || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"),
            PathBuf::from,
        );
        cache.join("gamekeeper/clusters/dev/kubeconfig")
    });
    assert!(
        path.exists(),
        "no cluster: run `cargo xtask cluster up` or `make test`"
    );
    path
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

fn is(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

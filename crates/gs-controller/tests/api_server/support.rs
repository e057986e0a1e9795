//! A namespace on a real API server, and what the tests put into it.

use std::{
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
pub(crate) const SOON: Duration = Duration::from_secs(20);

const GAME: &str = "/apis/game.kruise.io/v1alpha1";

/// A namespace of one test.
pub(crate) struct Arena {
    client: Client,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) namespace: String,
}

/// The kubeconfig of the cluster that the tests use.
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

impl Arena {
    /// A new namespace, on a cluster that has the CRDs.
    pub(crate) async fn new() -> Self {
        static CRDS: OnceCell<()> = OnceCell::const_new();
        let path = kubeconfig();
        let file = Kubeconfig::read_from(&path).unwrap();
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
            .await
            .unwrap();
        let client = Client::try_from(config).unwrap();
        CRDS.get_or_init(|| install_crds(client.clone())).await;
        let namespace: Value = send(
            &client,
            Method::POST,
            "/api/v1/namespaces",
            "application/json",
            &json!({"metadata": {"generateName": "gs-controller-"}}),
        )
        .await
        .unwrap();
        let namespace = namespace["metadata"]["name"].as_str().unwrap().to_owned();
        Self {
            client,
            kubeconfig: path,
            namespace,
        }
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
        self.delete(&format!("/api/v1/namespaces/{}", self.namespace), &json!({}))
            .await;
    }

    /// The path of a namespaced object, or of the collection when `name` is empty.
    pub(crate) fn path(&self, plural: &str, name: &str) -> String {
        let root = match plural {
            "gameservers" | "gameserversets" => GAME,
            "roles" | "rolebindings" => "/apis/rbac.authorization.k8s.io/v1",
            _ => "/api/v1",
        };
        format!("{root}/namespaces/{}/{plural}/{name}", self.namespace)
            .trim_end_matches('/')
            .to_owned()
    }

    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        match send(&self.client, Method::GET, path, "application/json", &Value::Null).await {
            Ok(object) => Some(object),
            Err(error) if is(&error, 404) => None,
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, kube::Error> {
        send(&self.client, Method::POST, path, "application/json", body).await
    }

    /// A merge patch, or a server-side apply when `manager` is given.
    pub(crate) async fn patch(&self, path: &str, manager: Option<&str>, body: &Value) -> Value {
        let (path, kind) = match manager {
            Some(manager) => (
                format!("{path}?fieldManager={manager}"),
                "application/apply-patch+yaml",
            ),
            None => (path.to_owned(), "application/merge-patch+json"),
        };
        send(&self.client, Method::PATCH, &path, kind, body)
            .await
            .unwrap()
    }

    pub(crate) async fn delete(&self, path: &str, options: &Value) {
        match send(&self.client, Method::DELETE, path, "application/json", options).await {
            Err(error) if !is(&error, 404) => panic!("{error}"),
            _ => {}
        }
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

    pub(crate) async fn pod_status(&self, name: &str, status: &Value) {
        self.patch(
            &format!("{}/status", self.path("pods", name)),
            None,
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
        self.patch(
            &self.path("pods", name),
            None,
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

    /// Waits until the object is there and `holds`, and gives it.
    pub(crate) async fn when(&self, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let object = self.get(path).await;
            if let Some(object) = object.as_ref().filter(|object| holds(object)) {
                return object.clone();
            }
            assert!(
                start.elapsed() < SOON,
                "{path} did not become what was expected: {object:#?}"
            );
            pause().await;
        }
    }

    /// Waits until the GameServer is gone.
    pub(crate) async fn gone(&self, name: &str) {
        let start = Instant::now();
        while let Some(object) = self.game_server(name).await {
            assert!(start.elapsed() < SOON, "{name} is still there: {object:#?}");
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

pub(crate) fn state(game_server: &Value) -> &str {
    game_server["status"]["currentState"].as_str().unwrap_or_default()
}

pub(crate) fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap().to_owned()
}

pub(crate) async fn pause() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

async fn install_crds(client: Client) {
    for definition in api_types::crd::all().unwrap() {
        let crd = serde_json::to_value(definition).unwrap();
        let name = crd["metadata"]["name"].as_str().unwrap();
        let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
        let apply = format!("{path}?fieldManager=tests&force=true");
        send(
            &client,
            Method::PATCH,
            &apply,
            "application/apply-patch+yaml",
            &crd,
        )
        .await
        .unwrap();
        let start = Instant::now();
        loop {
            let crd = send(&client, Method::GET, &path, "application/json", &Value::Null)
                .await
                .unwrap();
            let conditions = crd["status"]["conditions"].as_array();
            if conditions
                .into_iter()
                .flatten()
                .any(|it| it["type"] == "Established" && it["status"] == "True")
            {
                break;
            }
            assert!(start.elapsed() < SOON, "{name} is not established");
            pause().await;
        }
    }
}

fn is(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

async fn send(
    client: &Client,
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
    client.request(request).await
}

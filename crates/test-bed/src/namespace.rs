//! A namespace of one test, and plain JSON in and out of it.

use std::{path::PathBuf, time::Instant};

use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};

use crate::{
    cluster::{connect, install_crds, kubeconfig},
    wait::{PATIENCE, eventually, pause},
};

/// A namespace of one test, on a cluster that has the CRDs.
pub struct TestNamespace {
    /// An administrator's client.
    pub client: Client,
    /// The kubeconfig it was made from.
    pub kubeconfig: PathBuf,
    /// Name of the namespace.
    pub namespace: String,
}

impl TestNamespace {
    /// A fresh namespace whose name begins with `prefix` and a hyphen.
    pub async fn new(prefix: &str) -> Self {
        let kubeconfig = kubeconfig();
        let client = connect(&kubeconfig).await;
        install_crds(&client).await;
        let mut made = Self {
            client,
            kubeconfig,
            namespace: String::new(),
        };
        let wanted = json!({"metadata": {"generateName": format!("{prefix}-")}});
        let namespace = made.post("/api/v1/namespaces", &wanted).await.unwrap();
        namespace["metadata"]["name"]
            .as_str()
            .unwrap()
            .clone_into(&mut made.namespace);
        made
    }

    /// Deletes the namespace; what is in it goes in the background.
    pub async fn delete_namespace(&self) {
        self.delete(&format!("/api/v1/namespaces/{}", self.namespace), &json!({}))
            .await;
    }

    /// The path of an object of the namespace, or of the collection when `name` is empty.
    pub fn path(&self, plural: &str, name: &str) -> String {
        let root = match plural {
            "gameservers" | "gameserversets" => "/apis/game.kruise.io/v1alpha1",
            "roles" | "rolebindings" => "/apis/rbac.authorization.k8s.io/v1",
            _ => "/api/v1",
        };
        format!("{root}/namespaces/{}/{plural}/{name}", self.namespace)
            .trim_end_matches('/')
            .to_owned()
    }

    /// The object at `path`, if there is one.
    pub async fn get(&self, path: &str) -> Option<Value> {
        match self
            .send(Method::GET, path, "application/json", &Value::Null)
            .await
        {
            Ok(object) => Some(object),
            Err(error) if is_code(&error, 404) => None,
            Err(error) => panic!("{path}: {error}"),
        }
    }

    /// Creates an object in the collection at `path`, or posts to a subresource.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, kube::Error> {
        self.send(Method::POST, path, "application/json", body).await
    }

    /// Creates a Pod. A new namespace gets its service account a moment later, and refuses Pods until then.
    pub async fn post_pod(&self, body: &Value) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.post(&self.path("pods", ""), body).await {
                Ok(pod) => return pod,
                Err(error) if is_code(&error, 403) && Instant::now() < end => pause().await,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// A merge patch.
    pub async fn merge(&self, path: &str, body: &Value) -> Value {
        self.patch(path, "application/merge-patch+json", body).await
    }

    /// A strategic merge patch: conditions are merged by their type.
    pub async fn strategic_merge(&self, path: &str, body: &Value) -> Value {
        self.patch(path, "application/strategic-merge-patch+json", body)
            .await
    }

    /// A server-side apply of this field manager; a conflict with another one fails the test.
    pub async fn apply(&self, path: &str, manager: &str, body: &Value) -> Value {
        let path = format!("{path}?fieldManager={manager}");
        self.patch(&path, "application/apply-patch+yaml", body).await
    }

    async fn patch(&self, path: &str, content_type: &str, body: &Value) -> Value {
        self.send(Method::PATCH, path, content_type, body).await.unwrap()
    }

    /// Deletes the object at `path` with these delete options; one that is gone is no error.
    pub async fn delete(&self, path: &str, options: &Value) {
        match self.send(Method::DELETE, path, "application/json", options).await {
            Err(error) if !is_code(&error, 404) => panic!("{path}: {error}"),
            _ => {}
        }
    }

    /// Waits until the object at `path` is there and `holds`, and gives it.
    pub async fn when(&self, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let read = async || self.get(path).await;
        eventually(path, read, |found| found.as_ref().is_some_and(&holds))
            .await
            .unwrap()
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
            .header("content-type", content_type)
            .body(body)
            .unwrap();
        self.client.request(request).await
    }
}

/// Whether the API server answered with this HTTP status.
pub fn is_code(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

/// The UID of an object.
pub fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap().to_owned()
}

/// One condition of an object's status; `Null` when it has none of this type.
pub fn condition(object: &Value, type_: &str) -> Value {
    let conditions = object["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .find(|found| found["type"] == type_)
        .cloned()
        .unwrap_or_default()
}

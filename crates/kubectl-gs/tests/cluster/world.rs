//! A namespace with servers in it, what pod-sync would do to their Pods, and the program.

use std::{ops::Deref, path::PathBuf};

use api_types::{GameServer, keys};
use futures::{StreamExt as _, pin_mut};
use kube::{
    Api,
    runtime::watcher::{self, Event},
};
use serde_json::{Value, json};
use test_bed::TestNamespace;
use tokio::{process::Command, task::JoinHandle};

/// Servers whose name begins so are never shown by their Pods.
pub(crate) const MUTE: &str = "mute-";

/// One test's namespace.
pub(crate) struct World {
    space: TestNamespace,
    mirror: Option<JoinHandle<()>>,
}

impl Deref for World {
    type Target = TestNamespace;

    fn deref(&self) -> &TestNamespace {
        &self.space
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mirror) = &self.mirror {
            mirror.abort();
        }
    }
}

/// What the program answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl World {
    /// A fresh namespace. Its Pods show the opsStates of their GameServers, as pod-sync has it.
    pub(crate) async fn new() -> Self {
        let mut world = Self {
            space: TestNamespace::new("kubectl-gs").await,
            mirror: None,
        };
        world.mirror = Some(tokio::spawn(mirror(
            world.client.clone(),
            world.namespace.clone(),
        )));
        world
    }

    /// A server that is Ready and free: its Pod, and its GameServer with `changes` by JSON pointer.
    pub(crate) async fn server(&self, name: &str, changes: &[(&str, Value)]) {
        let set = name.rsplit_once('-').unwrap().0;
        let pod = self.post_pod(&pod(name, set)).await;
        let status = json!({"status": {"phase": "Running", "podIP": "10.1.0.7", "podIPs": [{"ip": "10.1.0.7"}],
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
        let path = format!("{}/status", self.path("pods", name));
        self.strategic_merge(&path, &status).await;
        let mut server = game_server(name, set, &pod["metadata"]["uid"]);
        for (pointer, value) in changes {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            server.pointer_mut(parent).unwrap()[key.replace("~1", "/")] = value.clone();
        }
        let mut status = server["status"].clone();
        if !status["reported"].is_null() {
            status["reported"]["podUID"] = pod["metadata"]["uid"].clone();
        }
        self.post(&self.path("gameservers", ""), &server).await.unwrap();
        let path = format!("{}/status", self.path("gameservers", name));
        self.merge(&path, &json!({ "status": status })).await;
    }

    /// Waits until the Pods show every change made so far (those of [`MUTE`] servers never do).
    pub(crate) async fn mirrored(&self) {
        let servers = self.now("").await;
        for server in servers["items"].as_array().unwrap() {
            let name = server["metadata"]["name"].as_str().unwrap();
            if name.starts_with(MUTE) {
                continue;
            }
            let generation = server["metadata"]["generation"].to_string();
            self.when(&self.path("pods", name), |pod| {
                pod["metadata"]["annotations"][keys::annotation::SYNCED_GENERATION] == generation.as_str()
            })
            .await;
        }
    }

    /// The GameServer as it is now.
    pub(crate) async fn now(&self, name: &str) -> Value {
        self.get(&self.path("gameservers", name)).await.unwrap()
    }

    /// A merge patch that may come too late; whether it was taken.
    pub(crate) async fn try_merge(&self, path: &str, patch: &Value) -> bool {
        let request = http::Request::patch(path)
            .header("content-type", "application/merge-patch+json")
            .body(serde_json::to_vec(patch).unwrap())
            .unwrap();
        match self.client.request::<Value>(request).await {
            Ok(_) => true,
            Err(error) if test_bed::is_code(&error, 409) => false,
            Err(error) => panic!("{path}: {error}"),
        }
    }

    /// The program with the rights of this kubeconfig, to be run.
    pub(crate) fn command(&self, kubeconfig: &PathBuf, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-gs"));
        command
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(["--namespace", &self.namespace])
            .args(line.split(' ').filter(|word| !word.is_empty()))
            .env_remove("KUBECONFIG");
        command
    }

    /// Runs the program as an administrator.
    pub(crate) async fn gs(&self, line: &str) -> Answer {
        self.gs_as(&self.kubeconfig, line).await
    }

    /// Runs the program with the rights of this kubeconfig.
    pub(crate) async fn gs_as(&self, kubeconfig: &PathBuf, line: &str) -> Answer {
        let output = self.command(kubeconfig, line).output().await.unwrap();
        Answer {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn pod(name: &str, set: &str) -> Value {
    json!({
        "metadata": {"name": name, "labels": {
            keys::label::OWNER_GSS: set, keys::label::GS_STATE: "Ready", keys::label::GS_OPS_STATE: "None",
            keys::label::GS_UPDATE_PRIORITY: "0", keys::label::GS_DELETE_PRIORITY: "0",
            keys::label::NETWORK_DISABLED: "false",
        }},
        "spec": {"schedulerName": "nobody", "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "game", "image": "game:1"}]},
    })
}

fn game_server(name: &str, set: &str, pod_uid: &Value) -> Value {
    json!({
        "apiVersion": keys::API_VERSION, "kind": keys::KIND_GAME_SERVER,
        "metadata": {
            "name": name,
            "labels": {keys::label::OWNER_GSS: set},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": pod_uid,
                "controller": true, "blockOwnerDeletion": true}],
        },
        "spec": {"opsState": "None", "updatePriority": 0, "deletionPriority": 0, "networkDisabled": false},
        "status": {"desiredState": "Ready", "currentState": "Ready", "podStatus": {"phase": "Running", "podIP": "10.1.0.7"}},
    })
}

/// Carries opsState and generation of every GameServer to its Pod, as pod-sync does.
async fn mirror(client: kube::Client, namespace: String) {
    let servers: Api<GameServer> = Api::namespaced(client.clone(), &namespace);
    let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(client, &namespace);
    let events = watcher::watcher(servers, watcher::Config::default());
    pin_mut!(events);
    while let Some(event) = events.next().await {
        let Ok(Event::Apply(server) | Event::InitApply(server)) = event else {
            continue;
        };
        let name = server.metadata.name.unwrap();
        if name.starts_with(MUTE) {
            continue;
        }
        let patch = json!({"metadata": {
            "labels": {keys::label::GS_OPS_STATE: server.spec.ops_state},
            "annotations": {keys::annotation::SYNCED_GENERATION: server.metadata.generation.unwrap_or_default().to_string()},
        }});
        // One that is gone shows nothing any more.
        let _ = pods
            .patch(
                &name,
                &kube::api::PatchParams::default(),
                &kube::api::Patch::Merge(patch),
            )
            .await;
    }
}

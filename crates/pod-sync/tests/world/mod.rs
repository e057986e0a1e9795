//! A namespace of its own on a real API server, GameServers and Pods in it, an independent watch on the Pods, and pod-sync
//! processes. No nodes are needed: the Pods name a scheduler that does not exist, and the test writes their status.

#![allow(dead_code, unused_imports, reason = "each test file uses its part")]

mod process;
mod watcher;

use std::{collections::BTreeMap, ops::Deref};

use k8s_openapi::api::core::v1::{Event, Namespace, Pod};
use kube::{
    Api,
    api::{
        ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
        PostParams,
    },
};
use serde_json::{Value, json};
use test_bed::TestNamespace;
pub(crate) use test_bed::{PATIENCE, eventually, pause};

pub(crate) use process::PodSync;
pub(crate) use watcher::PodWatch;

/// One test's namespace.
pub(crate) struct World {
    space: TestNamespace,
    pub(crate) pods: Api<Pod>,
    pub(crate) servers: Api<DynamicObject>,
}

impl Deref for World {
    type Target = TestNamespace;

    fn deref(&self) -> &TestNamespace {
        &self.space
    }
}

impl World {
    /// A fresh namespace, with the CRDs installed.
    pub(crate) async fn new() -> Self {
        let space = TestNamespace::new("pod-sync").await;
        let (client, name) = (space.client.clone(), &*space.namespace);
        Self {
            pods: Api::namespaced(client.clone(), name),
            servers: Api::namespaced_with(client, name, &game_server()),
            space,
        }
    }

    /// A Pod as gss-controller makes it, and its Cascade GameServer as gs-controller makes it.
    pub(crate) async fn server(&self, name: &str) -> Pod {
        let pod = self.pod(name, json!({})).await;
        self.game_server(name, &pod, json!({})).await;
        pod
    }

    /// A Pod with these extra metadata.
    pub(crate) async fn pod(&self, name: &str, metadata: Value) -> Pod {
        let mut pod = json!({
            "metadata": {"name": name, "labels": {
                "game.kruise.io/owner-gss": "arena",
                "game.kruise.io/gs-state": "Creating",
                "game.kruise.io/gs-opsState": "None",
                "game.kruise.io/gs-update-priority": "0",
                "game.kruise.io/gs-delete-priority": "0",
                "game.kruise.io/network-disabled": "false",
            }},
            "spec": {
                "schedulerName": "nobody",
                "containers": [{"name": "game", "image": "game:1"}, {"name": "log", "image": "log:1"}],
            },
        });
        merge(&mut pod["metadata"], &metadata);
        serde_json::from_value(self.post_pod(&pod).await).unwrap()
    }

    /// A GameServer called `name`, owned by `owner`, with this spec over the defaults.
    pub(crate) async fn game_server(&self, name: &str, owner: &Pod, spec: Value) {
        let owner = &owner.metadata;
        let mut object = json!({
            "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServer",
            "metadata": {
                "name": name,
                "labels": {"game.kruise.io/owner-gss": "arena"},
                "ownerReferences": [{
                    "apiVersion": "v1", "kind": "Pod", "name": owner.name, "uid": owner.uid,
                    "controller": true, "blockOwnerDeletion": true,
                }],
            },
            "spec": {"opsState": "None", "updatePriority": 0, "deletionPriority": 0, "networkDisabled": false},
        });
        merge(&mut object["spec"], &spec);
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        self.servers
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
    }

    /// Merge-patches a GameServer and returns it, as an allocator would.
    pub(crate) async fn change(&self, name: &str, patch: Value) -> DynamicObject {
        self.servers
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap()
    }

    /// Sets opsState and returns the GameServer's new generation.
    pub(crate) async fn set_ops_state(&self, name: &str, ops_state: &str) -> i64 {
        self.change(name, json!({"spec": {"opsState": ops_state}}))
            .await
            .metadata
            .generation
            .unwrap()
    }

    /// Writes the Pod's status as a kubelet does: running, and ready or not.
    pub(crate) async fn set_ready(&self, name: &str, ready: bool) {
        let ready = if ready { "True" } else { "False" };
        let status =
            json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}});
        self.pods
            .patch_status(name, &PatchParams::default(), &Patch::Strategic(status))
            .await
            .unwrap();
    }

    /// Waits until the Pod is as `wanted` and returns it.
    pub(crate) async fn pod_until(&self, name: &str, what: &str, wanted: impl Fn(&Pod) -> bool) -> Pod {
        let read = async || self.pods.get(name).await.unwrap();
        eventually(what, read, wanted).await
    }

    /// Waits until the Pod's label has this value.
    pub(crate) async fn label_until(&self, name: &str, key: &str, value: &str) -> Pod {
        self.pod_until(name, &format!("label {key}={value}"), |pod| {
            label(pod, key) == Some(value)
        })
        .await
    }

    /// Waits for an event on a GameServer with this reason and note.
    pub(crate) async fn event_until(&self, name: &str, reason: &str, note: &str) -> Event {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let fields = format!("involvedObject.kind=GameServer,involvedObject.name={name},reason={reason}");
        let params = ListParams::default().fields(&fields);
        let read = async || events.list(&params).await.unwrap().items;
        let has = |event: &Event| {
            event
                .message
                .as_deref()
                .is_some_and(|message| message.contains(note))
        };
        let found = eventually(&format!("event {reason}: {note}"), read, |events| {
            events.iter().any(has)
        })
        .await;
        found.into_iter().find(has).unwrap()
    }
}

impl Drop for World {
    /// Deletes the namespace, also when the test has failed.
    fn drop(&mut self) {
        let (client, namespace) = (self.client.clone(), self.namespace.clone());
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async move {
                let namespaces: Api<Namespace> = Api::all(client);
                let _ = namespaces.delete(&namespace, &DeleteParams::default()).await;
            });
        });
    }
}

/// A label's value; short keys are under `game.kruise.io/`.
pub(crate) fn label<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    value(pod.metadata.labels.as_ref(), key)
}

/// An annotation's value; short keys are under `game.kruise.io/`.
pub(crate) fn annotation<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    value(pod.metadata.annotations.as_ref(), key)
}

fn value<'a>(map: Option<&'a BTreeMap<String, String>>, key: &str) -> Option<&'a str> {
    let full = if key.contains('/') {
        key.to_owned()
    } else {
        format!("game.kruise.io/{key}")
    };
    map?.get(&full).map(String::as_str)
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.iter()
                .for_each(|(key, value)| merge(into.entry(key.clone()).or_insert(Value::Null), value));
        }
        (into, from) => *into = from.clone(),
    }
}

fn game_server() -> ApiResource {
    let kind = GroupVersionKind::gvk("game.kruise.io", "v1alpha1", "GameServer");
    ApiResource::from_gvk_with_plural(&kind, "gameservers")
}

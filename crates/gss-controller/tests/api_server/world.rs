//! One test's namespace, and the parts the test plays in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
};

use api_types::{Condition, GameServer, GameServerSet, names::ordinal_of};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use test_bed::TestNamespace;
pub(crate) use test_bed::eventually;

/// A finalizer that keeps a Pod terminating until the test lets it go.
const HOLD: &str = "gamekeeper.dev/hold";

/// A namespace of one test.
pub(crate) struct World {
    space: TestNamespace,
    pub(crate) pods: Api<Pod>,
    pub(crate) sets: Api<GameServerSet>,
    pub(crate) servers: Api<GameServer>,
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
        let space = TestNamespace::new("gss-controller").await;
        let (client, name) = (space.client.clone(), &*space.namespace);
        Self {
            pods: Api::namespaced(client.clone(), name),
            sets: Api::namespaced(client.clone(), name),
            servers: Api::namespaced(client, name),
            space,
        }
    }

    /// Creates set `arena` with this spec over the defaults. Its Pods name a scheduler that does not exist.
    pub(crate) async fn set(&self, replicas: u32, spec: Value) -> GameServerSet {
        let mut object = json!({
            "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet",
            "metadata": { "name": "arena" },
            "spec": { "replicas": replicas, "gameServerTemplate": { "spec": {
                "schedulerName": "nobody",
                "containers": [{ "name": "game", "image": "game:1" }],
            } } },
        });
        merge(&mut object["spec"], &spec);
        let object = serde_json::from_value(object).unwrap();
        self.sets.create(&PostParams::default(), &object).await.unwrap()
    }

    /// Merge-patches set `arena`.
    pub(crate) async fn change_set(&self, patch: Value) {
        self.sets
            .patch("arena", &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    }

    pub(crate) async fn scale(&self, replicas: u32) {
        self.change_set(json!({ "spec": { "replicas": replicas } })).await;
    }

    /// Waits until set `arena` is as wanted.
    pub(crate) async fn set_when(
        &self,
        what: &str,
        wanted: impl Fn(&GameServerSet) -> bool,
    ) -> GameServerSet {
        eventually(what, async || self.sets.get("arena").await.unwrap(), wanted).await
    }

    /// Waits until the set has this condition with this status, and gives it.
    pub(crate) async fn condition(&self, type_: &str, status: &str) -> Condition {
        let set = self
            .set_when(&format!("condition {type_}={status}"), |set| {
                condition_of(set, type_).is_some_and(|condition| condition.status == status)
            })
            .await;
        condition_of(&set, type_).unwrap().clone()
    }

    /// The Pods that are not terminating, by id.
    pub(crate) async fn live(&self) -> BTreeMap<u32, Pod> {
        let all = self.pods.list(&ListParams::default()).await.unwrap().items;
        all.into_iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
            .filter_map(|pod| Some((ordinal_of(pod.metadata.name.as_deref()?)?, pod)))
            .collect()
    }

    /// Waits until exactly these Pods are live.
    pub(crate) async fn live_when(&self, ids: impl IntoIterator<Item = u32>) -> BTreeMap<u32, Pod> {
        let wanted: BTreeSet<u32> = ids.into_iter().collect();
        let read = async || self.live().await;
        let shown = format!("Pods {wanted:?}");
        eventually(&shown, read, |live| {
            live.keys().copied().eq(wanted.iter().copied())
        })
        .await
    }

    /// The Pod of this id, once it exists and is not terminating.
    pub(crate) async fn pod_when(&self, id: u32, wanted: impl Fn(&Pod) -> bool) -> Pod {
        let read = async || self.pods.get_opt(&name(id)).await.unwrap();
        eventually("Pod", read, |pod| pod.as_ref().is_some_and(&wanted))
            .await
            .unwrap()
    }

    /// Creates a GameServer for this Pod, as gs-controller does: owned by the Pod, or by the set when it is to be kept.
    pub(crate) async fn game_server(
        &self,
        pod: &Pod,
        kept_by: Option<&GameServerSet>,
        spec: Value,
    ) -> GameServer {
        self.create_server(game_server(pod, kept_by, &spec)).await
    }

    /// The same, and somebody's finalizer keeps it from the first moment: the garbage collector looks for owners at once.
    pub(crate) async fn held_game_server(&self, pod: &Pod) -> GameServer {
        let mut object = game_server(pod, None, &json!({}));
        object["metadata"]["finalizers"] = json!([HOLD]);
        self.create_server(object).await
    }

    async fn create_server(&self, object: Value) -> GameServer {
        self.servers
            .create(&PostParams::default(), &serde_json::from_value(object).unwrap())
            .await
            .unwrap()
    }

    /// Sets opsState as an allocator does.
    pub(crate) async fn set_ops_state(&self, id: u32, ops_state: &str) -> Result<GameServer, kube::Error> {
        let patch = json!({ "spec": { "opsState": ops_state } });
        self.servers
            .patch(&name(id), &PatchParams::default(), &Patch::Merge(patch))
            .await
    }

    /// Lets a GameServer go that [`HOLD`] keeps.
    pub(crate) async fn release_server(&self, id: u32) {
        let patch = json!({ "metadata": { "finalizers": null } });
        self.servers
            .patch(&name(id), &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    }

    /// Writes a Pod's status as a kubelet does.
    pub(crate) async fn pod_status(&self, id: u32, status: Value) {
        let patch = json!({ "status": status });
        self.pods
            .patch_status(&name(id), &PatchParams::default(), &Patch::Strategic(patch))
            .await
            .unwrap();
    }

    /// Running and ready.
    pub(crate) async fn make_ready(&self, id: u32) {
        let ready =
            json!({ "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z" });
        self.pod_status(id, json!({ "phase": "Running", "conditions": [ready] }))
            .await;
    }

    /// Lets a Pod go that [`HOLD`] keeps.
    pub(crate) async fn release(&self, id: u32) {
        let patch = json!({ "metadata": { "finalizers": null } });
        self.pods
            .patch(&name(id), &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    }
}

impl Drop for World {
    /// Deletes the namespace, also when the test has failed.
    fn drop(&mut self) {
        let (pods, namespaces) = (self.pods.clone(), Api::<Namespace>::all(self.client.clone()));
        let namespace = self.namespace.clone();
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async move {
                let _ = namespaces.delete(&namespace, &DeleteParams::default()).await;
                for pod in pods.list(&ListParams::default()).await.into_iter().flatten() {
                    let patch = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
                    if pod.metadata.finalizers.is_some() {
                        let _ = pods
                            .patch(&pod.metadata.name.unwrap(), &PatchParams::default(), &patch)
                            .await;
                    }
                }
            });
        });
    }
}

/// The condition of this type.
pub(crate) fn condition_of<'a>(set: &'a GameServerSet, type_: &str) -> Option<&'a Condition> {
    set.status
        .as_ref()?
        .conditions
        .iter()
        .find(|condition| condition.type_ == type_)
}

pub(crate) fn name(id: u32) -> String {
    format!("arena-{id}")
}

pub(crate) fn uid(pod: &Pod) -> String {
    pod.metadata.uid.clone().unwrap()
}

/// The part of a template that keeps its Pods terminating.
pub(crate) fn holding() -> Value {
    json!({ "gameServerTemplate": { "metadata": { "finalizers": [HOLD] } } })
}

/// The GameServer of a Pod, owned by it, or by the set when it is to be kept.
fn game_server(pod: &Pod, kept_by: Option<&GameServerSet>, spec: &Value) -> Value {
    let (api, kind, owner) = match kept_by {
        Some(set) => ("game.kruise.io/v1alpha1", "GameServerSet", &set.metadata),
        None => ("v1", "Pod", &pod.metadata),
    };
    let mut object = json!({
        "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServer",
        "metadata": {
            "name": pod.metadata.name,
            "labels": { "game.kruise.io/owner-gss": "arena" },
            "ownerReferences": [{
                "apiVersion": api, "kind": kind, "name": owner.name, "uid": owner.uid,
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": { "opsState": "None", "updatePriority": 0, "deletionPriority": 0, "networkDisabled": false },
    });
    merge(&mut object["spec"], spec);
    object
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

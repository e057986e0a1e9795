//! One test's namespace, and the parts the test plays in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    path::PathBuf,
    time::{Duration, Instant},
};

use api_types::{Condition, GameServer, GameServerSet, names::ordinal_of};
use k8s_openapi::{
    api::core::v1::{Namespace, Pod},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Config,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};

/// How long anything may take on a busy machine before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// A finalizer that keeps a Pod terminating until the test lets it go.
pub(crate) const HOLD: &str = "gamekeeper.dev/hold";

/// A namespace of one test.
pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) pods: Api<Pod>,
    pub(crate) sets: Api<GameServerSet>,
    pub(crate) servers: Api<GameServer>,
}

impl World {
    /// A fresh namespace, with the CRDs installed and its service account there.
    pub(crate) async fn new() -> Self {
        let kubeconfig = kubeconfig();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let file = Kubeconfig::read_from(&kubeconfig).unwrap();
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
            .await
            .unwrap();
        let client = Client::try_from(config).unwrap();
        install_crds(&client).await;
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let wanted: Namespace =
            serde_json::from_value(json!({ "metadata": { "generateName": "gss-controller-" } })).unwrap();
        let namespace = namespaces
            .create(&PostParams::default(), &wanted)
            .await
            .unwrap()
            .metadata
            .name
            .unwrap();
        Self {
            pods: Api::namespaced(client.clone(), &namespace),
            sets: Api::namespaced(client.clone(), &namespace),
            servers: Api::namespaced(client.clone(), &namespace),
            client,
            namespace,
            kubeconfig,
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
        merge(&mut object["spec"], &spec);
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

    /// Sets the finalizers of a GameServer.
    pub(crate) async fn finalizers_of_server(&self, id: u32, finalizers: Value) {
        let patch = json!({ "metadata": { "finalizers": finalizers } });
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

/// Reads until `wanted`, or fails after [`PATIENCE`] with what was read last.
pub(crate) async fn eventually<T: Debug>(
    what: &str,
    read: impl AsyncFn() -> T,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        let now = read().await;
        if wanted(&now) {
            return now;
        }
        assert!(
            Instant::now() < end,
            "no {what} within {PATIENCE:?}; last: {now:#?}"
        );
        pause().await;
    }
}

/// Between two looks at a condition.
pub(crate) async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
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

fn kubeconfig() -> PathBuf {
    if let Some(path) = std::env::var_os("GAMEKEEPER_TEST_KUBECONFIG") {
        return path.into();
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    let path = cache
        .unwrap_or_else(home)
        .join("gamekeeper/clusters/dev/kubeconfig");
    assert!(
        path.exists(),
        "no cluster: run `cargo xtask cluster up` or `make test`"
    );
    path
}

/// Applies the CRDs; the same content from several tests at once is no conflict.
async fn install_crds(client: &Client) {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in api_types::crd::all().unwrap() {
        let name = crd.metadata.name.clone().unwrap();
        let params = PatchParams::apply("gamekeeper-tests").force();
        crds.patch(&name, &params, &Patch::Apply(&crd)).await.unwrap();
        let established = |crd: &CustomResourceDefinition| {
            let conditions = crd
                .status
                .iter()
                .flat_map(|status| status.conditions.iter().flatten());
            conditions
                .into_iter()
                .any(|found| found.type_ == "Established" && found.status == "True")
        };
        eventually(
            "established CRD",
            async || crds.get(&name).await.unwrap(),
            established,
        )
        .await;
    }
}

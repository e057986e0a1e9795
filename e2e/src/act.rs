//! What a test does to the cluster, as a person, an allocator or an autoscaler would.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use api_types::{GameServer, GameServerSet};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, ResourceExt as _};
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::World;

/// Keeps a deleted Pod in the API until it is taken off.
pub const HOLD: &str = "e2e.gamekeeper.local/hold";

/// A set with one container. Nothing but its name and size is chosen; tests add what they are about.
pub fn set(name: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "game.kruise.io/v1alpha1",
        "kind": "GameServerSet",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "gameServerTemplate": {"spec": {"containers": [{"name": "game", "image": "gamekeeper.local/demo/game:1"}]}},
        },
    })
}

/// [`set`] with these fields merged into its `spec`.
pub fn set_with(name: &str, replicas: u32, spec: &Value) -> Value {
    let mut object = set(name, replicas);
    merge(&mut object["spec"], spec);
    object
}

/// Merges `from` into `target`, field by field.
pub fn merge(target: &mut Value, from: &Value) {
    match (target, from) {
        (Value::Object(target), Value::Object(from)) => {
            for (key, value) in from {
                merge(target.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (target, from) => *target = from.clone(),
    }
}

impl World {
    /// Applies one object to this namespace, server-side, refusing unknown fields.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn apply(&self, object: &Value) -> Result<DynamicObject> {
        let object: DynamicObject = serde_json::from_value(object.clone())?;
        let types = object
            .types
            .clone()
            .context("the object has no apiVersion and kind")?;
        let gvk = GroupVersionKind::try_from(&types)?;
        let (resource, _) = kube::discovery::pinned_kind(&self.client, &gvk).await?;
        let namespace = object.namespace().unwrap_or_else(|| self.namespace.clone());
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &namespace, &resource);
        let params = PatchParams::apply("e2e").validation_strict();
        let name = object.name_any();
        api.patch(&name, &params, &Patch::Apply(&object))
            .await
            .with_context(|| format!("can't apply {} {name}", types.kind))
    }

    /// Applies every document of a file under `e2e/manifests/`, as it is.
    ///
    /// # Errors
    /// When there is no such file, or the API server refuses a document.
    pub async fn apply_manifest(&self, file: &str) -> Result<()> {
        let text = crate::cluster::manifest(file)?;
        for document in serde_yaml::Deserializer::from_str(&text) {
            let object = Value::deserialize(document)?;
            if !object.is_null() {
                self.apply(&object).await?;
            }
        }
        Ok(())
    }

    /// Applies [`set`] with these `spec` fields and waits until it is at rest with ids from 0.
    ///
    /// # Errors
    /// When it is refused or doesn't come to rest.
    pub async fn settled_set(&self, name: &str, replicas: u32, spec: &Value) -> Result<()> {
        self.apply(&set_with(name, replicas, spec)).await?;
        self.at_rest(name, &(0..replicas).collect::<Vec<_>>()).await
    }

    /// Merge-patches a GameServer, and waits until the watches show it.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn patch_server(&self, name: &str, patch: &Value) -> Result<GameServer> {
        let patch = Patch::Merge(patch);
        let server = self
            .servers()
            .patch(name, &PatchParams::default(), &patch)
            .await?;
        self.until("the watch shows the patched server", |s| {
            shows(s.servers.get(name), &server)
        })
        .await?;
        Ok(server)
    }

    /// Sets a GameServer's opsState, as an allocator does.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn set_ops_state(&self, name: &str, ops_state: &str) -> Result<GameServer> {
        self.patch_server(name, &json!({"spec": {"opsState": ops_state}}))
            .await
    }

    /// Merge-patches a GameServerSet's `spec`, and waits until the watches show it.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn patch_set(&self, name: &str, spec: &Value) -> Result<GameServerSet> {
        let patch = Patch::Merge(json!({"spec": spec}));
        let set = self.sets().patch(name, &PatchParams::default(), &patch).await?;
        self.until("the watch shows the patched set", |s| {
            shows(s.sets.get(name), &set)
        })
        .await?;
        Ok(set)
    }

    /// Sets a GameServerSet's `spec.replicas`.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn scale(&self, name: &str, replicas: u32) -> Result<GameServerSet> {
        self.patch_set(name, &json!({"replicas": replicas})).await
    }

    /// Puts a finalizer on a Pod: once deleted it stays, terminating, until [`World::release`].
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn hold(&self, pod: &str) -> kube::Result<Pod> {
        let patch = Patch::Merge(json!({"metadata": {"finalizers": [HOLD]}}));
        self.pods().patch(pod, &PatchParams::default(), &patch).await
    }

    /// Takes the finalizer of [`World::hold`] off.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn release(&self, pod: &str) -> kube::Result<Pod> {
        let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        self.pods().patch(pod, &PatchParams::default(), &patch).await
    }

    /// Deletes a Pod, as an eviction or a person would.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn delete_pod(&self, name: &str) -> Result<()> {
        self.pods().delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// UID of a Pod that exists.
    ///
    /// # Errors
    /// When the watches haven't shown it.
    pub fn pod_uid(&self, name: &str) -> Result<String> {
        self.now()
            .pods
            .get(name)
            .and_then(|pod| pod.uid())
            .with_context(|| format!("there is no Pod {name}"))
    }

    /// Waits for an event with this reason about the object `name`.
    ///
    /// # Errors
    /// After two minutes: events make room for everything else, and while the machine has too much to do each comes up to a second
    /// after the one before.
    pub async fn event(&self, name: &str, reason: &str) -> Result<Event> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let about = ListParams::default().fields(&format!("involvedObject.name={name},reason={reason}"));
        let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
        loop {
            if let Some(event) = events.list(&about).await?.items.pop() {
                return Ok(event);
            }
            if tokio::time::Instant::now() > deadline {
                bail!("no event {reason} about {name} within 120 s");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until the controllers have worked through all that came before: a new set is made, comes to rest and goes. What
    /// they would have done wrong until then is done, and seen.
    ///
    /// # Errors
    /// When the new set doesn't come to rest.
    pub async fn fence(&self) -> Result<()> {
        self.settled_set("fence", 1, &json!({})).await?;
        self.sets().delete("fence", &DeleteParams::foreground()).await?;
        self.until("the fence is gone", |s| {
            !s.sets.contains_key("fence") && s.pods_of("fence").count() == 0
        })
        .await
    }
}

/// Whether a watch shows `written` or what came after it, its deletion included.
fn shows<K: kube::Resource>(seen: Option<&Arc<K>>, written: &K) -> bool {
    let version = |object: &K| {
        object
            .meta()
            .resource_version
            .as_ref()
            .and_then(|text| text.parse::<u64>().ok())
    };
    seen.is_none_or(|seen| version(seen) >= version(written))
}

/// What the API server said when it refused.
///
/// # Errors
/// When it didn't refuse.
pub fn refusal<T: std::fmt::Debug>(result: kube::Result<T>) -> Result<String> {
    match result {
        Err(kube::Error::Api(status)) => Ok(format!("{} {}", status.code, status.message)),
        other => bail!("the API server should have refused this: {other:?}"),
    }
}

//! A set as OpenKruiseGame and OpenKruise leave it when they are stopped: every object, label, gate and owner.

mod objects;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::World;

/// A set to lay down.
#[derive(Debug, Clone)]
pub struct Estate {
    /// Its name.
    pub name: String,
    /// Ids with a server.
    pub ids: Vec<u32>,
    /// Ids the user reserved.
    pub reserved: Vec<u32>,
    /// Ids given up by earlier scale-ins.
    pub holes: Vec<u32>,
    /// `Cascade` or `Delete`.
    pub reclaim_policy: &'static str,
    /// Whether service qualities, and with them a PodProbeMarker, exist.
    pub probed: bool,
}

impl Estate {
    /// Servers 0, 2, 4 and 5; 1 is reserved, 3 is a hole.
    pub fn new(name: &str, reclaim_policy: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            ids: vec![0, 2, 4, 5],
            reserved: vec![1],
            holes: vec![3],
            reclaim_policy,
            probed: true,
        }
    }

    /// Makes every object of it and waits until its Pods are Ready.
    ///
    /// # Errors
    /// When the API server refuses one, or a Pod does not become Ready.
    pub async fn lay_down(&self, world: &World) -> Result<()> {
        let set = world.create(&self.game_server_set()).await?;
        let set_uid = uid(&set)?;
        let workload = world.create(&self.workload(&set_uid)).await?;
        let workload_uid = uid(&workload)?;
        world
            .patch_status_of(&workload, &self.workload_status(&workload))
            .await?;
        for revision in [self.old_revision(&workload_uid), self.revision(&workload_uid)] {
            world.create(&revision).await?;
        }
        let node = a_node(world).await?;
        for id in &self.ids {
            world.create(&self.claim(*id, &workload_uid)).await?;
            let pod = world.create(&self.pod(*id, &node, &workload_uid)).await?;
            world.patch_status_of(&pod, &objects::open_gates()).await?;
            let server = world
                .create(&self.game_server(*id, &uid(&pod)?, &set_uid))
                .await?;
            world.patch_status_of(&server, &objects::server_status()).await?;
        }
        if self.probed {
            world.create(&self.probe_marker(&set_uid)).await?;
        }
        world.patch_status_of(&set, &self.set_status()).await?;
        let ids: BTreeSet<u32> = self.ids.iter().copied().collect();
        world
            .until(&format!("the Pods of {} are Ready", self.name), |s| {
                s.pods_of(&self.name).filter(|pod| is_ready(pod)).count() == ids.len()
                    && s.ids(&self.name) == ids
            })
            .await
    }

    /// Says what OpenKruise says once it has acted on the workload as it is now.
    ///
    /// # Errors
    /// When there is no workload.
    pub async fn workload_follows(&self, world: &World) -> Result<()> {
        let workload = world
            .objects("apps.kruise.io/v1beta1/StatefulSet")?
            .get(&self.name)
            .await?;
        world
            .patch_status_of(&workload, &self.workload_status(&workload))
            .await
    }
}

/// Whether the kubelet says so.
fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Where Pods run; they are bound already, so that no scheduler looks at their volumes.
async fn a_node(world: &World) -> Result<String> {
    let nodes: Api<Node> = Api::all(world.client.clone());
    let found = nodes.list(&ListParams::default()).await?.items.pop();
    Ok(found.context("the cluster has no nodes")?.name_any())
}

fn uid(object: &DynamicObject) -> Result<String> {
    object.uid().context("no UID")
}

impl World {
    /// Installs the CRDs of OpenKruise that its sets are made of, without OpenKruise.
    ///
    /// # Errors
    /// When the API server refuses, or does not serve them in time.
    pub async fn install_kruise_crds(&self) -> Result<()> {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        for definition in objects::definitions() {
            let name = definition["metadata"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let params = PatchParams::apply("e2e").force();
            api.patch(&name, &params, &Patch::Apply(&definition)).await?;
            let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
            while !is_established(&api.get(&name).await?) {
                anyhow::ensure!(
                    tokio::time::Instant::now() < deadline,
                    "{name} is not served within 30 s"
                );
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    }

    /// Creates an object in this namespace.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn create(&self, object: &Value) -> Result<DynamicObject> {
        let object: DynamicObject = serde_json::from_value(object.clone())?;
        let api = self.api_of(&object)?;
        let kind = object.types.clone().unwrap_or_default().kind;
        api.create(&PostParams::default(), &object)
            .await
            .with_context(|| format!("can't create {kind} {}", object.name_any()))
    }

    /// Patches an object's status; conditions of a Pod by type, for its kubelet writes others.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn patch_status_of(&self, object: &DynamicObject, status: &Value) -> Result<()> {
        let body = json!({"status": status});
        let is_pod = object.types.as_ref().is_some_and(|types| types.kind == "Pod");
        let patch = if is_pod {
            Patch::Strategic(body)
        } else {
            Patch::Merge(body)
        };
        let api = self.api_of(object)?;
        api.patch_status(&object.name_any(), &PatchParams::default(), &patch)
            .await
            .with_context(|| format!("can't patch the status of {}", object.name_any()))?;
        Ok(())
    }

    /// The objects of a kind in this namespace; `kind` is `apiVersion/Kind`, such as `apps.kruise.io/v1beta1/StatefulSet`.
    ///
    /// # Errors
    /// When `kind` isn't written so.
    pub fn objects(&self, kind: &str) -> Result<Api<DynamicObject>> {
        let (api_version, kind) = kind.rsplit_once('/').context("no apiVersion/Kind")?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let gvk = GroupVersionKind::gvk(group, version, kind);
        let resource = ApiResource::from_gvk(&gvk);
        Ok(Api::namespaced_with(
            self.client.clone(),
            &self.namespace,
            &resource,
        ))
    }

    fn api_of(&self, object: &DynamicObject) -> Result<Api<DynamicObject>> {
        let types = object
            .types
            .clone()
            .context("the object has no apiVersion and kind")?;
        self.objects(&format!("{}/{}", types.api_version, types.kind))
    }
}

fn is_established(definition: &CustomResourceDefinition) -> bool {
    let conditions = definition
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Established" && condition.status == "True")
}

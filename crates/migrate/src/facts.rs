//! What is known of the cluster and of one set: plain data, from which everything is decided.

use std::collections::BTreeMap;

use gss_controller::plan::{
    ids::{Id, IdSet},
    record::Record,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::Value;

use crate::snapshot::Snapshot;

/// What concerns all sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterFacts {
    /// Deployments of OpenKruiseGame's manager that run, as `namespace/name`.
    pub okg_running: Vec<String>,
    /// Webhook configurations that call OpenKruiseGame's manager.
    pub okg_webhooks: Vec<String>,
    /// Deployments of OpenKruise's manager that run.
    pub kruise_running: Vec<String>,
    /// Webhook configurations that call OpenKruise's manager.
    pub kruise_webhooks: Vec<String>,
    /// Whether the installed GameServerSet CRD can hold a plan record; the API server drops what it cannot.
    pub crd_holds_plan: bool,
}

/// What concerns one set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SetFacts {
    /// Its namespace.
    pub namespace: String,
    /// Its name, which is also its workload's.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its version.
    pub version: String,
    /// Its generation.
    pub generation: i64,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// `spec.replicas`.
    pub replicas: u64,
    /// The understood part of `spec.reserveGameServerIds`.
    pub reserved: IdSet,
    /// The annotation `reserve-ids`: reserves that OpenKruiseGame has acted on.
    pub acknowledged: IdSet,
    /// The stored plan record.
    pub record: Option<Record>,
    /// Its Advanced StatefulSet.
    pub workload: Option<Workload>,
    /// Pods that are its servers, or claim to be.
    pub pods: Vec<PodFacts>,
    /// Volume claims with its label, or owned by its workload.
    pub claims: Vec<Owned>,
    /// ControllerRevisions owned by its workload or by itself.
    pub revisions: Vec<Owned>,
    /// Its PodProbeMarker.
    pub marker: Option<Marker>,
    /// What was stored when its take-over began.
    pub snapshot: Option<StoredSnapshot>,
    /// Whether its controller has acted on its latest generation: replicas, reserves and template are the workload's then.
    pub observed: bool,
}

/// An Advanced StatefulSet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Workload {
    /// Its UID.
    pub uid: String,
    /// UID of the GameServerSet that controls it.
    pub controller: Option<String>,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Whether its controller has acted on its latest generation.
    pub observed: bool,
    /// `spec.replicas`.
    pub replicas: u64,
    /// `spec.reserveOrdinals`.
    pub reserved: IdSet,
    /// Items of it that cannot be understood: OpenKruise then takes the whole list for empty.
    pub bad_reserves: Vec<String>,
    /// `spec.ordinals.start`.
    pub first_ordinal: u64,
    /// `status.updatedReplicas`.
    pub updated: u64,
    /// Whether `status.currentRevision` is `status.updateRevision`.
    pub one_revision: bool,
    /// All of it, for the snapshot.
    pub manifest: Value,
}

/// An object with owners.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Owned {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its version.
    pub version: String,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Its owners.
    pub owners: Vec<OwnerReference>,
}

impl Owned {
    /// Its controlling owner.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owners.iter().find(|owner| owner.controller == Some(true))
    }

    /// Whether any owner has this UID.
    pub fn is_owned_by(&self, uid: &str) -> bool {
        self.owners.iter().any(|owner| owner.uid == uid)
    }
}

/// A Pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PodFacts {
    /// The object.
    pub object: Owned,
    /// The id in its name, if the name is one of this set's.
    pub id: Option<Id>,
    /// Label `lifecycle.apps.kruise.io/state`.
    pub lifecycle: Option<String>,
    /// Whether an in-place update waits for its grace period.
    pub in_grace: bool,
    /// `status.phase`.
    pub phase: String,
    /// Readiness gates that only OpenKruise or Gamekeeper opens, and whether each is open.
    pub gates: BTreeMap<String, bool>,
    /// Restarts of each container.
    pub restarts: BTreeMap<String, i32>,
}

/// A PodProbeMarker.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Marker {
    /// The object.
    pub object: Owned,
    /// Its finalizers.
    pub finalizers: Vec<String>,
    /// All of it, for the snapshot.
    pub manifest: Value,
}

/// A snapshot as it is stored.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StoredSnapshot {
    /// UID of the ConfigMap.
    pub uid: String,
    /// What it says.
    pub content: Snapshot,
}

/// Whose a Pod is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// The GameServerSet's.
    Set,
    /// Its workload's, or that of a workload of that name that is gone.
    Workload,
    /// Nobody's.
    Nobody,
    /// Somebody else's.
    Other,
}

impl SetFacts {
    /// Whose this object is.
    pub fn holder(&self, object: &Owned) -> Holder {
        let Some(controller) = object.controller() else {
            return Holder::Nobody;
        };
        let kruise = controller.api_version.starts_with("apps.kruise.io/") && controller.name == self.name;
        match &self.workload {
            _ if controller.uid == self.uid => Holder::Set,
            Some(workload) if controller.uid == workload.uid => Holder::Workload,
            // Its owner is gone: the garbage collector will take it unless it gets another one first.
            None if kruise => Holder::Workload,
            _ => Holder::Other,
        }
    }

    /// Pods that are this set's servers, whoever owns them now.
    pub fn servers(&self) -> impl Iterator<Item = &PodFacts> {
        let served = |pod: &&PodFacts| pod.id.is_some() && self.holder(&pod.object) != Holder::Other;
        self.pods.iter().filter(served)
    }

    /// Whether Pods have been taken over while the workload is still there.
    pub fn is_begun(&self) -> bool {
        self.workload.is_some() && self.servers().any(|pod| self.holder(&pod.object) == Holder::Set)
    }

    /// The ids the workload wants: the lowest that are not reserved, whether their Pods exist or not.
    pub fn workload_ids(&self) -> Option<IdSet> {
        let workload = self.workload.as_ref()?;
        Some(workload.reserved.lowest_free(workload.replicas))
    }

    /// The plan record that says what the workload says.
    pub fn record_of_workload(&self) -> Option<Record> {
        let workload = self.workload.as_ref()?;
        Some(Record {
            desired: self.workload_ids()?,
            reserved: self.acknowledged.clone(),
            implicit: workload.reserved.difference(&self.acknowledged),
            ..Record::default()
        })
    }
}

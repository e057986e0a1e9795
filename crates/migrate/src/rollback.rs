//! The way back: a set's servers belong to an Advanced StatefulSet again. Pure.
//!
//! The workload is made again from the snapshot, with the ids of today. Pods go straight from the set to it: at no moment is
//! one without a controller. gss-controller does nothing for a set while any of its Pods belongs to OpenKruise.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::{Value, json};

use crate::{
    facts::{ClusterFacts, Holder, Owned, SetFacts},
    kinds::WORKLOAD,
    plan::{
        Force, Obstacle, OwnedKind, Reason, SetPlan, State, Step, cluster_obstacles, hand_over, holes,
        live_ids,
    },
    snapshot::Snapshot,
};

/// Plans what is left to do to give a set back.
pub fn plan(cluster: &ClusterFacts, set: &SetFacts, force: Force) -> SetPlan {
    let mut obstacles = Vec::new();
    let mut steps = Vec::new();
    match set.snapshot.as_ref().map(|stored| &stored.content) {
        Some(snapshot) => steps = self::steps(set, snapshot),
        None if set.workload.is_some() => {}
        None => obstacles.push(Obstacle {
            reason: Reason::NoSnapshot,
            message: "there is no ConfigMap gamekeeper-migrate-<set> to make the workload from".to_owned(),
        }),
    }
    if !steps.is_empty() {
        obstacles.extend(cluster_obstacles(cluster, force));
    }
    steps.sort_by_key(Step::phase);
    let ids = ids(set);
    SetPlan {
        namespace: set.namespace.clone(),
        name: set.name.clone(),
        state: match (obstacles.is_empty(), steps.is_empty()) {
            (false, _) => State::Refused,
            (true, true) => State::Done,
            (true, false) if set.workload.is_some() => State::Begun,
            (true, false) => State::Ready,
        },
        obstacles,
        notes: Vec::new(),
        holes: holes(&ids).to_joined(),
        ids: ids.to_joined(),
        steps,
    }
}

fn ids(set: &SetFacts) -> gss_controller::plan::ids::IdSet {
    set.record
        .as_ref()
        .map_or_else(|| live_ids(set), |record| record.desired.clone())
}

fn steps(set: &SetFacts, snapshot: &Snapshot) -> Vec<Step> {
    let mut steps = Vec::new();
    let Some(workload) = set.workload.as_ref().filter(|workload| !workload.terminating) else {
        if set.workload.is_some() {
            steps.push(Step::AwaitWorkload);
        }
        let manifest = workload_again(set, snapshot);
        steps.push(Step::CreateWorkload { manifest });
        return steps;
    };
    let owner = OwnerReference {
        api_version: WORKLOAD.api_version(),
        kind: WORKLOAD.kind.to_owned(),
        name: set.name.clone(),
        uid: workload.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    };
    let give = |kind, found: &Owned| hand_over(kind, found, Some(&set.uid), &owner);
    let ours = |found: &&Owned| found.is_owned_by(&set.uid);
    let revisions = set
        .revisions
        .iter()
        .filter(|found| snapshot.revisions.contains(&found.name));
    steps.extend(
        revisions
            .filter(ours)
            .map(|found| give(OwnedKind::Revision, found)),
    );
    let claims = set
        .claims
        .iter()
        .filter(|found| snapshot.claims.contains(&found.name));
    steps.extend(claims.filter(ours).map(|found| give(OwnedKind::Claim, found)));
    let pods = set
        .servers()
        .filter(|pod| set.holder(&pod.object) != Holder::Workload);
    steps.extend(pods.map(|pod| give(OwnedKind::Pod, &pod.object)));
    if let Some(marker) = snapshot.marker.as_ref().filter(|_| set.marker.is_none()) {
        steps.push(Step::CreateMarker {
            manifest: fresh(marker),
        });
    }
    steps
}

/// The workload as it was, with the servers of today: it takes the lowest ids that are not reserved, so everything below the
/// highest id that is not a server is reserved.
fn workload_again(set: &SetFacts, snapshot: &Snapshot) -> Value {
    let mut manifest = fresh(&snapshot.workload);
    let ids = ids(set);
    let reserved = holes(&ids).union(&set.reserved);
    manifest["spec"]["replicas"] = json!(ids.len());
    manifest["spec"]["reserveOrdinals"] = json!(reserved.to_items());
    manifest
}

/// A manifest that can be created: without what the API server and finalizers' owners fill in.
fn fresh(manifest: &Value) -> Value {
    let mut manifest = manifest.clone();
    if let Some(object) = manifest.as_object_mut() {
        object.remove("status");
    }
    if let Some(metadata) = manifest["metadata"].as_object_mut() {
        metadata.retain(|key, _| {
            ["name", "namespace", "labels", "annotations", "ownerReferences"].contains(&key.as_str())
        });
    }
    manifest
}

//! What is left to do for one set, decided from plain data.
//!
//! A plan holds the steps that the present state lacks, so it can be made again at any time: after a crash, a conflict or a
//! finished run. Nothing here knows a client or a clock.

mod check;
#[cfg(test)]
mod tests;

use api_types::{PlanRecord, keys};
use gss_controller::plan::{ids::IdSet, record::Record};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde::Serialize;
use serde_json::Value;

pub use self::check::{Obstacle, Reason, cluster_obstacles};
use crate::{
    facts::{ClusterFacts, Holder, Owned, PodFacts, SetFacts},
    kinds::PROBE_CLEANUP,
    snapshot::Snapshot,
};

/// What the user insists on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Force {
    /// Go on though OpenKruiseGame's manager runs.
    pub okg_running: bool,
    /// Go on though webhooks are configured whose manager does not run.
    pub webhooks: bool,
    /// Go on though Pods are on several revisions.
    pub mixed_revisions: bool,
    /// Go on though OpenKruiseGame has not acted on the set's latest generation.
    pub set_behind: bool,
}

/// Where a set stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum State {
    /// Nothing of it belongs to OpenKruise, and nothing is left to do.
    Done,
    /// It can be taken over.
    Ready,
    /// Its take-over was begun and can be finished.
    Begun,
    /// Something is in the way.
    Refused,
}

/// What is to be done for one set.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SetPlan {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: State,
    /// What is in the way.
    pub obstacles: Vec<Obstacle>,
    /// What will be the case afterwards and might surprise.
    pub notes: Vec<String>,
    /// The ids it has, compact, as in `0-3,5`.
    pub ids: String,
    /// Ids that look free and are not to be filled before the set grows.
    pub holes: String,
    /// What is to be done, in this order.
    pub steps: Vec<Step>,
}

/// One step. Each is one write, and carries what it was decided from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "step", rename_all = "camelCase")]
pub enum Step {
    /// Remove the snapshot of an earlier take-over.
    #[serde(rename_all = "camelCase")]
    DropSnapshot {
        /// UID of its ConfigMap.
        uid: String,
    },
    /// Store what the set is like; the time is added when it is stored.
    StoreSnapshot {
        /// What it is like.
        #[serde(skip)]
        snapshot: Box<Snapshot>,
    },
    /// Store the plan record.
    StoreRecord {
        /// The record.
        record: PlanRecord,
    },
    /// Replace the owners of an object.
    #[serde(rename_all = "camelCase")]
    Adopt {
        /// What it is.
        kind: OwnedKind,
        /// Its name.
        name: String,
        /// Its UID.
        uid: String,
        /// The version the owners were read from.
        version: String,
        /// All its owners, as they shall be.
        #[serde(skip)]
        owners: Vec<OwnerReference>,
    },
    /// Open readiness gates of a Pod.
    OpenGates {
        /// The Pod's name.
        name: String,
        /// The Pod's UID.
        uid: String,
        /// Condition types.
        gates: Vec<String>,
    },
    /// Delete the workload, and nothing it might still own.
    DeleteWorkload {
        /// Its UID.
        uid: String,
    },
    /// Wait until the workload, deleted before, is gone.
    AwaitWorkload,
    /// Make the workload again, for a way back.
    CreateWorkload {
        /// All of it.
        #[serde(skip)]
        manifest: Value,
    },
    /// Make the PodProbeMarker again, for a way back.
    CreateMarker {
        /// All of it.
        #[serde(skip)]
        manifest: Value,
    },
    /// Delete the PodProbeMarker.
    DeleteMarker {
        /// Its UID.
        uid: String,
    },
    /// Take OpenKruise's finalizer off the PodProbeMarker, as OpenKruise no longer does.
    ReleaseMarker {
        /// Its UID.
        uid: String,
        /// The version the finalizers were read from.
        version: String,
        /// The other finalizers.
        finalizers: Vec<String>,
    },
    /// Wait until OpenKruise has taken its finalizer off the PodProbeMarker.
    AwaitMarker,
}

/// Kinds of objects that change owners, in the order in which they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum OwnedKind {
    /// ControllerRevision.
    Revision,
    /// PersistentVolumeClaim.
    Claim,
    /// Pod.
    Pod,
}

impl Step {
    /// Steps of one phase do not depend on each other; the next phase rests on them.
    pub fn phase(&self) -> u8 {
        match self {
            Self::DropSnapshot { .. } => 0,
            Self::StoreSnapshot { .. } => 1,
            // Before any Pod is ours: gss-controller starts from it the moment the last one is.
            Self::StoreRecord { .. } | Self::CreateWorkload { .. } => 2,
            // Revisions before Pods: a Pod's revision is to be found whenever the Pod is ours.
            Self::Adopt {
                kind: OwnedKind::Revision,
                ..
            } => 3,
            Self::Adopt {
                kind: OwnedKind::Claim,
                ..
            } => 4,
            Self::Adopt {
                kind: OwnedKind::Pod, ..
            } => 5,
            // While the workload tells that there is something to finish.
            Self::OpenGates { .. } => 6,
            // After everything it owns: deleting it must not take anything along.
            Self::DeleteWorkload { .. } | Self::AwaitWorkload => 7,
            Self::DeleteMarker { .. } | Self::CreateMarker { .. } => 8,
            Self::ReleaseMarker { .. } | Self::AwaitMarker => 9,
        }
    }
}

/// Plans what is left to do for a set.
pub fn plan(cluster: &ClusterFacts, set: &SetFacts, force: Force) -> SetPlan {
    let steps = steps(cluster, set);
    let obstacles = check::obstacles(cluster, set, force, &steps);
    let state = if !obstacles.is_empty() {
        State::Refused
    } else if steps.is_empty() {
        State::Done
    } else if set.is_begun() || set.workload.is_none() {
        State::Begun
    } else {
        State::Ready
    };
    let record = match (&set.record, set.record_of_workload()) {
        (Some(stored), _) if set.is_begun() => Some(stored.clone()),
        (stored, None) => stored.clone(),
        (_, wanted) => wanted,
    };
    let ids = record.map_or_else(|| live_ids(set), |record| record.desired);
    SetPlan {
        namespace: set.namespace.clone(),
        name: set.name.clone(),
        state,
        obstacles,
        notes: check::notes(cluster, set, &steps),
        holes: holes(&ids).to_joined(),
        ids: ids.to_joined(),
        steps,
    }
}

/// Ids of Pods that are the set's servers.
pub fn live_ids(set: &SetFacts) -> IdSet {
    set.servers().filter_map(|pod| pod.id).collect()
}

/// The ids below the highest one that are not in the set.
pub fn holes(ids: &IdSet) -> IdSet {
    let all = ids.runs().last().map(|run| gss_controller::plan::ids::Run {
        first: 0,
        last: run.last,
    });
    IdSet::from_runs(all.into_iter().collect()).difference(ids)
}

fn steps(cluster: &ClusterFacts, set: &SetFacts) -> Vec<Step> {
    let mut steps = Vec::new();
    if set.workload.is_some() {
        steps.extend(snapshot(set));
        steps.extend(record(set));
    }
    steps.extend(adoptions(set));
    steps.extend(marker(cluster, set));
    if let Some(workload) = &set.workload {
        let uid = workload.uid.clone();
        steps.push(if workload.terminating {
            Step::AwaitWorkload
        } else {
            Step::DeleteWorkload { uid }
        });
    }
    // Only while there is something to take over: later they are the controllers' business.
    if !steps.is_empty() {
        steps.extend(set.servers().filter_map(open_gates));
    }
    steps.sort_by_key(Step::phase);
    steps
}

/// A snapshot is taken once for each workload: what is compared in the end is the state before the first write.
fn snapshot(set: &SetFacts) -> Vec<Step> {
    let uid = set.workload.as_ref().map(|workload| &workload.uid);
    let mut steps = Vec::new();
    match &set.snapshot {
        Some(stored) if Some(&stored.content.workload_uid) == uid => return steps,
        Some(stored) => steps.push(Step::DropSnapshot {
            uid: stored.uid.clone(),
        }),
        None => {}
    }
    let snapshot = Snapshot::of(set, "").map(Box::new);
    steps.extend(snapshot.map(|snapshot| Step::StoreSnapshot { snapshot }));
    steps
}

fn record(set: &SetFacts) -> Option<Step> {
    let wanted = set.record_of_workload()?;
    let is_stored = match &set.record {
        // Once a Pod is ours the record is gss-controller's to change.
        Some(_) if set.is_begun() => true,
        Some(stored) => *stored == wanted,
        None => false,
    };
    (!is_stored).then(|| Step::StoreRecord {
        record: Record::to_api(&wanted, set.generation),
    })
}

fn adoptions(set: &SetFacts) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let old = set.workload.as_ref().map(|workload| workload.uid.as_str());
    let revisions = set
        .revisions
        .iter()
        .filter(|found| set.holder(found) == Holder::Workload);
    steps.extend(revisions.map(|found| adopt(OwnedKind::Revision, set, found)));
    let claims = set
        .claims
        .iter()
        .filter(|found| old.is_some_and(|old| found.is_owned_by(old)));
    steps.extend(claims.map(|found| adopt(OwnedKind::Claim, set, found)));
    let pods = set.servers().filter(|pod| set.holder(&pod.object) != Holder::Set);
    steps.extend(pods.map(|pod| adopt(OwnedKind::Pod, set, &pod.object)));
    steps
}

fn adopt(kind: OwnedKind, set: &SetFacts, found: &Owned) -> Step {
    let old = match &set.workload {
        Some(workload) => Some(workload.uid.as_str()),
        None => found.controller().map(|owner| owner.uid.as_str()),
    };
    hand_over(kind, found, old, &game_server_set(set))
}

/// The step that puts `new` in the place of the owner with UID `old`.
pub(crate) fn hand_over(kind: OwnedKind, found: &Owned, old: Option<&str>, new: &OwnerReference) -> Step {
    Step::Adopt {
        kind,
        name: found.name.clone(),
        uid: found.uid.clone(),
        version: found.version.clone(),
        owners: swapped(&found.owners, old, new, kind),
    }
}

/// The set as an owner.
pub(crate) fn game_server_set(set: &SetFacts) -> OwnerReference {
    OwnerReference {
        api_version: keys::API_VERSION.to_owned(),
        kind: keys::KIND_GAME_SERVER_SET.to_owned(),
        name: set.name.clone(),
        uid: set.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The owners with `new` in the place of the one with UID `old`. Other owners stay as they are. A volume claim's owner is
/// what it was, a controller or not; of Pods and revisions `new` becomes the controller.
pub fn swapped(
    owners: &[OwnerReference],
    old: Option<&str>,
    new: &OwnerReference,
    kind: OwnedKind,
) -> Vec<OwnerReference> {
    let as_before = |before: &OwnerReference| OwnerReference {
        controller: before.controller,
        block_owner_deletion: before.block_owner_deletion,
        ..new.clone()
    };
    let mut all = Vec::with_capacity(owners.len() + 1);
    let mut placed = false;
    for owner in owners {
        let is_old = Some(owner.uid.as_str()) == old;
        if is_old || owner.uid == new.uid {
            if !placed {
                all.push(if kind == OwnedKind::Claim {
                    as_before(owner)
                } else {
                    new.clone()
                });
                placed = true;
            }
        } else {
            all.push(owner.clone());
        }
    }
    if !placed {
        all.push(new.clone());
    }
    all
}

fn open_gates(pod: &PodFacts) -> Option<Step> {
    let closed = pod.gates.iter().filter(|(_, open)| !**open);
    let gates: Vec<String> = closed.map(|(gate, _)| gate.clone()).collect();
    (!gates.is_empty() && !pod.object.terminating && pod.phase == "Running").then(|| Step::OpenGates {
        name: pod.object.name.clone(),
        uid: pod.object.uid.clone(),
        gates,
    })
}

fn marker(cluster: &ClusterFacts, set: &SetFacts) -> Vec<Step> {
    let Some(marker) = &set.marker else {
        return Vec::new();
    };
    let uid = marker.object.uid.clone();
    let mut steps = Vec::new();
    if !marker.object.terminating {
        steps.push(Step::DeleteMarker { uid: uid.clone() });
    }
    if marker.finalizers.iter().any(|found| found == PROBE_CLEANUP) {
        if !cluster.kruise_running.is_empty() {
            steps.push(Step::AwaitMarker);
        } else if marker.object.terminating {
            let others = marker.finalizers.iter().filter(|found| *found != PROBE_CLEANUP);
            steps.push(Step::ReleaseMarker {
                uid,
                version: marker.object.version.clone(),
                finalizers: others.cloned().collect(),
            });
        }
    }
    steps
}

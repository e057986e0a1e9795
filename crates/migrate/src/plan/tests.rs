//! Every reason to refuse, the steps of each situation, and histories of crashes against the obvious end.

use std::collections::{BTreeMap, BTreeSet};

use gss_controller::plan::ids::IdSet;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::facts::{Marker, StoredSnapshot, Workload};

fn cluster() -> ClusterFacts {
    ClusterFacts {
        crd_holds_plan: true,
        ..ClusterFacts::default()
    }
}

fn owner(api_version: &str, kind: &str, uid: &str, controller: bool) -> OwnerReference {
    OwnerReference {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        name: "arena".to_owned(),
        uid: uid.to_owned(),
        controller: controller.then_some(true),
        block_owner_deletion: controller.then_some(true),
    }
}

fn kruise(uid: &str) -> OwnerReference {
    owner("apps.kruise.io/v1beta1", "StatefulSet", uid, true)
}

fn owned(name: &str, owners: Vec<OwnerReference>) -> Owned {
    Owned {
        name: name.to_owned(),
        uid: format!("{name}-uid"),
        version: "1".to_owned(),
        terminating: false,
        owners,
    }
}

fn pod(id: u32) -> PodFacts {
    PodFacts {
        object: owned(&format!("arena-{id}"), vec![kruise("workload-uid")]),
        id: Some(id),
        lifecycle: Some("Normal".to_owned()),
        phase: "Running".to_owned(),
        gates: BTreeMap::from([("KruisePodReady".to_owned(), true)]),
        ..PodFacts::default()
    }
}

fn ids(all: &[u32]) -> IdSet {
    all.iter().copied().collect()
}

/// Servers 0, 2 and 4; 1 is reserved, 3 is a hole.
fn set() -> SetFacts {
    SetFacts {
        namespace: "games".to_owned(),
        name: "arena".to_owned(),
        uid: "set-uid".to_owned(),
        version: "7".to_owned(),
        replicas: 3,
        reserved: ids(&[1]),
        acknowledged: ids(&[1]),
        observed: true,
        workload: Some(Workload {
            uid: "workload-uid".to_owned(),
            controller: Some("set-uid".to_owned()),
            observed: true,
            replicas: 3,
            reserved: ids(&[1, 3]),
            updated: 3,
            one_revision: true,
            manifest: json!({ "metadata": { "name": "arena" }, "spec": { "replicas": 3 } }),
            ..Workload::default()
        }),
        pods: [0, 2, 4].map(pod).to_vec(),
        claims: vec![owned(
            "data-arena-0",
            vec![owner(
                "apps.kruise.io/v1beta1",
                "StatefulSet",
                "workload-uid",
                false,
            )],
        )],
        revisions: vec![owned("arena-5b5", vec![kruise("workload-uid")])],
        ..SetFacts::default()
    }
}

fn reasons(set: &SetFacts, cluster: &ClusterFacts, force: Force) -> Vec<Reason> {
    let plan = plan(cluster, set, force);
    assert_eq!(plan.state == State::Refused, !plan.obstacles.is_empty());
    plan.obstacles.iter().map(|obstacle| obstacle.reason).collect()
}

fn changed(change: impl FnOnce(&mut SetFacts)) -> SetFacts {
    let mut set = set();
    change(&mut set);
    set
}

fn with_workload(change: impl FnOnce(&mut Workload)) -> SetFacts {
    changed(|set| change(set.workload.as_mut().unwrap()))
}

#[test]
fn each_thing_in_the_way_has_its_reason() {
    let cases = [
        (changed(|set| set.terminating = true), Reason::Terminating),
        (
            with_workload(|found| found.terminating = true),
            Reason::Terminating,
        ),
        (
            with_workload(|found| found.controller = Some("other".to_owned())),
            Reason::ForeignWorkload,
        ),
        (
            changed(|set| set.pods[0].object.owners = vec![kruise("another")]),
            Reason::ForeignPods,
        ),
        (
            with_workload(|found| found.observed = false),
            Reason::WorkloadBehind,
        ),
        (changed(|set| set.replicas = 4), Reason::ScalePending),
        (
            changed(|set| set.reserved = ids(&[1, 9])),
            Reason::ReservesPending,
        ),
        (
            with_workload(|found| found.bad_reserves = vec!["x".to_owned()]),
            Reason::UnusableIds,
        ),
        (
            with_workload(|found| found.first_ordinal = 1),
            Reason::UnusableIds,
        ),
        (with_workload(|found| found.updated = 2), Reason::UpdateInFlight),
        (
            with_workload(|found| found.one_revision = false),
            Reason::UpdateInFlight,
        ),
        (changed(|set| set.observed = false), Reason::SetBehind),
        (
            changed(|set| set.pods[0].object.terminating = true),
            Reason::PodsInFlight,
        ),
        (changed(|set| set.pods[0].in_grace = true), Reason::PodsInFlight),
        (changed(|set| set.pods.push(pod(3))), Reason::ScaleInFlight),
    ];
    assert_eq!(reasons(&set(), &cluster(), Force::default()), []);
    for (set, wanted) in cases {
        assert_eq!(reasons(&set, &cluster(), Force::default()), [wanted], "{set:?}");
    }
    for state in ["PreparingUpdate", "Updating", "Updated", "PreparingDelete"] {
        let busy = changed(|set| set.pods[1].lifecycle = Some(state.to_owned()));
        assert_eq!(
            reasons(&busy, &cluster(), Force::default()),
            [Reason::PodsInFlight]
        );
    }
}

#[test]
fn what_stands_in_the_cluster_is_in_the_way_unless_insisted() {
    let name = || vec!["x".to_owned()];
    let okg = ClusterFacts {
        okg_running: name(),
        okg_webhooks: name(),
        ..cluster()
    };
    let dead = ClusterFacts {
        okg_webhooks: name(),
        ..cluster()
    };
    let dead_kruise = ClusterFacts {
        kruise_webhooks: name(),
        ..cluster()
    };
    let kruise = ClusterFacts {
        kruise_webhooks: name(),
        kruise_running: name(),
        ..cluster()
    };
    let forced = Force {
        okg_running: true,
        webhooks: true,
        ..Force::default()
    };
    for (found, wanted) in [
        (&okg, &[Reason::ManagerRunning][..]),
        (&dead, &[Reason::DeadWebhooks]),
        (&dead_kruise, &[Reason::DeadWebhooks]),
        (&kruise, &[]),
        (&ClusterFacts::default(), &[Reason::OldCrd]),
    ] {
        assert_eq!(reasons(&set(), found, Force::default()), wanted);
    }
    assert_eq!(reasons(&set(), &okg, forced), []);
    assert_eq!(reasons(&set(), &dead, forced), []);
    let mixed = Force {
        mixed_revisions: true,
        set_behind: true,
        ..Force::default()
    };
    let behind = changed(|set| {
        set.workload.as_mut().unwrap().updated = 1;
        set.observed = false;
    });
    assert_eq!(reasons(&behind, &cluster(), mixed), []);
    // A set that is nobody's business is not refused for what stands in the cluster.
    let own = changed(|set| {
        set.workload = None;
        set.pods.clear();
        set.claims.clear();
        set.revisions.clear();
    });
    assert_eq!(plan(&okg, &own, Force::default()).state, State::Done);
}

#[test]
fn the_record_has_the_ids_of_the_workload_whether_their_pods_exist_or_not() {
    let evicted = changed(|set| set.pods.retain(|pod| pod.id != Some(2)));
    let plan = plan(&cluster(), &evicted, Force::default());
    assert_eq!(
        (plan.state, &*plan.ids, &*plan.holes),
        (State::Ready, "0,2,4", "1,3")
    );
    let record = plan.steps.iter().find_map(|step| match step {
        Step::StoreRecord { record } => Some(Record::from_api(record)),
        _ => None,
    });
    let record = record.unwrap();
    assert_eq!(
        (record.desired, record.reserved, record.implicit),
        (ids(&[0, 2, 4]), ids(&[1]), ids(&[3]))
    );
    assert!(
        plan.notes[0].contains("servers 2 have no Pod"),
        "{:?}",
        plan.notes
    );
}

#[test]
fn owners_are_swapped_in_place_and_claims_stay_uncontrolled() {
    let other = owner("v1", "ConfigMap", "other", false);
    let new = game_server_set(&set());
    let pod = swapped(&[other.clone(), kruise("old")], Some("old"), &new, OwnedKind::Pod);
    assert_eq!(pod, [other, new.clone()]);
    let claim = owner("apps.kruise.io/v1beta1", "StatefulSet", "old", false);
    let swapped_claim = swapped(&[claim], Some("old"), &new, OwnedKind::Claim);
    assert_eq!(swapped_claim[0].uid, "set-uid");
    assert_eq!(
        (swapped_claim[0].controller, swapped_claim[0].block_owner_deletion),
        (None, None)
    );
    // Orphaned by hand, or swapped by a writer that left the old one: one controller in the end.
    assert_eq!(
        swapped(&[], Some("old"), &new, OwnedKind::Pod)[..],
        *std::slice::from_ref(&new)
    );
    assert_eq!(
        swapped(&[new.clone(), kruise("old")], Some("old"), &new, OwnedKind::Pod),
        [new]
    );
}

#[test]
fn a_begun_take_over_is_finished_whatever_happens_to_its_pods_meanwhile() {
    let begun = changed(|set| {
        set.pods[0].object.owners = vec![game_server_set(set)];
        set.pods[1].object.terminating = true;
        set.workload.as_mut().unwrap().observed = false;
        set.record = Some(Record {
            desired: ids(&[0, 2, 4]),
            ..Record::default()
        });
    });
    let plan = plan(&cluster(), &begun, Force::default());
    assert_eq!(plan.state, State::Begun);
    assert!(
        plan.steps
            .iter()
            .all(|step| !matches!(step, Step::StoreRecord { .. }))
    );
    // A Pod whose owner is gone would be collected: it is saved.
    let orphaned = changed(|set| set.workload = None);
    let rescued = super::plan(&cluster(), &orphaned, Force::default());
    assert_eq!(rescued.state, State::Begun);
    assert_eq!(rescued.steps.iter().filter(|step| step.phase() == 5).count(), 3);
}

#[test]
fn a_marker_waits_for_openkruise_or_is_released_without_it() {
    let marked = |terminating: bool| {
        changed(|set| {
            set.marker = Some(Marker {
                object: Owned {
                    terminating,
                    ..owned("arena", vec![])
                },
                finalizers: vec!["kruise.io/node-pod-probe-cleanup".to_owned(), "x".to_owned()],
                manifest: Value::Null,
            });
        })
    };
    let alive = ClusterFacts {
        kruise_running: vec!["k".to_owned()],
        ..cluster()
    };
    let of_marker = |cluster: &ClusterFacts, set: &SetFacts| -> Vec<Step> {
        let all = plan(cluster, set, Force::default()).steps;
        all.into_iter().filter(|step| step.phase() >= 8).collect()
    };
    assert!(matches!(
        of_marker(&alive, &marked(false))[..],
        [Step::DeleteMarker { .. }, Step::AwaitMarker]
    ));
    assert!(matches!(
        of_marker(&alive, &marked(true))[..],
        [Step::AwaitMarker]
    ));
    assert!(matches!(
        of_marker(&cluster(), &marked(false))[..],
        [Step::DeleteMarker { .. }]
    ));
    assert!(
        matches!(&of_marker(&cluster(), &marked(true))[..], [Step::ReleaseMarker { finalizers, .. }] if finalizers == &["x"])
    );
}

/// What the API server would make of a step.
fn carried_out(set: &mut SetFacts, step: &Step) {
    match step {
        Step::DropSnapshot { .. } => set.snapshot = None,
        Step::StoreSnapshot { snapshot } => {
            set.snapshot = Some(StoredSnapshot {
                uid: "s".to_owned(),
                content: (**snapshot).clone(),
            });
        }
        Step::StoreRecord { record } => set.record = Some(Record::from_api(record)),
        Step::Adopt {
            kind, name, owners, ..
        } => {
            let objects: Vec<&mut Owned> = match kind {
                OwnedKind::Pod => set.pods.iter_mut().map(|pod| &mut pod.object).collect(),
                OwnedKind::Claim => set.claims.iter_mut().collect(),
                OwnedKind::Revision => set.revisions.iter_mut().collect(),
            };
            for object in objects.into_iter().filter(|object| object.name == *name) {
                object.owners.clone_from(owners);
            }
        }
        Step::OpenGates { name, gates, .. } => {
            for pod in set.pods.iter_mut().filter(|pod| pod.object.name == *name) {
                pod.gates.extend(gates.iter().map(|gate| (gate.clone(), true)));
            }
        }
        // With it goes what it still owns: the order of steps has to have seen to that.
        Step::DeleteWorkload { uid } => {
            set.workload = None;
            set.pods.retain(|pod| !pod.object.is_owned_by(uid));
            set.claims.retain(|claim| !claim.is_owned_by(uid));
            set.revisions.retain(|revision| !revision.is_owned_by(uid));
        }
        Step::DeleteMarker { .. } => {
            let marker = set.marker.as_mut().unwrap();
            marker.object.terminating = true;
            if marker.finalizers.is_empty() {
                set.marker = None;
            }
        }
        Step::ReleaseMarker { .. } => set.marker = None,
        other => panic!("{other:?} is not taken here"),
    }
}

proptest! {
    /// Killed after any number of steps, again and again, with any step of an unfinished phase taken or not.
    #[test]
    fn every_history_ends_with_the_same_pods_and_ids(
        servers in proptest::collection::btree_set(0_u32..12, 0..6),
        gone in proptest::collection::btree_set(0_u32..12, 0..3),
        closed in proptest::bits::u8::ANY,
        marked in any::<bool>(),
        kills in proptest::collection::vec((0_usize..12, any::<u64>()), 0..6),
    ) {
        let highest = servers.iter().max().copied().unwrap_or(0);
        let missing: BTreeSet<u32> = (0..highest).filter(|id| !servers.contains(id)).collect();
        let mut set = changed(|set| {
            set.reserved = IdSet::new();
            set.acknowledged = IdSet::new();
            set.replicas = servers.len() as u64;
            let workload = set.workload.as_mut().unwrap();
            workload.replicas = servers.len() as u64;
            workload.updated = servers.len() as u64;
            workload.reserved = missing.iter().copied().collect();
            set.pods = servers.difference(&gone).map(|id| pod(*id)).collect();
            for pod in &mut set.pods {
                pod.gates.insert("InPlaceUpdateReady".to_owned(), closed & 1 << (pod.id.unwrap() % 8) == 0);
            }
            set.marker = marked.then(|| Marker {
                object: owned("arena", vec![]),
                finalizers: vec!["kruise.io/node-pod-probe-cleanup".to_owned()],
                manifest: Value::Null,
            });
        });
        let before: BTreeSet<String> = set.pods.iter().map(|pod| pod.object.uid.clone()).collect();
        for (taken, luck) in kills {
            let found = plan(&cluster(), &set, Force::default());
            prop_assert_eq!(&found.obstacles, &[]);
            let Some(last) = found.steps.get(taken.min(found.steps.len().saturating_sub(1))) else { break };
            let phase = last.phase();
            for (index, step) in found.steps.iter().enumerate() {
                if step.phase() < phase || (step.phase() == phase && luck >> (index % 64) & 1 == 1) {
                    carried_out(&mut set, step);
                }
            }
        }
        for _ in 0..4 {
            for step in plan(&cluster(), &set, Force::default()).steps {
                carried_out(&mut set, &step);
            }
        }
        let end = plan(&cluster(), &set, Force::default());
        prop_assert_eq!((end.state, end.steps.len()), (State::Done, 0));
        prop_assert!(set.workload.is_none() && set.marker.is_none());
        let after: BTreeSet<String> = set.pods.iter().map(|pod| pod.object.uid.clone()).collect();
        prop_assert_eq!(after, before, "no Pod went along with the workload");
        prop_assert!(set.pods.iter().all(|pod| set.holder(&pod.object) == Holder::Set));
        prop_assert!(set.pods.iter().all(|pod| pod.gates.values().all(|open| *open)));
        prop_assert!(set.claims.iter().chain(&set.revisions).all(|found| found.is_owned_by("set-uid")));
        prop_assert_eq!((set.claims.len(), set.revisions.len()), (1, 1));
        prop_assert_eq!(set.record.clone().unwrap().desired, servers.into_iter().collect::<IdSet>());
        let verified = crate::verify::verify(&SetFacts { record: None, ..set.clone() }, &[]);
        prop_assert!(verified.findings.iter().filter(|finding| !finding.check.contains("ids")).all(|finding| finding.ok), "{verified:#?}");
    }
}

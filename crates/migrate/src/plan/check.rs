//! What is in the way of a take-over, and what to know before it.

use api_types::keys::lifecycle;
use gss_controller::plan::ids::IdSet;
use serde::Serialize;

use super::{Force, Step, live_ids};
use crate::facts::{ClusterFacts, Holder, SetFacts, Workload};

/// Names listed in a message; more are counted.
const NAMED: usize = 5;

/// Why a set cannot be taken over now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Reason {
    /// The installed GameServerSet CRD drops the plan record.
    OldCrd,
    /// OpenKruiseGame's manager runs and would make the workload again.
    ManagerRunning,
    /// Webhooks call a manager that does not run: every write to a Pod would be refused.
    DeadWebhooks,
    /// The set or its workload is being deleted.
    Terminating,
    /// The workload of that name is not the set's.
    ForeignWorkload,
    /// Pods carry the set's label and name and belong to somebody else.
    ForeignPods,
    /// The workload's controller has not acted on its latest generation.
    WorkloadBehind,
    /// `spec.replicas` of set and workload differ.
    ScalePending,
    /// `spec.reserveGameServerIds` has not been acted on.
    ReservesPending,
    /// The workload's reserves cannot be understood, or its ids do not start at 0.
    UnusableIds,
    /// Not all Pods are on the workload's latest revision.
    UpdateInFlight,
    /// Pods are being updated or deleted, or are terminating.
    PodsInFlight,
    /// Pods exist that the workload does not want.
    ScaleInFlight,
    /// There is nothing to make the old workload from.
    NoSnapshot,
    /// OpenKruiseGame has not acted on the latest generation of the set.
    SetBehind,
}

/// One thing in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Obstacle {
    /// What it is.
    pub reason: Reason,
    /// What was found, and what to do about it.
    pub message: String,
}

pub(super) fn obstacles(
    cluster: &ClusterFacts,
    set: &SetFacts,
    force: Force,
    steps: &[Step],
) -> Vec<Obstacle> {
    let mut found = Found(Vec::new());
    if steps.is_empty() {
        return found.0;
    }
    of_cluster(cluster, force, &mut found);
    of_identity(set, &mut found);
    // What protects the beginning must not keep an unfinished take-over from its end: the old managers are stopped, and
    // half of the Pods are ours.
    if let Some(workload) = &set.workload
        && !set.is_begun()
    {
        of_workload(set, workload, force, &mut found);
        of_pods(set, &mut found);
    }
    found.0
}

/// What concerns all sets, and the way back as well.
pub fn cluster_obstacles(cluster: &ClusterFacts, force: Force) -> Vec<Obstacle> {
    let mut found = Found(Vec::new());
    of_cluster(cluster, force, &mut found);
    found.0
}

struct Found(Vec<Obstacle>);

impl Found {
    fn add(&mut self, reason: Reason, message: String) {
        self.0.push(Obstacle { reason, message });
    }
}

fn of_cluster(cluster: &ClusterFacts, force: Force, found: &mut Found) {
    if !cluster.crd_holds_plan {
        found.add(
            Reason::OldCrd,
            "the CRD gameserversets.game.kruise.io has no field status.plan: apply Gamekeeper's crds/ first"
                .to_owned(),
        );
    }
    if !cluster.okg_running.is_empty() && !force.okg_running {
        found.add(
            Reason::ManagerRunning,
            format!(
                "OpenKruiseGame's manager runs ({}) and would make the workload again, without its holes: delete its webhook \
                 configurations and scale it to 0, or insist with --force-okg-running",
                cluster.okg_running.join(", ")
            ),
        );
    }
    for (configured, running, name) in [
        (&cluster.okg_webhooks, &cluster.okg_running, "OpenKruiseGame"),
        (&cluster.kruise_webhooks, &cluster.kruise_running, "OpenKruise"),
    ] {
        if !configured.is_empty() && running.is_empty() && !force.webhooks {
            found.add(
                Reason::DeadWebhooks,
                format!(
                    "{name}'s manager does not run, but its webhooks are configured ({}) and every write to a Pod would fail: \
                     delete these configurations, or insist with --force-webhooks",
                    configured.join(", ")
                ),
            );
        }
    }
}

fn of_identity(set: &SetFacts, found: &mut Found) {
    if set.terminating {
        found.add(Reason::Terminating, "the set is being deleted".to_owned());
    }
    if let Some(workload) = &set.workload
        && workload.controller.as_ref() != Some(&set.uid)
    {
        found.add(
            Reason::ForeignWorkload,
            format!(
                "StatefulSet.apps.kruise.io {} is not controlled by this set",
                set.name
            ),
        );
    }
    let foreign = set
        .pods
        .iter()
        .filter(|pod| pod.id.is_some() && set.holder(&pod.object) == Holder::Other);
    if let Some(names) = listed(foreign.map(|pod| pod.object.name.as_str())) {
        found.add(
            Reason::ForeignPods,
            format!("Pods have this set's label and names and belong to others ({names}): remove the label or the Pods"),
        );
    }
}

fn of_workload(set: &SetFacts, workload: &Workload, force: Force, found: &mut Found) {
    if workload.terminating {
        found.add(
            Reason::Terminating,
            format!(
                "StatefulSet.apps.kruise.io {} is being deleted, by somebody else",
                set.name
            ),
        );
    }
    if !workload.observed {
        found.add(
            Reason::WorkloadBehind,
            "OpenKruise has not acted on the workload's latest generation: let it run until status.observedGeneration is \
             metadata.generation"
                .to_owned(),
        );
    }
    if !workload.bad_reserves.is_empty() || workload.first_ordinal != 0 {
        found.add(
            Reason::UnusableIds,
            format!(
                "the workload's ordinals start at {} and its reserveOrdinals has items that are neither ids nor ranges ({}): \
                 correct them",
                workload.first_ordinal,
                workload.bad_reserves.join(", ")
            ),
        );
    }
    if workload.replicas != set.replicas {
        found.add(
            Reason::ScalePending,
            format!(
                "the set wants {} replicas and its workload has {}: let OpenKruiseGame finish, or set replicas to {}",
                set.replicas, workload.replicas, workload.replicas
            ),
        );
    }
    if set.reserved != set.acknowledged {
        found.add(
            Reason::ReservesPending,
            format!(
                "reserveGameServerIds is \"{}\" and OpenKruiseGame has acted on \"{}\" (annotation reserve-ids): let it finish",
                set.reserved.to_joined(),
                set.acknowledged.to_joined()
            ),
        );
    }
    of_template(set, workload, force, found);
}

fn of_template(set: &SetFacts, workload: &Workload, force: Force, found: &mut Found) {
    let updated = workload.one_revision && workload.updated == workload.replicas;
    if !updated && !force.mixed_revisions {
        found.add(
            Reason::UpdateInFlight,
            format!(
                "{} of {} Pods are on the workload's latest revision: finish or roll back the update; or insist with \
                 --force-mixed-revisions, and every Pod keeps its revision until the set's updateStrategy moves it",
                workload.updated, workload.replicas
            ),
        );
    }
    if !set.observed && !force.set_behind {
        found.add(
            Reason::SetBehind,
            "OpenKruiseGame has not acted on the set's latest generation (status.observedGeneration), so Pods might be scaled \
             or updated after the take-over: let it run until it has, or insist with --force-set-behind"
                .to_owned(),
        );
    }
}

fn of_pods(set: &SetFacts, found: &mut Found) {
    let busy = set.servers().filter(|pod| {
        let state = pod.lifecycle.as_deref().unwrap_or_default();
        pod.object.terminating
            || pod.in_grace
            || [
                lifecycle::PREPARING_UPDATE,
                lifecycle::UPDATING,
                lifecycle::UPDATED,
                lifecycle::PREPARING_DELETE,
            ]
            .contains(&state)
    });
    let described = busy.map(|pod| {
        let what = match pod.lifecycle.as_deref() {
            _ if pod.object.terminating => "terminating",
            _ if pod.in_grace => "waits for its update's grace period",
            state => state.unwrap_or_default(),
        };
        format!("{} {what}", pod.object.name)
    });
    if let Some(names) = listed(described) {
        found.add(
            Reason::PodsInFlight,
            format!("Pods are being updated or deleted ({names}): wait until they are Normal, or release their hooks"),
        );
    }
    let wanted = set.workload_ids().unwrap_or_default();
    let surplus = live_ids(set).difference(&wanted);
    if !surplus.is_empty() {
        found.add(
            Reason::ScaleInFlight,
            format!(
                "Pods exist that the workload does not want (ids {}): wait until OpenKruise has deleted them",
                surplus.to_joined()
            ),
        );
    }
}

pub(super) fn notes(cluster: &ClusterFacts, set: &SetFacts, steps: &[Step]) -> Vec<String> {
    let mut notes = Vec::new();
    if steps.is_empty() {
        return notes;
    }
    let missing: IdSet = set.workload_ids().unwrap_or_default().difference(&live_ids(set));
    if !missing.is_empty() {
        notes.push(format!(
            "servers {} have no Pod now: gss-controller makes them after the take-over",
            missing.to_joined()
        ));
    }
    let ended = set
        .servers()
        .filter(|pod| ["Failed", "Succeeded"].contains(&pod.phase.as_str()));
    if let Some(names) = listed(ended.map(|pod| pod.object.name.as_str())) {
        notes.push(format!(
            "Pods have ended ({names}): gss-controller replaces them after the take-over"
        ));
    }
    if !cluster.kruise_running.is_empty() && set.workload.is_some() {
        notes.push(
            "OpenKruise runs: for the moment between the first Pod and the workload's deletion it reports FailedCreate, \
             which is harmless"
                .to_owned(),
        );
    }
    notes
}

/// The first few names, and how many more; `None` without any.
fn listed<S: AsRef<str>>(names: impl Iterator<Item = S>) -> Option<String> {
    let names: Vec<S> = names.collect();
    let shown: Vec<&str> = names.iter().take(NAMED).map(AsRef::as_ref).collect();
    let text = shown.join(", ");
    match names.len() {
        0 => None,
        all if all > NAMED => Some(format!("{text} and {} more", all - NAMED)),
        _ => Some(text),
    }
}

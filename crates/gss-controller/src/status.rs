//! The set's status, computed from what was observed and what came of the plan. Pure.

mod conditions;
mod eviction;
pub mod hooks;
mod players;
mod updates;
mod volumes;

use api_types::{
    Condition, Failures, GameServerSetStatus, GameServerState, PlanRecord, keys::label, ops_state,
};
use controller_kit::bug;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    build::record::plan_patch,
    observe::{Availability, Observed, availability, min_ready_seconds},
    plan::Plan,
    views::{GameServerView, PodView},
};

pub use conditions::{DegradedReason, ProgressReason, ReadyReason, ScaleInReason};

/// What a pass came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The plan is stored: the status may repeat it, without deletions that are done.
    pub recorded: bool,
    /// Everything planned was done; nothing was refused, raced or put off.
    pub complete: bool,
    /// Why the API server refuses this set's Pods.
    pub create_error: Option<String>,
    /// Why the reserves could not be written back to the set.
    pub reserve_error: Option<String>,
}

/// A status to be written, and how urgent that is.
#[derive(Debug, Clone, PartialEq)]
pub struct StatusReport {
    /// The status as it should be.
    pub status: GameServerSetStatus,
    /// The set is at rest: nothing will follow that this write could be joined with.
    pub settled: bool,
    /// Seconds after which the passing of time alone changes the status.
    pub changes_in: Option<i64>,
    /// Servers that wait for lifecycle hooks.
    pub waiting: Vec<hooks::Waiting>,
}

/// Computes the status.
pub fn compute(observed: &Observed, plan: &Plan, outcome: &Outcome, clock: Timestamp) -> StatusReport {
    let before = &observed.set.status;
    let generation = observed.set.metadata.generation;
    let counts = Counts::of(observed, plan, clock);
    let mut status = counted(observed, plan, outcome, &counts);
    if outcome.recorded {
        status.plan = Some(next_record(before.plan.as_ref(), plan, generation));
    }
    let waiting = hooks::waiting(observed, clock);
    let mut conditions = conditions::all(observed, plan, outcome, &counts);
    conditions.extend(hooks::blocked(observed, &waiting, clock));
    conditions.extend(volumes::blocked(observed, plan));
    conditions.extend(conditions::needs_intervention(observed, plan));
    conditions.extend(eviction::advice(observed));
    let settled = conditions
        .iter()
        .any(|condition| condition.type_ == "Progressing" && condition.status == "False");
    status.conditions = merge(&before.conditions, &conditions, generation, clock);
    let changes = [
        counts.changes_in,
        hooks::changes_in(&waiting, clock),
        plan.volumes.changes_in,
        plan.wake,
    ];
    StatusReport {
        status,
        settled,
        changes_in: changes.into_iter().flatten().min(),
        waiting,
    }
}

/// The numbers, and what stays as it is.
fn counted(observed: &Observed, plan: &Plan, outcome: &Outcome, counts: &Counts) -> GameServerSetStatus {
    let before = &observed.set.status;
    let mut status = GameServerSetStatus {
        // Only when all of that generation was acted on: whoever waits for it may then rely on the plan.
        observed_generation: if outcome.complete {
            Some(observed.set.metadata.generation)
        } else {
            before.observed_generation
        },
        replicas: observed.set.spec.replicas,
        current_replicas: counts.current,
        ready_replicas: counts.ready,
        available_replicas: counts.available,
        updated_replicas: counts.updated,
        updated_ready_replicas: Some(counts.updated_ready),
        maintaining_replicas: Some(counts.maintaining),
        wait_to_be_deleted_replicas: Some(counts.wait_to_be_deleted),
        pre_delete_replicas: Some(counts.pre_delete),
        current_revision: Some(updates::current_revision(observed, counts.all_updated(plan))),
        update_revision: Some(observed.history.revisions.update.name.clone()),
        revisions: updates::history(observed),
        draining_replicas: players::draining(observed),
        players: players::sum(observed),
        failures: plan.failures.next.clone(),
        label_selector: Some(format!("{}={}", label::OWNER_GSS, observed.set.metadata.name)),
        conditions: Vec::new(),
        plan: before.plan.clone(),
        // Another controller's: neither compared nor in the patch.
        player_autoscaling: before.player_autoscaling.clone(),
    };
    if bug::active("status-as-truth") {
        status.ready_replicas = status.ready_replicas.max(before.ready_replicas);
    }
    status
}

/// What is said of a set whose servers still belong to an OpenKruise workload: that, and nothing else, for the counters are
/// its controller's until then.
pub fn awaiting_take_over(observed: &Observed, clock: Timestamp) -> StatusReport {
    let before = &observed.set.status;
    let condition = conditions::awaiting_take_over(observed);
    let generation = observed.set.metadata.generation;
    let mut status = before.clone();
    status.conditions = merge(&before.conditions, &[condition], generation, clock);
    StatusReport {
        status,
        settled: true,
        changes_in: None,
        waiting: Vec::new(),
    }
}

/// The generation of a record is that of its decisions: it stays while they do.
fn next_record(before: Option<&PlanRecord>, plan: &Plan, generation: i64) -> PlanRecord {
    let record = plan.scale.record.to_api(generation);
    match before {
        Some(before)
            if *before
                == (PlanRecord {
                    generation: before.generation,
                    ..record.clone()
                }) =>
        {
            before.clone()
        }
        _ => record,
    }
}

/// The body that replaces every field of the status that this controller writes. Absent values are said as null, or a merge
/// would leave what was there before.
pub fn status_patch(status: &GameServerSetStatus) -> Value {
    json!({ "status": {
        "observedGeneration": status.observed_generation,
        "replicas": status.replicas,
        "currentReplicas": status.current_replicas,
        "readyReplicas": status.ready_replicas,
        "availableReplicas": status.available_replicas,
        "updatedReplicas": status.updated_replicas,
        "updatedReadyReplicas": status.updated_ready_replicas,
        "maintainingReplicas": status.maintaining_replicas,
        "waitToBeDeletedReplicas": status.wait_to_be_deleted_replicas,
        "preDeleteReplicas": status.pre_delete_replicas,
        "currentRevision": status.current_revision,
        "updateRevision": status.update_revision,
        "revisions": status.revisions,
        "drainingReplicas": status.draining_replicas,
        "players": status.players.as_ref().map(|players| json!({
            "count": players.count,
            "capacity": players.capacity,
            "loadPercent": players.load_percent,
        })),
        "failures": status.failures.as_ref().map(failures_patch),
        "labelSelector": status.label_selector,
        "conditions": status.conditions,
        "plan": status.plan.as_ref().map(plan_patch),
    } })
}

/// `status.failures` for a merge patch.
pub fn failures_patch(failures: &Failures) -> Value {
    json!({ "count": failures.count, "specHash": failures.spec_hash, "podUIDs": failures.pod_uids })
}

/// Pods of the set by what they count as.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Counts {
    current: i32,
    ready: i32,
    available: i32,
    updated: i32,
    updated_ready: i32,
    maintaining: i32,
    wait_to_be_deleted: i32,
    pre_delete: i32,
    /// Desired servers that are ready and stay.
    serving: u64,
    /// Those of them that are as the template says.
    serving_updated: u64,
    /// Pods that are on their way out.
    leaving: u64,
    changes_in: Option<i64>,
}

impl Counts {
    /// Whether no server is left behind on an older revision.
    fn all_updated(&self, plan: &Plan) -> bool {
        self.serving_updated == plan.scale.record.desired.len()
    }

    fn of(observed: &Observed, plan: &Plan, clock: Timestamp) -> Self {
        let min_ready = min_ready_seconds(&observed.set);
        let desired = &plan.scale.record.desired;
        let mut counts = Self {
            changes_in: updates::look_in(observed)
                .into_iter()
                .chain(plan.update.wake)
                .min(),
            ..Self::default()
        };
        for (id, pod) in &observed.pods {
            let ready = is_ready(pod);
            let stays = !pod.metadata.is_terminating();
            let updated = updates::is_updated(observed, pod);
            counts.current += 1;
            counts.ready += i32::from(ready);
            counts.updated += i32::from(updated);
            counts.updated_ready += i32::from(updated && ready);
            match availability(pod, min_ready, clock) {
                Availability::No => {}
                // One that drains left the count when it was claimed.
                Availability::Available if players::drains(observed, *id) => {}
                Availability::Available => counts.available += 1,
                Availability::In(seconds) => {
                    counts.changes_in =
                        Some(counts.changes_in.map_or(seconds, |soonest| soonest.min(seconds)));
                }
            }
            let game_server = observed.game_servers.get(id);
            match ops_state_of(pod, game_server.map(AsRef::as_ref)) {
                ops_state::MAINTAINING => counts.maintaining += 1,
                ops_state::WAIT_TO_BE_DELETED => counts.wait_to_be_deleted += 1,
                _ => {}
            }
            counts.pre_delete += i32::from(pod.state() == GameServerState::PreDelete);
            counts.serving += u64::from(ready && stays && desired.contains(*id));
            counts.serving_updated += u64::from(ready && updated && desired.contains(*id));
            let goes = plan
                .scale
                .record
                .deleting
                .binary_search_by_key(id, |deletion| deletion.id)
                .is_ok();
            counts.leaving += u64::from(!stays || goes);
        }
        counts
    }
}

fn is_ready(pod: &PodView) -> bool {
    pod.phase.as_deref() == Some("Running")
        && pod
            .condition("Ready")
            .is_some_and(|condition| condition.status == "True")
}

fn ops_state_of<'a>(pod: &'a PodView, game_server: Option<&'a GameServerView>) -> &'a str {
    game_server.map_or_else(
        || ops_state::normalise(pod.metadata.label(label::GS_OPS_STATE)),
        GameServerView::ops_state,
    )
}

/// Gives each condition the time at which its status last changed. Conditions of other types are somebody else's and stay.
fn merge(before: &[Condition], now: &[Condition], generation: i64, clock: Timestamp) -> Vec<Condition> {
    let foreign = before
        .iter()
        .filter(|old| now.iter().all(|new| new.type_ != old.type_))
        .cloned();
    let ours = now.iter().cloned().map(|condition| {
        let old = before.iter().find(|old| old.type_ == condition.type_);
        let since = old
            .filter(|old| old.status == condition.status)
            .and_then(|old| old.last_transition_time.clone());
        Condition {
            observed_generation: Some(generation),
            last_transition_time: Some(since.unwrap_or_else(|| rfc3339(clock))),
            ..condition
        }
    });
    ours.chain(foreign).collect()
}

/// RFC 3339 in UTC with whole seconds.
pub fn rfc3339(clock: Timestamp) -> String {
    clock.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests;

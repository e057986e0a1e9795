//! What an operator sees of this controller in `/metrics`.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::status::hooks::Waiting;

/// Describes the metrics once, at start.
pub fn describe() {
    describe_counter!("gamekeeper_gss_pods_created_total", "Pods created.");
    describe_counter!(
        "gamekeeper_gss_pods_deleted_total",
        "Pods whose deletion was accepted, by reason of the deletion."
    );
    describe_counter!(
        "gamekeeper_gss_hooks_entered_total",
        "Pods told of their deletion because the preDelete hook holds them."
    );
    describe_gauge!(
        "gamekeeper_gss_hooks_waiting",
        "Servers that wait for a lifecycle hook, by hook."
    );
    describe_gauge!(
        "gamekeeper_gss_hooks_oldest_timestamp_seconds",
        "Since when, in seconds since 1970, the server that has waited longest for a hook has waited, by hook; 0: none does."
    );
    describe_counter!(
        "gamekeeper_gss_volume_claims_total",
        "Volume claims by what was done: created; owner: their owners changed; blocked: one in the way was met."
    );
    describe_counter!(
        "gamekeeper_gss_creations_refused_total",
        "Pod creations refused, by category of the answer; taken: the name belongs to somebody else."
    );
    describe_counter!(
        "gamekeeper_gss_claims_total",
        "Deletion claims by outcome; raced: the GameServer changed in the meantime and another decision was made; joined: the \
         API server refused a claim because players had been reported; announced: the server had no GameServer yet and got \
         one for its claim."
    );
    describe_counter!("gamekeeper_gss_plans_total", "Plan records stored, by outcome.");
    describe_counter!(
        "gamekeeper_gss_scale_ins_blocked_total",
        "Times a scale-in began to wait for allocated servers."
    );
    describe_updates();
    describe_counter!("gamekeeper_gss_passes_total", "Passes over a set by result.");
    describe_histogram!(
        "gamekeeper_gss_plan_seconds",
        "Time taken to decide, without reading and writing."
    );
}

fn describe_updates() {
    describe_counter!(
        "gamekeeper_gss_updates_total",
        "Pods updated without recreating them, by kind: in_place, metadata."
    );
    describe_counter!(
        "gamekeeper_gss_updates_stuck_total",
        "Times updates in place began to be overdue: not done within ten minutes."
    );
    describe_counter!(
        "gamekeeper_gss_updates_blocked_total",
        "Times an update began to wait for something that may never come."
    );
    describe_counter!(
        "gamekeeper_gss_revisions_total",
        "ControllerRevisions written, by outcome: created, bumped, trimmed."
    );
    describe_counter!(
        "gamekeeper_gss_updates_overtaken_total",
        "Steps of updates in place that were put off because somebody else had changed the Pod."
    );
    describe_counter!(
        "gamekeeper_gss_failures_total",
        "Failures of servers counted under a failurePolicy, by why: pod, reported, silent."
    );
}

pub(crate) fn pod_created() {
    counter!("gamekeeper_gss_pods_created_total").increment(1);
}

/// `reason` is one of the fixed reasons of claims, or one written by somebody else.
pub(crate) fn pod_deleted(reason: &str) {
    use api_types::keys::claim_reason::{
        DRAINING, EVICTED, FAILED, KILL, MARKED, REMOVED, REPLACED, SCALE_IN, UPDATE,
    };
    let known = [
        SCALE_IN, KILL, REPLACED, UPDATE, EVICTED, DRAINING, MARKED, FAILED, REMOVED,
    ]
    .into_iter()
    .find(|known| *known == reason);
    counter!("gamekeeper_gss_pods_deleted_total", "reason" => known.unwrap_or("Other")).increment(1);
}

/// A server's failure was counted.
pub(crate) fn failure(why: &'static str) {
    counter!("gamekeeper_gss_failures_total", "why" => why).increment(1);
}

pub(crate) fn hook_entered() {
    counter!("gamekeeper_gss_hooks_entered_total").increment(1);
}

/// Everything that waits, in all sets.
pub(crate) fn hooks_waiting<'a>(all: impl Iterator<Item = &'a Waiting>) {
    let mut sums = [
        ("preDelete", 0, i64::MAX),
        ("inPlaceUpdate", 0, i64::MAX),
        ("preNormal", 0, i64::MAX),
    ];
    for waiting in all {
        for (hook, servers, oldest) in &mut sums {
            if *hook == waiting.hook {
                *servers += waiting.servers;
                *oldest = waiting.since.min(*oldest);
            }
        }
    }
    for (hook, servers, oldest) in sums {
        let oldest = if servers == 0 { 0 } else { oldest };
        gauge!("gamekeeper_gss_hooks_waiting", "hook" => hook).set(f64::from(servers));
        // Seconds since 1970 are far below the 2^53 that a float holds exactly.
        #[allow(clippy::cast_precision_loss)]
        gauge!("gamekeeper_gss_hooks_oldest_timestamp_seconds", "hook" => hook).set(oldest as f64);
    }
}

pub(crate) fn claim_volume(outcome: &'static str) {
    counter!("gamekeeper_gss_volume_claims_total", "outcome" => outcome).increment(1);
}

pub(crate) fn creation_refused(category: &'static str) {
    counter!("gamekeeper_gss_creations_refused_total", "category" => category).increment(1);
}

pub(crate) fn claim(outcome: &'static str) {
    counter!("gamekeeper_gss_claims_total", "outcome" => outcome).increment(1);
}

pub(crate) fn plan_stored(outcome: &'static str) {
    counter!("gamekeeper_gss_plans_total", "outcome" => outcome).increment(1);
}

pub(crate) fn scale_in_blocked() {
    counter!("gamekeeper_gss_scale_ins_blocked_total").increment(1);
}

pub(crate) fn updated(kind: &'static str) {
    counter!("gamekeeper_gss_updates_total", "kind" => kind).increment(1);
}

pub(crate) fn overtaken() {
    counter!("gamekeeper_gss_updates_overtaken_total").increment(1);
}

pub(crate) fn update_stuck() {
    counter!("gamekeeper_gss_updates_stuck_total").increment(1);
}

pub(crate) fn update_blocked() {
    counter!("gamekeeper_gss_updates_blocked_total").increment(1);
}

pub(crate) fn revision(outcome: &'static str) {
    counter!("gamekeeper_gss_revisions_total", "outcome" => outcome).increment(1);
}

pub(crate) fn pass(result: &'static str) {
    counter!("gamekeeper_gss_passes_total", "result" => result).increment(1);
}

pub(crate) fn planned(took: Duration) {
    histogram!("gamekeeper_gss_plan_seconds").record(took);
}

//! What an operator sees of this controller in `/metrics`.

use std::time::Duration;

use metric_table::Values::OneOf;
use metrics::{counter, gauge, histogram};

use crate::{census::Census, status::hooks::Waiting};

/// What an answer of the API server, or of a pass, comes to.
const CATEGORIES: [&str; 6] = [
    "conflict",
    "not_found",
    "invalid",
    "forbidden",
    "throttled",
    "unknown",
];
const REFUSALS: [&str; 7] = {
    let [a, b, c, d, e, f] = CATEGORIES;
    [a, b, c, d, e, f, "taken"]
};
const RESULTS: [&str; 8] = {
    let [a, b, c, d, e, f] = CATEGORIES;
    ["ok", a, b, c, d, e, f, "namespace_ending"]
};
const CLAIM_OUTCOMES: [&str; 7] = [
    "written",
    "raced",
    "refused",
    "joined",
    "announced",
    "departing",
    "withdrawn",
];
const HOOKS: [&str; 3] = ["preDelete", "inPlaceUpdate", "preNormal"];

metric_table::metrics! {
    SETS: Gauge "gamekeeper_gss_sets" [] = "GameServerSets, counted every 10 s";
    SET_CONDITIONS: Gauge "gamekeeper_gss_set_conditions" ["condition" in OneOf(&Census::CONDITIONS)] =
        "GameServerSets on which the condition is True, counted every 10 s";
    UPDATES_WAITING: Gauge "gamekeeper_gss_sets_update_blocked" ["reason" in OneOf(&Census::UPDATES)] =
        "GameServerSets on which the condition UpdateBlocked is True, by its reason, counted every 10 s; AllocatedServers: \
         as protectAllocated asks";
    CLAIMS_HELD: Gauge "gamekeeper_gss_claims_held" ["reason" in OneOf(&Census::REASONS)] =
        "Servers with a deletion claim whose Pod is still there, counted every 10 s; those that wait for the preDelete \
         hook are in gamekeeper_gss_hooks_waiting";
    CLAIMS_OLDEST: Gauge "gamekeeper_gss_claims_oldest_timestamp_seconds" ["reason" in OneOf(&Census::REASONS)] =
        "Since when the one of them that has waited longest has had its claim; 0: there is none";
    PODS_CREATED: Counter "gamekeeper_gss_pods_created_total" [] = "Pods created";
    PODS_DELETED: Counter "gamekeeper_gss_pods_deleted_total" ["reason" in OneOf(&Census::REASONS)] =
        "Pods whose deletion was accepted, by reason of the deletion";
    HOOKS_ENTERED: Counter "gamekeeper_gss_hooks_entered_total" [] =
        "Pods told of their deletion because the preDelete hook holds them";
    HOOKS_WAITING: Gauge "gamekeeper_gss_hooks_waiting" ["hook" in OneOf(&HOOKS)] =
        "Servers that wait for a lifecycle hook";
    HOOKS_OLDEST: Gauge "gamekeeper_gss_hooks_oldest_timestamp_seconds" ["hook" in OneOf(&HOOKS)] =
        "Since when the server that has waited longest for a hook has waited; 0: none does";
    VOLUME_CLAIMS: Counter "gamekeeper_gss_volume_claims_total" ["outcome" in OneOf(&["created", "owner", "blocked"])] =
        "Volume claims by what was done; owner: their owners changed; blocked: one in the way was met";
    CREATIONS_REFUSED: Counter "gamekeeper_gss_creations_refused_total" ["category" in OneOf(&REFUSALS)] =
        "Pod creations refused, by category of the answer; taken: the name belongs to somebody else";
    CLAIMS: Counter "gamekeeper_gss_claims_total" ["outcome" in OneOf(&CLAIM_OUTCOMES)] =
        "Deletion claims; raced: the GameServer changed in the meantime, an allocation for example, and another \
         decision was made; joined: the API server refused a claim because players had been reported; announced: the \
         server had no GameServer yet and got one for its claim; departing: somebody else takes its Pod; withdrawn: that \
         did not come";
    BUDGETS: Counter "gamekeeper_gss_disruption_budgets_total" ["outcome" in OneOf(&["created", "restored", "deleted"])] =
        "PodDisruptionBudgets written";
    PLANS: Counter "gamekeeper_gss_plans_total" ["outcome" in OneOf(&["stored", "refused"])] = "Plan records stored";
    SCALE_INS_BLOCKED: Counter "gamekeeper_gss_scale_ins_blocked_total" [] =
        "Times a scale-in began to wait for allocated servers";
    PASSES: Counter "gamekeeper_gss_passes_total" ["result" in OneOf(&RESULTS)] = "Passes over a set";
    PLAN_SECONDS: Histogram "gamekeeper_gss_plan_seconds" [] = "Time taken to decide, without reading and writing";
    UPDATES: Counter "gamekeeper_gss_updates_total" ["kind" in OneOf(&["in_place", "metadata"])] =
        "Pods updated without recreating them";
    UPDATES_STUCK: Counter "gamekeeper_gss_updates_stuck_total" [] =
        "Times updates in place began to be overdue: not done within ten minutes";
    UPDATES_BLOCKED: Counter "gamekeeper_gss_updates_blocked_total" [] =
        "Times an update began to wait for something that may never come";
    REVISIONS: Counter "gamekeeper_gss_revisions_total" ["outcome" in OneOf(&["created", "bumped", "trimmed"])] =
        "ControllerRevisions written";
    OVERTAKEN: Counter "gamekeeper_gss_updates_overtaken_total" [] =
        "Steps of updates in place that were put off because somebody else had changed the Pod";
    FAILURES: Counter "gamekeeper_gss_failures_total" ["why" in OneOf(&["pod", "reported", "silent"])] =
        "Failures of servers counted under a failurePolicy";
}

/// Describes the metrics once, at start.
pub(crate) fn describe() {
    metric_table::describe(METRICS);
    hooks_waiting([].iter());
}

/// What the caches hold.
pub(crate) fn census(census: &Census) {
    gauge!(SETS).set(f64::from(census.sets()));
    for (condition, sets) in census.conditions() {
        gauge!(SET_CONDITIONS, "condition" => condition).set(f64::from(sets));
    }
    for (reason, sets) in census.updates() {
        gauge!(UPDATES_WAITING, "reason" => reason).set(f64::from(sets));
    }
    for (reason, held) in census.claims() {
        gauge!(CLAIMS_HELD, "reason" => reason).set(f64::from(held.servers));
        // Seconds since 1970 are far below the 2^53 that a float holds exactly.
        gauge!(CLAIMS_OLDEST, "reason" => reason).set(held.since as f64);
    }
}

pub(crate) fn pod_created() {
    counter!(PODS_CREATED).increment(1);
}

/// `reason` is one of the fixed reasons of claims, or one written by somebody else.
pub(crate) fn pod_deleted(reason: &str) {
    counter!(PODS_DELETED, "reason" => Census::reason(reason)).increment(1);
}

/// A server's failure was counted.
pub(crate) fn failure(why: &'static str) {
    counter!(FAILURES, "why" => why).increment(1);
}

pub(crate) fn hook_entered() {
    counter!(HOOKS_ENTERED).increment(1);
}

/// Everything that waits, in all sets.
pub(crate) fn hooks_waiting<'a>(all: impl Iterator<Item = &'a Waiting>) {
    let mut sums = HOOKS.map(|hook| (hook, 0, i64::MAX));
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
        gauge!(HOOKS_WAITING, "hook" => hook).set(f64::from(servers));
        // Seconds since 1970 are far below the 2^53 that a float holds exactly.
        gauge!(HOOKS_OLDEST, "hook" => hook).set(oldest as f64);
    }
}

pub(crate) fn claim_volume(outcome: &'static str) {
    counter!(VOLUME_CLAIMS, "outcome" => outcome).increment(1);
}

pub(crate) fn creation_refused(category: &'static str) {
    counter!(CREATIONS_REFUSED, "category" => category).increment(1);
}

pub(crate) fn claim(outcome: &'static str) {
    counter!(CLAIMS, "outcome" => outcome).increment(1);
}

pub(crate) fn budget(outcome: &'static str) {
    counter!(BUDGETS, "outcome" => outcome).increment(1);
}

pub(crate) fn plan_stored(outcome: &'static str) {
    counter!(PLANS, "outcome" => outcome).increment(1);
}

pub(crate) fn scale_in_blocked() {
    counter!(SCALE_INS_BLOCKED).increment(1);
}

pub(crate) fn updated(kind: &'static str) {
    counter!(UPDATES, "kind" => kind).increment(1);
}

pub(crate) fn overtaken() {
    counter!(OVERTAKEN).increment(1);
}

pub(crate) fn update_stuck() {
    counter!(UPDATES_STUCK).increment(1);
}

pub(crate) fn update_blocked() {
    counter!(UPDATES_BLOCKED).increment(1);
}

pub(crate) fn revision(outcome: &'static str) {
    counter!(REVISIONS, "outcome" => outcome).increment(1);
}

pub(crate) fn pass(result: &'static str) {
    counter!(PASSES, "result" => result).increment(1);
}

pub(crate) fn planned(took: Duration) {
    histogram!(PLAN_SECONDS).record(took);
}

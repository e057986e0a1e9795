//! Metrics of this controller. Names of Pods, servers and qualities are never labels.

use std::time::Duration;

use metric_table::Values::OneOf;
use metrics::{counter, gauge, histogram};

const KINDS: [&str; 4] = ["exec", "http", "tcp", "grpc"];

metric_table::metrics! {
    PROBES: Gauge "gamekeeper_quality_prober_probes" ["kind" in OneOf(&["exec", "other"])] = "Probes that are run";
    RUNS: Counter "gamekeeper_quality_prober_runs_total" [
        "kind" in OneOf(&KINDS),
        "outcome" in OneOf(&["success", "failure", "timeout", "nothing"]),
    ] = "Runs of probes; outcome=\"nothing\": the run told nothing (container gone, runtime away)";
    MISSED: Counter "gamekeeper_quality_prober_missed_total" [] =
        "Times at which a probe was due and still ran or waited for its turn";
    RUN_SECONDS: Histogram "gamekeeper_quality_prober_run_seconds" ["kind" in OneOf(&KINDS)] = "Time of one run of a probe";
    SKEW_SECONDS: Histogram "gamekeeper_quality_prober_skew_seconds" [] = "How much later than due a run began";
    CONDITIONS: Counter "gamekeeper_quality_prober_conditions_total" ["status" in OneOf(&["True", "False", "Unknown"])] =
        "Pod conditions written, by status";
    CONDITION_SECONDS: Histogram "gamekeeper_quality_prober_condition_seconds" [] =
        "From the begin of the run that told it to the acknowledged Pod condition";
    ACTIONS: Counter "gamekeeper_quality_prober_actions_total" ["outcome" in OneOf(&["changed", "unchanged", "refused"])] =
        "Results looked at for actions; refused: by the API server";
    ACTION_SECONDS: Histogram "gamekeeper_quality_prober_action_seconds" [] =
        "From seeing the Pod condition to the acknowledged change of the GameServer";
    LABEL_SECONDS: Histogram "gamekeeper_quality_prober_label_seconds" [] =
        "From the acknowledged change of opsState to seeing it as the Pod's label";
}

/// Registers the descriptions; call once, after the recorder is installed.
pub(crate) fn describe() {
    metric_table::describe(METRICS);
}

/// How many probes there are.
pub(crate) fn probes(execs: usize, others: usize) {
    gauge!(PROBES, "kind" => "exec").set(execs as f64);
    gauge!(PROBES, "kind" => "other").set(others as f64);
}

/// A run begins this much later than it was due.
pub(crate) fn run_begins(skew: Duration) {
    histogram!(SKEW_SECONDS).record(skew.as_secs_f64());
}

/// A run has ended.
pub(crate) fn run_ended(kind: &'static str, outcome: &'static str, took: Duration, missed: u64) {
    counter!(RUNS, "kind" => kind, "outcome" => outcome).increment(1);
    histogram!(RUN_SECONDS, "kind" => kind).record(took.as_secs_f64());
    counter!(MISSED).increment(missed);
}

/// A Pod condition was written; with the time since the run that told it began, if one did.
pub(crate) fn condition_written(status: &'static str, since: Option<Duration>) {
    counter!(CONDITIONS, "status" => status).increment(1);
    if let Some(since) = since {
        histogram!(CONDITION_SECONDS).record(since.as_secs_f64());
    }
}

/// Results were looked at for actions.
pub(crate) fn acted(outcome: &'static str, results: usize) {
    counter!(ACTIONS, "outcome" => outcome).increment(results as u64);
}

/// A GameServer was changed this long after the condition was seen.
pub(crate) fn acted_after(since: Duration) {
    histogram!(ACTION_SECONDS).record(since.as_secs_f64());
}

/// A Pod shows the opsState of an action this long after the action.
pub(crate) fn label_after(since: Duration) {
    histogram!(LABEL_SECONDS).record(since.as_secs_f64());
}

//! Metrics of this controller. Names of Pods, servers and qualities are never labels.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

const PROBES: &str = "gamekeeper_quality_prober_probes";
const RUNS: &str = "gamekeeper_quality_prober_runs_total";
const MISSED: &str = "gamekeeper_quality_prober_missed_total";
const RUN_SECONDS: &str = "gamekeeper_quality_prober_run_seconds";
const SKEW_SECONDS: &str = "gamekeeper_quality_prober_skew_seconds";
const CONDITIONS: &str = "gamekeeper_quality_prober_conditions_total";
const CONDITION_SECONDS: &str = "gamekeeper_quality_prober_condition_seconds";
const ACTIONS: &str = "gamekeeper_quality_prober_actions_total";
const ACTION_SECONDS: &str = "gamekeeper_quality_prober_action_seconds";
const LABEL_SECONDS: &str = "gamekeeper_quality_prober_label_seconds";

/// Registers the descriptions; call once, after the recorder is installed.
pub(crate) fn describe() {
    describe_gauge!(PROBES, "Probes that are run, by kind: exec or other");
    describe_counter!(
        RUNS,
        "Runs of probes, by kind and outcome; outcome=\"nothing\": the run told nothing (container gone, runtime away)"
    );
    describe_counter!(
        MISSED,
        "Times at which a probe was due and still ran or waited for its turn"
    );
    describe_histogram!(RUN_SECONDS, Unit::Seconds, "Time of one run of a probe, by kind");
    describe_histogram!(SKEW_SECONDS, Unit::Seconds, "How much later than due a run began");
    describe_counter!(CONDITIONS, "Pod conditions written, by status");
    describe_histogram!(
        CONDITION_SECONDS,
        Unit::Seconds,
        "From the begin of the run that told it to the acknowledged Pod condition"
    );
    describe_counter!(
        ACTIONS,
        "Results looked at for actions, by outcome: changed, unchanged, refused by the API server"
    );
    describe_histogram!(
        ACTION_SECONDS,
        Unit::Seconds,
        "From seeing the Pod condition to the acknowledged change of the GameServer"
    );
    describe_histogram!(
        LABEL_SECONDS,
        Unit::Seconds,
        "From the acknowledged change of opsState to seeing it as the Pod's label"
    );
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

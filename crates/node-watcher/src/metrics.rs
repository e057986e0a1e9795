//! Metrics of this controller. Names of nodes and servers are never labels.

use std::time::Duration;

use metric_table::Values::OneOf;
use metrics::{counter, gauge, histogram};

metric_table::metrics! {
    NODE_EVENTS: Counter "gamekeeper_node_watcher_node_events_total" ["significant" in OneOf(&["true", "false"])] =
        "Events of Nodes; significant=\"false\": heartbeats and the like, of which nothing came";
    NODES: Gauge "gamekeeper_node_watcher_nodes" ["normal" in OneOf(&["true", "false"])] =
        "Nodes, by whether all is well with them";
    AFFECTED: Gauge "gamekeeper_node_watcher_servers_affected" [] =
        "Game servers whose node is missing or has something wrong with it";
    CONDITIONS: Counter "gamekeeper_node_watcher_conditions_total" ["status" in OneOf(&["True", "False"])] =
        "Acknowledged writes of NodeNormal, by its status";
    LABELS: Counter "gamekeeper_node_watcher_labels_total" [] = "Acknowledged writes of the label node-name";
    SECONDS: Histogram "gamekeeper_node_watcher_seconds" [] =
        "From the change that gave work to the acknowledged write, the wait for a turn included";
}

/// Registers the descriptions; call once, after the recorder is installed.
pub(crate) fn describe() {
    metric_table::describe(METRICS);
}

/// An event of a Node.
pub(crate) fn node_event(significant: bool) {
    let significant = if significant { "true" } else { "false" };
    counter!(NODE_EVENTS, "significant" => significant).increment(1);
}

/// How many nodes are well and how many not, and how many servers are on the latter or on nodes that are missing.
pub(crate) fn census(normal: usize, abnormal: usize, affected: usize) {
    gauge!(NODES, "normal" => "true").set(normal as f64);
    gauge!(NODES, "normal" => "false").set(abnormal as f64);
    gauge!(AFFECTED).set(affected as f64);
}

/// A condition was written.
pub(crate) fn condition_written(status: &str) {
    let status = if status == "True" { "True" } else { "False" };
    counter!(CONDITIONS, "status" => status).increment(1);
}

/// A label was written.
pub(crate) fn label_written() {
    counter!(LABELS).increment(1);
}

/// A change was written this long after it came.
pub(crate) fn written_after(elapsed: Duration) {
    histogram!(SECONDS).record(elapsed.as_secs_f64());
}

//! Metrics of this controller. Names of nodes and servers are never labels.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

const NODE_EVENTS: &str = "gamekeeper_node_watcher_node_events_total";
const NODES: &str = "gamekeeper_node_watcher_nodes";
const AFFECTED: &str = "gamekeeper_node_watcher_servers_affected";
const CONDITIONS: &str = "gamekeeper_node_watcher_conditions_total";
const LABELS: &str = "gamekeeper_node_watcher_labels_total";
const SECONDS: &str = "gamekeeper_node_watcher_seconds";

/// Registers the descriptions; call once, after the recorder is installed.
pub(crate) fn describe() {
    describe_counter!(
        NODE_EVENTS,
        "Events of Nodes; significant=\"false\": heartbeats and the like, of which nothing came"
    );
    describe_gauge!(NODES, "Nodes, by whether anything is wrong with them");
    describe_gauge!(
        AFFECTED,
        "Game servers whose node is missing or has something wrong with it"
    );
    describe_counter!(CONDITIONS, "Acknowledged writes of NodeNormal, by its status");
    describe_counter!(LABELS, "Acknowledged writes of the label node-name");
    describe_histogram!(
        SECONDS,
        Unit::Seconds,
        "From the change that gave work to the acknowledged write, the wait for a turn included"
    );
    for significant in ["true", "false"] {
        counter!(NODE_EVENTS, "significant" => significant).absolute(0);
    }
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

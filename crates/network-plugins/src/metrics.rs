//! Metrics of this controller. Names of servers are never labels.

use metric_table::Values::{Each, OneOf};
use metrics::{counter, gauge, histogram};

use crate::{census::Census, problem::Reason};

/// Those that somebody has to do something about.
const REASONS: [&str; 7] = [
    Reason::NoSuchPlugin.as_str(),
    Reason::ParameterError.as_str(),
    Reason::HostPortsMissing.as_str(),
    Reason::PortsExhausted.as_str(),
    Reason::PortConflict.as_str(),
    Reason::NameTaken.as_str(),
    Reason::Refused.as_str(),
];

metric_table::metrics! {
    WRITES: Counter "gamekeeper_network_writes_total" [
        "resource" in Each("a kind of object that is written"),
        "verb" in OneOf(&["create", "patch", "apply", "adopt", "delete"]),
    ] = "Acknowledged writes";
    READY: Histogram "gamekeeper_network_ready_seconds" ["type" in Each("a network plugin")] =
        "From a GameServer's creation to its network's being ready; whole seconds";
    PROBLEMS: Counter "gamekeeper_network_problems_total" ["reason" in OneOf(&REASONS)] =
        "Warnings about servers' networks";
    SERVERS: Gauge "gamekeeper_network_servers" ["state" in OneOf(&Census::STATES)] =
        "Servers with a network by its state, counted every 10 s; Disabled: as networkDisabled asks; Draining: on its \
         way out; None: nothing is said of it yet";
    NOT_READY_OLDEST: Gauge "gamekeeper_network_not_ready_oldest_timestamp_seconds" [] =
        "Since when the network that has been NotReady or Waiting for longest has been so; 0: there is none";
    PORTS: Gauge "gamekeeper_network_ports" [] = "Ports of shared load balancers that are recorded as given";
    BATCHES: Counter "gamekeeper_network_port_writes_total" [] =
        "Writes to the records of ports; each may give and take back many";
    CONFLICTS: Counter "gamekeeper_network_port_conflicts_total" [] =
        "Writes to the records of ports that came too late and were made anew";
}

/// Registers the descriptions; call once, after the recorder is installed.
pub(crate) fn describe() {
    metric_table::describe(METRICS);
}

/// How the servers' networks are.
pub(crate) fn census(census: &Census) {
    for (state, servers) in census.states() {
        gauge!(SERVERS, "state" => state).set(f64::from(servers));
    }
    // Seconds since 1970 are far below the 2^53 that a float holds exactly.
    gauge!(NOT_READY_OLDEST).set(census.oldest() as f64);
}

/// A write was acknowledged.
pub(crate) fn written(resource: &'static str, verb: &'static str) {
    counter!(WRITES, "resource" => resource, "verb" => verb).increment(1);
}

/// A server's network became ready this long after its GameServer was made.
pub(crate) fn became_ready(type_: &str, seconds: i64) {
    histogram!(READY, "type" => type_.to_owned()).record(seconds as f64);
}

/// People were warned.
pub(crate) fn problem(reason: &'static str) {
    counter!(PROBLEMS, "reason" => reason).increment(1);
}

/// So many ports are recorded as given.
pub(crate) fn ports(count: usize) {
    gauge!(PORTS).set(count as f64);
}

/// A record of ports was written.
pub(crate) fn record_written() {
    counter!(BATCHES).increment(1);
}

/// A record of ports had changed before it could be written.
pub(crate) fn record_conflict() {
    counter!(CONFLICTS).increment(1);
}

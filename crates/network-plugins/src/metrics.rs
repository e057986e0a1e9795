//! Metrics of this controller. Names of servers are never labels.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

const WRITES: &str = "gamekeeper_network_writes_total";
const READY: &str = "gamekeeper_network_ready_seconds";
const PROBLEMS: &str = "gamekeeper_network_problems_total";
const PORTS: &str = "gamekeeper_network_ports";
const BATCHES: &str = "gamekeeper_network_port_writes_total";
const CONFLICTS: &str = "gamekeeper_network_port_conflicts_total";

/// Registers the descriptions; call once, after the recorder is installed.
pub(crate) fn describe() {
    describe_counter!(WRITES, "Acknowledged writes, by resource and verb");
    describe_histogram!(
        READY,
        Unit::Seconds,
        "From a GameServer's creation to its network's being ready, by networkType; whole seconds"
    );
    describe_counter!(PROBLEMS, "Warnings about servers' networks, by reason");
    describe_gauge!(PORTS, "Ports of shared load balancers that are recorded as given");
    describe_counter!(
        BATCHES,
        "Writes to the records of ports; each may give and take back many"
    );
    describe_counter!(
        CONFLICTS,
        "Writes to the records of ports that came too late and were made anew"
    );
    counter!(BATCHES).absolute(0);
    counter!(CONFLICTS).absolute(0);
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

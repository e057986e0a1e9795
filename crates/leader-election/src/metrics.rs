//! Metrics of elections. Nothing here decides anything.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

/// Gauge: 1 while this process holds the lease in label `lease`, else 0.
pub const LEADER: &str = "gamekeeper_leader";
/// Counter: how often this process began or ceased to hold the lease in label `lease`.
pub const TRANSITIONS: &str = "gamekeeper_lease_transitions_total";
/// Histogram, seconds: how long confirmed writes to leases took.
pub const RENEW_SECONDS: &str = "gamekeeper_lease_renew_seconds";
/// Gauge: how many shards this process owns, by label `group`.
pub const SHARDS_OWNED: &str = "gamekeeper_shards_owned";
/// Counter: shards claimed or given up by this process, by labels `group` and `change`.
pub const SHARD_MOVES: &str = "gamekeeper_shard_moves_total";

/// Registers the help texts with whatever recorder is installed.
pub(crate) fn describe() {
    describe_gauge!(LEADER, "1 while this process holds the lease, else 0");
    describe_counter!(
        TRANSITIONS,
        "Times this process began or ceased to hold the lease"
    );
    describe_histogram!(
        RENEW_SECONDS,
        metrics::Unit::Seconds,
        "Duration of confirmed lease writes"
    );
    describe_gauge!(SHARDS_OWNED, "Shards owned by this process");
    describe_counter!(SHARD_MOVES, "Shards claimed or given up by this process");
}

pub(crate) fn leading(lease: &str, leading: bool) {
    gauge!(LEADER, "lease" => lease.to_owned()).set(if leading { 1.0 } else { 0.0 });
}

pub(crate) fn transition(lease: &str) {
    counter!(TRANSITIONS, "lease" => lease.to_owned()).increment(1);
}

pub(crate) fn renewed(lease: &str, took: Duration) {
    histogram!(RENEW_SECONDS, "lease" => lease.to_owned()).record(took.as_secs_f64());
}

pub(crate) fn shards_owned(group: &str, owned: usize) {
    gauge!(SHARDS_OWNED, "group" => group.to_owned()).set(owned as f64);
}

pub(crate) fn shard_moves(group: &str, change: &'static str, shards: usize) {
    if shards > 0 {
        counter!(SHARD_MOVES, "group" => group.to_owned(), "change" => change).increment(shards as u64);
    }
}

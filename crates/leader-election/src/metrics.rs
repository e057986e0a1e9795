//! Metrics of elections. Nothing here decides anything.

use std::time::Duration;

use metric_table::Values::{Each, OneOf};
use metrics::{counter, gauge, histogram};

/// What bounds the names of leases: one for each controller that elects, whatever the number of its replicas and shards.
const LEASE: metric_table::Values = Each("a controller that elects a leader, or a group of shards");
/// What bounds the names of groups.
const GROUP: metric_table::Values = Each("a group of shards");

metric_table::metrics! {
    LEADER: Gauge "gamekeeper_leader" ["lease" in LEASE] =
        "1 while this process holds the lease, else 0; each member of a group of shards holds one of its own";
    TRANSITIONS: Counter "gamekeeper_lease_transitions_total" ["lease" in LEASE] =
        "Times this process began or ceased to hold the lease";
    RENEW_SECONDS: Histogram "gamekeeper_lease_renew_seconds" ["lease" in LEASE] = "Duration of confirmed lease writes";
    SHARDS: Gauge "gamekeeper_shards" ["group" in GROUP] = "Shards that the replicas of the group share";
    SHARDS_OWNED: Gauge "gamekeeper_shards_owned" ["group" in GROUP] = "Shards owned by this process";
    SHARD_MOVES: Counter "gamekeeper_shard_moves_total" ["group" in GROUP, "change" in OneOf(&["claimed", "released"])] =
        "Shards claimed or given up by this process";
}

/// Registers the help texts with whatever recorder is installed.
pub(crate) fn describe() {
    metric_table::describe(METRICS);
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

pub(crate) fn shards_owned(group: &str, owned: usize, all: usize) {
    gauge!(SHARDS, "group" => group.to_owned()).set(all as f64);
    gauge!(SHARDS_OWNED, "group" => group.to_owned()).set(owned as f64);
}

pub(crate) fn shard_moves(group: &str, change: &'static str, shards: usize) {
    if shards > 0 {
        counter!(SHARD_MOVES, "group" => group.to_owned(), "change" => change).increment(shards as u64);
    }
}

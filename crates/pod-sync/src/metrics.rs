//! Metrics of pod-sync. Names of objects are never labels.

use std::time::Duration;

use metric_table::Values::OneOf;
use metrics::{counter, gauge, histogram};

use crate::plan::Subject;

const TRIGGERS: [&str; 4] = ["gameserver", "pod", "template", "sweep"];
const KINDS: [&str; 9] = [
    "ops_state",
    "state",
    "priority",
    "eviction",
    "network",
    "gs_sync",
    "image",
    "updating_containers",
    "bookkeeping",
];

metric_table::metrics! {
    SECONDS: Histogram "gamekeeper_pod_sync_seconds" ["trigger" in OneOf(&TRIGGERS)] =
        "Time from the event that showed a difference to the acknowledged patch, by what made pod-sync look: a \
         GameServer's change, a Pod's, a set's template, or the look at all Pods after a start";
    GAP_SERVERS: Gauge "gamekeeper_pod_sync_gap_servers" [] = "Game servers whose Pod does not show their GameServer now";
    GAP_OLDEST: Gauge "gamekeeper_pod_sync_gap_oldest_seconds" [] = "How long the longest of them has been so";
    GAP_WARNINGS: Counter "gamekeeper_pod_sync_gap_warnings_total" [] =
        "Game servers whose Pod lagged for more than 5 s, each told in an event SyncGap";
    PATCHES: Counter "gamekeeper_pod_sync_patches_total" ["kind" in OneOf(&KINDS)] =
        "Acknowledged Pod patches by what was in them; one patch may count under several kinds";
    CONFLICTS: Counter "gamekeeper_pod_sync_conflicts_total" [] =
        "Patches refused because the Pod had moved on: planned again from the newer Pod";
    REFUSED: Counter "gamekeeper_pod_sync_refused_total" [] =
        "Patches the API server will never accept as a whole; what it accepts was written without the rest";
    BEHIND: Counter "gamekeeper_pod_sync_behind_total" [] =
        "Runs in which the Pod showed a newer GameServer than the cache held";
    SKIPPED: Counter "gamekeeper_pod_sync_skipped_values_total" [] =
        "Values of GameServers that no label can hold, each counted when it appears";
    SHARDS: Gauge "gamekeeper_pod_sync_owned_shards" [] = "Shards owned by this replica; absent with --shards=0";
}

/// What made pod-sync look at a Pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// The GameServer changed.
    GameServer,
    /// The Pod changed.
    Pod,
    /// The set's template changed.
    Template,
    /// Start, shards gained, or the resync.
    Sweep,
}

impl Trigger {
    fn as_str(self) -> &'static str {
        match self {
            Self::GameServer => "gameserver",
            Self::Pod => "pod",
            Self::Template => "template",
            Self::Sweep => "sweep",
        }
    }
}

impl Subject {
    fn as_str(self) -> &'static str {
        match self {
            Self::OpsState => "ops_state",
            Self::State => "state",
            Self::UpdatePriority | Self::DeletionPriority => "priority",
            Self::Eviction => "eviction",
            Self::Network => "network",
            Self::GsSync => "gs_sync",
            Self::Image => "image",
            Self::UpdatingContainers => "updating_containers",
            Self::Bookkeeping => "bookkeeping",
        }
    }
}

pub(crate) fn describe() {
    metric_table::describe(METRICS);
}

/// One acknowledged patch with these subjects.
pub(crate) fn patched(mut subjects: Vec<Subject>) {
    subjects.sort_unstable();
    subjects.dedup_by_key(|subject| subject.as_str());
    for subject in subjects {
        counter!(PATCHES, "kind" => subject.as_str()).increment(1);
    }
}

pub(crate) fn synced(trigger: Trigger, took: Duration) {
    histogram!(SECONDS, "trigger" => trigger.as_str()).record(took.as_secs_f64());
}

pub(crate) fn gap(servers: usize, oldest: Duration) {
    gauge!(GAP_SERVERS).set(servers as f64);
    gauge!(GAP_OLDEST).set(oldest.as_secs_f64());
}

pub(crate) fn gap_warned() {
    counter!(GAP_WARNINGS).increment(1);
}

pub(crate) fn conflict() {
    counter!(CONFLICTS).increment(1);
}

pub(crate) fn refused() {
    counter!(REFUSED).increment(1);
}

pub(crate) fn behind() {
    counter!(BEHIND).increment(1);
}

pub(crate) fn skipped(values: usize) {
    counter!(SKIPPED).increment(values as u64);
}

pub(crate) fn owned_shards(shards: usize) {
    gauge!(SHARDS).set(shards as f64);
}

//! Metrics of pod-sync. Names of objects are never labels.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::plan::Subject;

const SECONDS: &str = "gamekeeper_pod_sync_seconds";
const GAP_SERVERS: &str = "gamekeeper_pod_sync_gap_servers";
const GAP_OLDEST: &str = "gamekeeper_pod_sync_gap_oldest_seconds";
const GAP_WARNINGS: &str = "gamekeeper_pod_sync_gap_warnings_total";
const PATCHES: &str = "gamekeeper_pod_sync_patches_total";
const CONFLICTS: &str = "gamekeeper_pod_sync_conflicts_total";
const REFUSED: &str = "gamekeeper_pod_sync_refused_total";
const BEHIND: &str = "gamekeeper_pod_sync_behind_total";
const SKIPPED: &str = "gamekeeper_pod_sync_skipped_values_total";
const SHARDS: &str = "gamekeeper_pod_sync_owned_shards";

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
            Self::Network => "network",
            Self::GsSync => "gs_sync",
            Self::Image => "image",
            Self::UpdatingContainers => "updating_containers",
            Self::Bookkeeping => "bookkeeping",
        }
    }
}

pub(crate) fn describe() {
    describe_histogram!(
        SECONDS,
        "Time from the event that showed a difference to the acknowledged patch, by trigger"
    );
    describe_gauge!(
        GAP_SERVERS,
        "Game servers whose Pod does not show their GameServer now"
    );
    describe_gauge!(GAP_OLDEST, "How long the longest of them has been so");
    describe_counter!(
        GAP_WARNINGS,
        "Game servers whose Pod lagged for more than 5 s, each told in an event SyncGap"
    );
    describe_counter!(
        PATCHES,
        "Acknowledged Pod patches by what was in them; one patch may count under several kinds"
    );
    describe_counter!(
        CONFLICTS,
        "Patches refused because the Pod had moved on: planned again from the newer Pod"
    );
    describe_counter!(
        REFUSED,
        "Patches the API server will never accept as a whole; what it accepts was written without the rest"
    );
    describe_counter!(
        BEHIND,
        "Runs in which the Pod showed a newer GameServer than the cache held"
    );
    describe_counter!(
        SKIPPED,
        "Values of GameServers that no label can hold, each counted when it appears"
    );
    describe_gauge!(SHARDS, "Shards owned by this replica");
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_alerts_ask_for_metrics_that_there_are() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/alerts/sync-gap.yaml");
        let file: serde_json::Value = serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(file["kind"], "PrometheusRule");
        let group = &file["spec"]["groups"][0];
        assert_eq!(group["name"], "gamekeeper");
        let rules = group["rules"].as_array().unwrap();
        let expressions = rules.iter().map(|rule| rule["expr"].as_str().unwrap());
        let asked: BTreeSet<String> = expressions
            .flat_map(|text| text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
            .filter(|word| word.starts_with("gamekeeper_"))
            .map(str::to_owned)
            .collect();
        let ours = [
            SECONDS,
            GAP_SERVERS,
            GAP_OLDEST,
            GAP_WARNINGS,
            CONFLICTS,
            REFUSED,
            SKIPPED,
            SHARDS,
        ];
        let histograms = ours.iter().map(|name| format!("{name}_bucket"));
        let known: BTreeSet<String> = ours
            .iter()
            .map(|name| (*name).to_owned())
            .chain(histograms)
            .chain(["gamekeeper_watch_last_event_age_seconds".to_owned()])
            .collect();
        assert!(asked.contains(GAP_OLDEST));
        assert!(asked.is_subset(&known), "unknown: {:?}", asked.difference(&known));
    }
}

//! What a Pod remembers about the GameServer it shows.
//!
//! One annotation, written in the same patch as everything else, answers two questions that a stateless process could not
//! answer otherwise:
//!
//! - *Which `gs-sync/` keys came from the GameServer?* Those in the record. When one of them leaves the GameServer it leaves
//!   the Pod; a key the GameServer never had (it came with the Pod's template) stays.
//! - *Is the GameServer in my cache older than the one this Pod shows?* Metadata changes, `gs-sync/` among them, do not move
//!   `metadata.generation`, so the generation alone cannot tell; the resource version can.

use std::collections::BTreeSet;

use api_types::{
    keys,
    views::{GameServerView, PodView},
};
use serde::{Deserialize, Serialize};

/// The value of annotation `game.kruise.io/synced-from`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SyncRecord {
    /// UID of the Pod the record was written for. In a Pod made from a backup it names another Pod, whose cluster counted
    /// other resource versions; the order below is then unknown. Empty when the Pod was born with the record.
    #[serde(rename = "podUID", skip_serializing_if = "String::is_empty")]
    pub pod_uid: String,
    /// Resource version of the GameServer that the Pod shows.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// `gs-sync/` labels that the GameServer had.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub labels: BTreeSet<String>,
    /// `gs-sync/` annotations that the GameServer had.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub annotations: BTreeSet<String>,
}

impl SyncRecord {
    /// The record a Pod carries; empty when there is none or it cannot be read, which makes every key on the Pod a key that
    /// stays.
    pub fn of_pod(pod: &PodView) -> Self {
        pod.metadata
            .annotations
            .get(keys::annotation::SYNCED_FROM)
            .and_then(|json| serde_json::from_str(json).ok())
            .unwrap_or_default()
    }

    /// The record of `pod` showing `server`.
    pub fn of_server(server: &GameServerView, pod: &PodView) -> Self {
        Self {
            pod_uid: pod.metadata.uid.clone(),
            resource_version: server.metadata.resource_version.clone(),
            labels: gs_sync_keys(server.metadata.labels.keys()),
            annotations: gs_sync_keys(server.metadata.annotations.keys()),
        }
    }

    /// Whether both name the same `gs-sync/` keys.
    pub fn same_keys(&self, other: &Self) -> bool {
        self.labels == other.labels && self.annotations == other.annotations
    }

    /// The annotation's value.
    pub fn to_json(&self) -> String {
        // Strings and sets of strings: serialising them has no error to return.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn gs_sync_keys<'a>(keys: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    keys.filter(|key| key.starts_with(keys::GS_SYNC_PREFIX))
        .map(str::to_owned)
        .collect()
}

/// Whether the Pod already shows a newer GameServer than `server`, so that writing from `server` would take it back.
pub fn shows_newer(pod: &PodView, server: &GameServerView, record: &SyncRecord) -> bool {
    if controller_kit::bug::active("generation-goes-back") {
        return false;
    }
    if record.pod_uid == pod.metadata.uid
        && let (Some(shown), Some(held)) = (
            version(&record.resource_version),
            version(&server.metadata.resource_version),
        )
    {
        return held < shown;
    }
    // Born with the generation of a GameServer that survived an earlier Pod. A GameServer younger than its Pod is another
    // one (the first was deleted by hand): its generations start again at 1 and say nothing about the Pod's.
    let survived = server.metadata.creation_timestamp <= pod.metadata.creation_timestamp;
    survived && synced_generation(pod).is_some_and(|shown| server.metadata.generation < shown)
}

/// The GameServer generation that the Pod says it shows.
pub fn synced_generation(pod: &PodView) -> Option<i64> {
    pod.metadata
        .annotations
        .get(keys::annotation::SYNCED_GENERATION)?
        .parse()
        .ok()
}

/// Resource versions of one resource in one cluster grow with every write; the API server's storage has them as integers.
pub fn version(resource_version: &str) -> Option<u64> {
    resource_version.parse().ok()
}

//! What a set was like when its take-over began: what the result is compared with, and what a way back is made from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::facts::{Owned, SetFacts};

/// Key of the ConfigMap's data.
const KEY: &str = "snapshot.json";

/// Name of the ConfigMap for this set.
pub fn config_map_name(set: &str) -> String {
    format!("gamekeeper-migrate-{set}")
}

/// What a set was like.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Snapshot {
    /// RFC 3339 time.
    pub time: String,
    /// UID of the Advanced StatefulSet.
    pub workload_uid: String,
    /// All of it.
    pub workload: Value,
    /// All of the PodProbeMarker, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marker: Option<Value>,
    /// Every server's Pod.
    pub pods: BTreeMap<String, SnapshotPod>,
    /// Names of volume claims that named the workload as owner.
    pub claims: Vec<String>,
    /// Names of its ControllerRevisions.
    pub revisions: Vec<String>,
}

/// A server's Pod.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SnapshotPod {
    /// Its UID.
    pub uid: String,
    /// Restarts of each container.
    pub restarts: BTreeMap<String, i32>,
}

impl Snapshot {
    /// The set as it is. `None` without a workload: there is nothing to take over then.
    pub fn of(set: &SetFacts, now: &str) -> Option<Self> {
        let workload = set.workload.as_ref()?;
        let pod = |pod: &crate::facts::PodFacts| SnapshotPod {
            uid: pod.object.uid.clone(),
            restarts: pod.restarts.clone(),
        };
        let names = |objects: &[Owned]| -> Vec<String> {
            let owned = objects.iter().filter(|found| found.is_owned_by(&workload.uid));
            owned.map(|found| found.name.clone()).collect()
        };
        Some(Self {
            time: now.to_owned(),
            workload_uid: workload.uid.clone(),
            workload: without_managed_fields(&workload.manifest),
            marker: set
                .marker
                .as_ref()
                .map(|marker| without_managed_fields(&marker.manifest)),
            pods: set
                .servers()
                .map(|found| (found.object.name.clone(), pod(found)))
                .collect(),
            claims: names(&set.claims),
            revisions: names(&set.revisions),
        })
    }

    /// The ConfigMap that holds it.
    pub fn config_map(&self, namespace: &str, set: &str) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": config_map_name(set),
                "namespace": namespace,
                "labels": { "app.kubernetes.io/managed-by": "gamekeeper-migrate" },
            },
            // Serialising plain maps and strings cannot fail.
            "data": { KEY: serde_json::to_string(self).unwrap_or_default() },
        })
    }

    /// Reads one back; `None` when the ConfigMap is not one of these.
    pub fn from_config_map(object: &Value) -> Option<Self> {
        serde_json::from_str(object["data"][KEY].as_str()?).ok()
    }
}

fn without_managed_fields(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    object
}

//! Pods that do not show yet what their GameServers say. Pure.
//!
//! The GameServer has to be read before the Pod: then what differs is late, and not merely newer.

use std::collections::{BTreeMap, BTreeSet};

use api_types::{GameServer, IntOrString, keys, label::is_label_value};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use crate::{
    managed::written,
    server::{annotation, label, name, namespace, ops_state, set, speaks_for, uid},
};

/// One thing the Pod does not show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lag {
    /// What: `opsState`, `label gs-sync/match`, …
    pub what: String,
    /// What the GameServer says; empty for a key that it has lost.
    pub wanted: String,
    /// What the Pod shows; empty for nothing.
    pub shown: String,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// A server whose Pod lags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// Namespace of the server.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its set.
    pub set: String,
    /// Generation of the GameServer.
    pub generation: i64,
    /// Generation that the Pod says it shows.
    pub synced_generation: Option<i64>,
    /// What lags.
    pub lags: Vec<Lag>,
}

impl Gap {
    /// Since when anything has lagged.
    pub fn since(&self) -> Option<Timestamp> {
        self.lags.iter().filter_map(|lag| lag.since).min()
    }
}

/// What pod-sync remembers on the Pod.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Record {
    #[serde(rename = "podUID")]
    pod_uid: String,
    resource_version: String,
    labels: BTreeSet<String>,
    annotations: BTreeSet<String>,
}

/// What of this server its Pod does not show; `None` where it shows all of it.
pub fn gap(server: &GameServer, pod: &ObjectMeta) -> Option<Gap> {
    let meta = &server.metadata;
    if !speaks_for(server, uid(pod)) || label(pod, keys::label::OWNER_GSS).is_none() {
        return None;
    }
    let record: Record = annotation(pod, keys::annotation::SYNCED_FROM)
        .and_then(|json| serde_json::from_str(json).ok())
        .unwrap_or_default();
    if shows_newer(&record, meta, pod) {
        return None;
    }
    let mut lags = spec_lags(server, pod);
    lags.extend(sync_lags(meta, pod, &record));
    let synced = annotation(pod, keys::annotation::SYNCED_GENERATION).and_then(|text| text.parse().ok());
    let generation = meta.generation.unwrap_or_default();
    // A Pod that is being created gets its first generation with its first state.
    let creating = label(pod, keys::label::GS_STATE) == Some("Creating");
    if lags.is_empty() && synced != Some(generation) && !creating {
        lags.push(Lag {
            what: "generation".to_owned(),
            wanted: generation.to_string(),
            shown: synced.map(|shown: i64| shown.to_string()).unwrap_or_default(),
            since: written(meta, &["spec"]),
        });
    }
    (!lags.is_empty()).then(|| Gap {
        namespace: namespace(meta).to_owned(),
        name: name(meta).to_owned(),
        set: set(meta).unwrap_or_default().to_owned(),
        generation,
        synced_generation: synced,
        lags,
    })
}

/// Whether the Pod shows a later version of the GameServer than this one: then nothing is late.
fn shows_newer(record: &Record, server: &ObjectMeta, pod: &ObjectMeta) -> bool {
    let version = |text: &str| text.parse::<u64>().ok();
    let held = server.resource_version.as_deref().and_then(version);
    record.pod_uid == uid(pod)
        && held
            .zip(version(&record.resource_version))
            .is_some_and(|(held, shown)| held < shown)
}

fn spec_lags(server: &GameServer, pod: &ObjectMeta) -> Vec<Lag> {
    let spec = &server.spec;
    let priority = |value: &Option<IntOrString>| {
        let text = value
            .as_ref()
            .map(IntOrString::to_label_string)
            .unwrap_or_default();
        if text.is_empty() { "0".to_owned() } else { text }
    };
    let disabled = spec.network_disabled.unwrap_or(false).to_string();
    let fields = [
        (
            "opsState",
            keys::label::GS_OPS_STATE,
            ops_state(server).to_owned(),
        ),
        (
            "updatePriority",
            keys::label::GS_UPDATE_PRIORITY,
            priority(&spec.update_priority),
        ),
        (
            "deletionPriority",
            keys::label::GS_DELETE_PRIORITY,
            priority(&spec.deletion_priority),
        ),
        ("networkDisabled", keys::label::NETWORK_DISABLED, disabled),
    ];
    let late = fields.into_iter().filter_map(|(field, key, wanted)| {
        let shown = label(pod, key).unwrap_or_default();
        // What no label can hold is left out on purpose.
        (shown != wanted && is_label_value(&wanted)).then(|| Lag {
            what: field.to_owned(),
            since: written(&server.metadata, &["spec", field]),
            wanted,
            shown: shown.to_owned(),
        })
    });
    late.collect()
}

/// `gs-sync/` labels and annotations that are missing or other on the Pod, and those that it should have lost.
fn sync_lags(server: &ObjectMeta, pod: &ObjectMeta, record: &Record) -> Vec<Lag> {
    let none = BTreeMap::new();
    let sides = [
        ("label", "labels", &server.labels, &pod.labels, &record.labels),
        (
            "annotation",
            "annotations",
            &server.annotations,
            &pod.annotations,
            &record.annotations,
        ),
    ];
    let mut lags = Vec::new();
    for (kind, field, wanted, shown, recorded) in sides {
        let (wanted, shown) = (wanted.as_ref().unwrap_or(&none), shown.as_ref().unwrap_or(&none));
        let writable = |value: &str| kind == "annotation" || is_label_value(value);
        let differing = wanted.iter().filter(|(key, value)| {
            key.starts_with(keys::GS_SYNC_PREFIX) && shown.get(*key) != Some(value) && writable(value)
        });
        let lost = recorded.iter().filter(|key| {
            key.starts_with(keys::GS_SYNC_PREFIX) && !wanted.contains_key(*key) && shown.contains_key(*key)
        });
        let all = differing
            .map(|(key, value)| (key, value.as_str()))
            .chain(lost.map(|key| (key, "")));
        lags.extend(all.map(|(key, value)| Lag {
            what: format!("{kind} {key}"),
            wanted: value.to_owned(),
            shown: shown.get(key).cloned().unwrap_or_default(),
            since: written(server, &["metadata", field, key]),
        }));
    }
    lags
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn found(server: &Value, pod: &Value) -> Vec<String> {
        let server: GameServer = serde_json::from_value(server.clone()).unwrap();
        let pod: ObjectMeta = serde_json::from_value(pod.clone()).unwrap();
        let found = gap(&server, &pod).map(|gap| gap.lags).unwrap_or_default();
        let lag = |lag: &Lag| format!("{}: {:?} is still {:?}", lag.what, lag.wanted, lag.shown);
        found.iter().map(lag).collect()
    }

    fn in_step() -> (Value, Value) {
        let server = json!({
            "metadata": {"name": "arena-3", "namespace": "games", "generation": 4, "resourceVersion": "90",
                "labels": {"game.kruise.io/owner-gss": "arena", "gs-sync/match": "7"}},
            "spec": {"opsState": "Allocated", "deletionPriority": 2},
        });
        let pod = json!({
            "name": "arena-3", "uid": "p1",
            "labels": {
                "game.kruise.io/owner-gss": "arena", "game.kruise.io/gs-state": "Ready",
                "game.kruise.io/gs-opsState": "Allocated", "game.kruise.io/gs-update-priority": "0",
                "game.kruise.io/gs-delete-priority": "2", "game.kruise.io/network-disabled": "false",
                "gs-sync/match": "7", "gs-sync/of-the-template": "x",
            },
            "annotations": {
                "game.kruise.io/synced-generation": "4",
                "game.kruise.io/synced-from": json!({"podUID": "p1", "resourceVersion": "90",
                    "labels": ["gs-sync/match"]}).to_string(),
            },
        });
        (server, pod)
    }

    #[test]
    fn a_pod_that_shows_everything_does_not_lag() {
        let (server, pod) = in_step();
        assert!(found(&server, &pod).is_empty());
    }

    #[test]
    fn what_lags_is_named_with_both_values() {
        let (mut server, pod) = in_step();
        server["metadata"]["resourceVersion"] = json!("95");
        server["metadata"]["generation"] = json!(5);
        server["spec"]["opsState"] = json!("");
        server["metadata"]["labels"]["gs-sync/match"] = json!("8");
        server["metadata"]["annotations"] = json!({"gs-sync/token": "secret"});
        assert_eq!(
            found(&server, &pod),
            [
                "opsState: \"None\" is still \"Allocated\"",
                "label gs-sync/match: \"8\" is still \"7\"",
                "annotation gs-sync/token: \"secret\" is still \"\"",
            ]
        );
        let (mut server, pod) = in_step();
        server["metadata"]["labels"]
            .as_object_mut()
            .unwrap()
            .remove("gs-sync/match");
        assert_eq!(found(&server, &pod), ["label gs-sync/match: \"\" is still \"7\""]);
    }

    #[test]
    fn a_pod_that_is_ahead_of_what_was_read_does_not_lag() {
        let (mut server, pod) = in_step();
        server["spec"]["opsState"] = json!("None");
        server["metadata"]["resourceVersion"] = json!("80");
        assert!(found(&server, &pod).is_empty());
    }

    #[test]
    fn a_change_that_no_label_shows_still_has_a_generation() {
        let (mut server, mut pod) = in_step();
        server["metadata"]["generation"] = json!(5);
        assert_eq!(found(&server, &pod), ["generation: \"5\" is still \"4\""]);
        pod["labels"]["game.kruise.io/gs-state"] = json!("Creating");
        assert!(found(&server, &pod).is_empty(), "it comes with the first state");
    }

    #[test]
    fn values_that_no_label_can_hold_and_pods_of_others_are_left_out() {
        let (mut server, mut pod) = in_step();
        server["metadata"]["labels"]["gs-sync/match"] = json!("not a label");
        assert!(found(&server, &pod).is_empty());
        server["spec"]["opsState"] = json!("None");
        server["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "v1", "kind": "Pod", "name": "arena-3", "uid": "p0", "controller": true}]);
        assert!(found(&server, &pod).is_empty(), "it speaks for another Pod");
        server["metadata"]["ownerReferences"] = json!([]);
        assert_eq!(found(&server, &pod).len(), 1);
        pod["labels"]
            .as_object_mut()
            .unwrap()
            .remove("game.kruise.io/owner-gss");
        assert!(found(&server, &pod).is_empty(), "it was taken out of its set");
    }
}

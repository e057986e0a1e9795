//! Metadata of a server's objects.

use std::collections::{BTreeMap, BTreeSet};

use api_types::{
    keys::{annotation, label},
    views::{Meta, OwnerRef, StringMap},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::views::{PodView, SetView};

/// Whose an object is, and what its parameters put on it.
#[derive(Debug, Clone)]
pub(crate) struct Belongings<'a> {
    /// The server's Pod.
    pub pod: &'a PodView,
    /// The set, where the object outlives the Pod.
    pub kept_by: Option<&'a SetView>,
    /// Labels from the parameters.
    pub labels: &'a BTreeMap<String, String>,
    /// Annotations from the parameters.
    pub annotations: &'a BTreeMap<String, String>,
}

/// Keys that came from the parameters.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Keys {
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    labels: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    annotations: BTreeSet<String>,
}

impl Belongings<'_> {
    fn owner(&self) -> (&str, Value) {
        if let Some(set) = self.kept_by {
            let set = &set.metadata;
            return (&set.uid, OwnerRef::to_set(&set.name, &set.uid));
        }
        let pod = &self.pod.metadata;
        (&pod.uid, OwnerRef::to_pod(&pod.name, &pod.uid))
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.labels.clone();
        labels.insert(label::OWNER_GSS.to_owned(), self.pod.facts.set.to_string());
        labels
    }

    fn annotations(&self) -> BTreeMap<String, String> {
        let mut annotations = self.annotations.clone();
        if !self.labels.is_empty() || !self.annotations.is_empty() {
            let keys = Keys {
                labels: self.labels.keys().cloned().collect(),
                annotations: self.annotations.keys().cloned().collect(),
            };
            annotations.insert(
                annotation::NETWORK_KEYS.to_owned(),
                serde_json::to_string(&keys).unwrap_or_default(),
            );
        }
        annotations
    }

    /// Metadata of a new object.
    pub(super) fn create(&self) -> Value {
        let mut metadata = json!({
            "name": self.pod.metadata.name,
            "namespace": self.pod.metadata.namespace,
            "labels": self.labels(),
            "ownerReferences": [self.owner().1],
        });
        let annotations = self.annotations();
        if !annotations.is_empty() {
            metadata["annotations"] = json!(annotations);
        }
        metadata
    }

    /// What is to be changed of the metadata that is there; `None` for nothing. Keys that nobody put there for this server, and
    /// other owners, stay.
    pub(super) fn patch(&self, live: &Meta) -> Option<Value> {
        let before: Keys = live
            .annotation(annotation::NETWORK_KEYS)
            .and_then(|keys| serde_json::from_str(keys).ok())
            .unwrap_or_default();
        let mut patch = Map::new();
        let labels = changes(&self.labels(), &live.labels, before.labels);
        if !labels.is_empty() {
            patch.insert("labels".into(), Value::Object(labels));
        }
        let mut old = before.annotations;
        old.insert(annotation::NETWORK_KEYS.to_owned());
        let annotations = changes(&self.annotations(), &live.annotations, old);
        if !annotations.is_empty() {
            patch.insert("annotations".into(), Value::Object(annotations));
        }
        let (uid, owner) = self.owner();
        if live.controller().is_none_or(|controller| controller.uid != uid) {
            patch.insert("ownerReferences".into(), json!([owner]));
        }
        (!patch.is_empty()).then_some(Value::Object(patch))
    }
}

/// The merge patch that brings `live` to `wanted`, and removes what was `ours` and is no longer wanted.
fn changes(
    wanted: &BTreeMap<String, String>,
    live: &StringMap,
    ours: BTreeSet<String>,
) -> Map<String, Value> {
    let gone = ours
        .into_iter()
        .filter(|key| live.contains_key(key) && !wanted.contains_key(key))
        .map(|key| (key, Value::Null));
    wanted
        .iter()
        .filter(|(key, value)| live.get(key) != Some(value.as_str()))
        .map(|(key, value)| (key.clone(), json!(value)))
        .chain(gone)
        .collect()
}

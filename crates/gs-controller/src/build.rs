//! Bodies of what is written to a GameServer's spec and metadata (pure).

use std::collections::BTreeSet;

use api_types::{OwnerRef, keys, ops_state};
use serde_json::{Map, Value, json};

use crate::views::{GameServerView, PodView, RESERVED, SetView};

/// A new GameServer for `pod`, made from the template of `set`.
///
/// It is owned by the Pod when it is to vanish with it, and by the set when it is to outlive the Pod
/// (`reclaimPolicy: Delete`).
pub(crate) fn game_server(pod: &PodView, set: &SetView) -> Value {
    let owner = if set.keeps_game_servers {
        OwnerRef::to_set(&set.metadata.name, &set.metadata.uid)
    } else {
        OwnerRef::to_pod(&pod.metadata.name, &pod.metadata.uid)
    };
    let mut labels = strings(&set.template_labels);
    labels.insert(keys::label::OWNER_GSS.into(), json!(set.metadata.name));
    if let Some(node) = node_label(pod) {
        labels.insert(keys::label::NODE_NAME.into(), json!(node));
    }
    let mut annotations = strings(&set.template_annotations);
    annotations.extend(bookkeeping(set).filter(|(_, value)| !value.is_null()));
    json!({
        "apiVersion": keys::API_VERSION,
        "kind": keys::KIND_GAME_SERVER,
        "metadata": {
            "name": pod.metadata.name,
            "namespace": pod.metadata.namespace,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owner],
        },
        "spec": {
            "opsState": ops_state::NONE,
            "updatePriority": 0,
            "deletionPriority": 0,
            "networkDisabled": false,
        },
    })
}

/// The merge patch that brings a GameServer's metadata up to the set's template, or `None`.
///
/// Keys that came from an earlier template and left it are removed; every other key of the GameServer is a user's and
/// stays. A key in both is the template's, once, when the template changes: it is not put back if a user edits it.
pub(crate) fn metadata_patch(set: Option<&SetView>, game_server: &GameServerView) -> Option<Value> {
    let mut labels = Map::new();
    let mut annotations = Map::new();
    if let Some(set) = set.filter(|set| {
        game_server.annotation(keys::annotation::GS_TEMPLATE_METADATA_HASH) != set.template_hash
    }) {
        for gone in taken_keys(game_server.annotation(keys::annotation::GS_TEMPLATE_METADATA_KEYS)) {
            match gone {
                TakenKey::Label(key) => labels.insert(key.into(), Value::Null),
                TakenKey::Annotation(key) => annotations.insert(key.into(), Value::Null),
            };
        }
        labels.extend(strings(&set.template_labels));
        annotations.extend(strings(&set.template_annotations));
        annotations.extend(bookkeeping(set));
    }
    let mut metadata = Map::new();
    for (name, members) in [("labels", labels), ("annotations", annotations)] {
        if !members.is_empty() {
            metadata.insert(name.into(), Value::Object(members));
        }
    }
    (!metadata.is_empty()).then(|| json!({ "metadata": metadata }))
}

/// The Pod's node as a label value; `None` while the Pod is not scheduled. This is the birth value: from then on
/// node-watcher writes the label. With it in the create, a server costs no patch of it.
///
/// A node's name may have 253 characters, a label's value 63: a longer one is left out, for the API server would refuse
/// the whole object.
fn node_label(pod: &PodView) -> Option<&str> {
    pod.node_name.as_deref().filter(|name| name.len() <= 63)
}

/// What must be remembered about the template: its hash, and which keys it gave (`null` when none).
fn bookkeeping(set: &SetView) -> impl Iterator<Item = (String, Value)> {
    let given: Vec<String> = (set.template_labels.keys().map(|key| format!("{LABEL_MARK}{key}")))
        .chain(
            set.template_annotations
                .keys()
                .map(|key| format!("{ANNOTATION_MARK}{key}")),
        )
        .collect();
    let given = if given.is_empty() {
        Value::Null
    } else {
        json!(given.join(","))
    };
    [
        (
            keys::annotation::GS_TEMPLATE_METADATA_HASH.to_owned(),
            json!(set.template_hash),
        ),
        (keys::annotation::GS_TEMPLATE_METADATA_KEYS.to_owned(), given),
    ]
    .into_iter()
}

const LABEL_MARK: &str = "label:";
const ANNOTATION_MARK: &str = "annotation:";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum TakenKey<'a> {
    Label(&'a str),
    Annotation(&'a str),
}

/// Reads what [`bookkeeping`] wrote. Anything else in there is skipped: the annotation is a user's to damage.
fn taken_keys(record: &str) -> BTreeSet<TakenKey<'_>> {
    record
        .split(',')
        .filter_map(|entry| {
            let label = entry.strip_prefix(LABEL_MARK).map(TakenKey::Label);
            label.or_else(|| entry.strip_prefix(ANNOTATION_MARK).map(TakenKey::Annotation))
        })
        .filter(|taken| match taken {
            // However the record was damaged, a key with a writer of its own is never removed.
            TakenKey::Label(key) | TakenKey::Annotation(key) => !key.is_empty() && !RESERVED.contains(key),
        })
        .collect()
}

fn strings(map: &std::collections::BTreeMap<String, String>) -> Map<String, Value> {
    map.iter()
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect()
}

#[cfg(test)]
mod tests;

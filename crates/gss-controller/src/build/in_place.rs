//! The patches of an update in place.

use std::collections::BTreeMap;

use api_types::{
    GameServerSetView, keys,
    keys::{annotation, label, lifecycle},
};
use serde_json::{Map, Value, json};

use crate::{
    plan::update::{
        change::InPlace,
        completion::{Batch, LastStatus, UpdateState},
        subject::in_place_hook,
    },
    views::PodView,
};

/// Keys that are born with the Pod and are not the template's, whatever it says.
const OWN_LABELS: [&str; 10] = [
    label::OWNER_GSS,
    label::GS_STATE,
    label::GS_OPS_STATE,
    label::GS_UPDATE_PRIORITY,
    label::GS_DELETE_PRIORITY,
    label::NETWORK_DISABLED,
    label::POD_NAME,
    label::POD_INDEX,
    label::CONTROLLER_REVISION_HASH,
    label::LIFECYCLE_STATE,
];
const OWN_ANNOTATIONS: [&str; 6] = [
    annotation::LIFECYCLE_TIMESTAMP,
    annotation::OPS_STATE_LAST_CHANGED,
    annotation::SYNCED_GENERATION,
    annotation::SYNCED_FROM,
    annotation::STATE_LAST_CHANGED,
    annotation::IN_PLACE_UPDATE_STATE,
];

const EVICTION: [&str; 2] = [label::SAFE_TO_EVICT, annotation::SAFE_TO_EVICT];

/// A lifecycle state and the time it was entered.
fn state(state: &str, now: &str) -> Value {
    json!({
        "labels": { label::LIFECYCLE_STATE: state },
        "annotations": { annotation::LIFECYCLE_TIMESTAMP: now },
    })
}

/// Asks the hook before the update. `again` puts back what the hook's handlers took away when they last let the Pod go.
pub fn prepare(set: &GameServerSetView, pod: &PodView, again: bool, now: &str) -> Value {
    let mut metadata = state(lifecycle::PREPARING_UPDATE, now);
    if let Some(hook) = in_place_hook(set).filter(|_| again) {
        for (key, value) in &hook.labels_handler {
            metadata["labels"][key] = json!(value);
        }
        let mut finalizers = pod.metadata.finalizers.clone();
        let missing = hook
            .finalizers_handler
            .iter()
            .filter(|found| !pod.metadata.finalizers.contains(*found));
        finalizers.extend(missing.cloned());
        if finalizers != pod.metadata.finalizers {
            metadata["finalizers"] = json!(finalizers);
        }
    }
    json!({ "metadata": metadata })
}

/// Takes the Pod out of service, for its `status`. Ready is said too: the kubelet would say it, but only when it has seen the
/// gate, and until then traffic would still be sent.
pub fn start(pod: &PodView, now: &str) -> Value {
    let mut conditions = vec![json!({
        "type": keys::IN_PLACE_UPDATE_READY, "status": "False", "reason": "StartInPlaceUpdate", "lastTransitionTime": now,
    })];
    if pod.condition("Ready").is_some_and(|ready| ready.status == "True") {
        conditions.push(json!({
            "type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady", "lastTransitionTime": now,
            "message": "an update in place is under way",
        }));
    }
    json!({ "metadata": state(lifecycle::UPDATING, now), "status": { "conditions": conditions } })
}

/// The same for a Pod without a gate, or one that stays in service while it is resized.
pub fn start_unguarded(now: &str) -> Value {
    json!({ "metadata": state(lifecycle::UPDATING, now) })
}

/// New images, labels and annotations, with the revision they belong to and what the containers were before.
pub fn begin(pod: &PodView, change: &InPlace, revision: &str, now: &str) -> Value {
    let mut metadata = relabelled(change, revision);
    let before = change.images.keys().map(|name| {
        let status = pod.container_status(name).cloned().unwrap_or_default();
        let last = LastStatus {
            image_id: status.image_id,
            container_id: status.container_id,
        };
        (name.clone(), last)
    });
    let record = UpdateState {
        revision: revision.to_owned(),
        update_timestamp: now.to_owned(),
        last_container_statuses: before.collect(),
        update_images: !change.images.is_empty(),
        update_resources: !change.resources.is_empty(),
        container_batches_record: vec![Batch {
            timestamp: now.to_owned(),
            containers: change.images.keys().cloned().collect(),
        }],
    };
    metadata["labels"][label::LIFECYCLE_STATE] = json!(lifecycle::UPDATING);
    metadata["annotations"][annotation::IN_PLACE_UPDATE_STATE] = json!(json!(record).to_string());
    if pod.metadata.label(label::LIFECYCLE_STATE) != Some(lifecycle::UPDATING) {
        metadata["annotations"][annotation::LIFECYCLE_TIMESTAMP] = json!(now);
    }
    let mut body = json!({ "metadata": metadata });
    if !change.images.is_empty() {
        let containers = change
            .images
            .iter()
            .map(|(name, image)| json!({ "name": name, "image": image }));
        body["spec"] = json!({ "containers": containers.collect::<Vec<_>>() });
    }
    body
}

/// New labels and annotations, with the revision they belong to.
pub fn relabel(change: &InPlace, revision: &str) -> Value {
    json!({ "metadata": relabelled(change, revision) })
}

/// New CPU and memory, for the Pod's `resize`.
pub fn resize(change: &InPlace) -> Value {
    let containers = change
        .resources
        .iter()
        .map(|(name, resources)| json!({ "name": name, "resources": resources }));
    json!({ "spec": { "containers": containers.collect::<Vec<_>>() } })
}

/// Puts the Pod back into service, or asks the hook to. With `gate` for its `status`.
pub fn finish(accepted: bool, gate: bool, now: &str) -> Value {
    let mut body =
        json!({ "metadata": state(if accepted { lifecycle::NORMAL } else { lifecycle::UPDATED }, now) });
    if gate {
        let open = json!({
            "type": keys::IN_PLACE_UPDATE_READY, "status": "True", "reason": null, "lastTransitionTime": now,
        });
        body["status"] = json!({ "conditions": [open] });
    }
    body
}

fn relabelled(change: &InPlace, revision: &str) -> Value {
    let mut labels = foreign(&change.labels, &OWN_LABELS);
    labels.insert(label::CONTROLLER_REVISION_HASH.to_owned(), json!(revision));
    let annotations = foreign(&change.annotations, &OWN_ANNOTATIONS);
    json!({ "labels": labels, "annotations": annotations })
}

/// The template's own keys. `gs-sync/` keys are the GameServer's, also where the template has one of the same name.
fn foreign(changed: &BTreeMap<String, Option<String>>, own: &[&str]) -> Map<String, Value> {
    changed
        .iter()
        .filter(|(key, _)| !own.contains(&key.as_str()) && !key.starts_with(keys::GS_SYNC_PREFIX))
        // What a template no longer says about evictions, pod-sync does; until then the Pod keeps it, or it would be nobody's for a
        // moment, and evictable.
        .filter(|(key, value)| value.is_some() || !EVICTION.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect()
}

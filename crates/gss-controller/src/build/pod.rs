//! A game server's Pod.

use std::collections::BTreeMap;

use api_types::{
    GameServerContainer, GameServerSetView, GameServerState, OwnerRef, PodUpdatePolicy,
    eviction::{Kept, Policy},
    keys,
    keys::{annotation, label},
    label::is_label_value,
    names, ops_state,
    views::StringMap,
};
use serde_json::{Map, Value, json};

use super::claim;
use crate::{
    plan::{guard, hooks, ids::Id, revisions::Named},
    views::GameServerView,
};

/// The Pod of server `id`, made from this revision of the set's template.
///
/// It is born with everything pod-sync would write, so that a new server costs no patch: the fresh server's values, or
/// those of the GameServer that `survived` an earlier Pod under reclaimPolicy Delete. `default` is who may evict servers of
/// sets that say nothing. `now` is RFC 3339.
pub fn pod(
    set: &GameServerSetView,
    revision: &Named,
    id: Id,
    survived: Option<&GameServerView>,
    default: Policy,
    now: &str,
) -> Value {
    let name = names::pod_name(&set.metadata.name, id);
    let template = &set.spec.game_server_template;
    let mut metadata = json!({
        "name": name,
        "generateName": format!("{}-", set.metadata.name),
        "namespace": set.metadata.namespace,
        "labels": labels(set, revision, id, &name, survived),
        "annotations": annotations(revision, survived, now),
        "ownerReferences": [OwnerRef::to_set(&set.metadata.name, &set.metadata.uid)],
    });
    mark(&mut metadata, set, revision, survived, default);
    if let Some(finalizers) = template.metadata.other.get("finalizers") {
        metadata["finalizers"] = finalizers.clone();
    }
    let state = if is_in_service(set, &metadata) {
        keys::lifecycle::NORMAL
    } else {
        keys::lifecycle::PREPARING_NORMAL
    };
    metadata["labels"][label::LIFECYCLE_STATE] = json!(state);
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec(set, revision, id, &name, survived) })
}

/// Says who may evict the Pod, where its template does not.
fn mark(
    metadata: &mut Value,
    set: &GameServerSetView,
    revision: &Named,
    survived: Option<&GameServerView>,
    default: Policy,
) {
    let template = &revision.template;
    let kept = Kept {
        annotation: template
            .annotations
            .get(annotation::SAFE_TO_EVICT)
            .map(String::as_str),
        label: template.labels.get(label::SAFE_TO_EVICT).map(String::as_str),
    };
    let busy = survived.is_some_and(|survived| survived.ops_state() == ops_state::ALLOCATED);
    let marks = guard::policy(set, &kept, default).marks(busy);
    if kept.annotation.is_none() {
        metadata["annotations"][annotation::SAFE_TO_EVICT] = json!(marks.annotation);
    }
    if kept.label.is_none() {
        metadata["labels"][label::SAFE_TO_EVICT] = json!(marks.label);
    }
}

/// Whether a Pod born with this metadata satisfies the `preNormal` hook, if there is one.
fn is_in_service(set: &GameServerSetView, metadata: &Value) -> bool {
    hooks::pre_normal(set).is_none_or(|hook| {
        // Malformed finalizers keep the Pod from being created anyway.
        let born = serde_json::from_value(metadata.clone()).unwrap_or_default();
        hooks::is_satisfied(hook, &born)
    })
}

/// Whether Pods of this set can be taken out of service for an update in place.
pub fn updates_in_place(set: &GameServerSetView) -> bool {
    let rolling = set
        .spec
        .update_strategy
        .as_ref()
        .and_then(|strategy| strategy.rolling_update.as_ref());
    let policy = rolling.and_then(|rolling| rolling.pod_update_policy.as_ref());
    matches!(
        policy,
        Some(PodUpdatePolicy::InPlaceIfPossible | PodUpdatePolicy::InPlaceOnly)
    )
}

fn labels(
    set: &GameServerSetView,
    revision: &Named,
    id: Id,
    name: &str,
    survived: Option<&GameServerView>,
) -> BTreeMap<String, String> {
    let mut labels = revision.template.labels.clone();
    if let Some(survived) = survived {
        labels.extend(synced(&survived.metadata.labels).filter(|(_, value)| is_label_value(value)));
    }
    let ops_state = survived.map_or(ops_state::NONE, GameServerView::ops_state);
    let spec = survived.map(|survived| &survived.spec);
    let priority = |value: Option<&api_types::IntOrString>| {
        value
            .map(api_types::IntOrString::to_label_string)
            .filter(|text| !text.is_empty() && is_label_value(text))
    };
    let update = spec.and_then(|spec| priority(spec.update_priority.as_ref()));
    let delete = spec.and_then(|spec| priority(spec.deletion_priority.as_ref()));
    let disabled = spec.and_then(|spec| spec.network_disabled).unwrap_or(false);
    let own = [
        (label::OWNER_GSS, set.metadata.name.clone()),
        (label::GS_STATE, GameServerState::Creating.as_str().to_owned()),
        // A value no label can hold would keep the Pod from being created; pod-sync reports it.
        (
            label::GS_OPS_STATE,
            if is_label_value(ops_state) {
                ops_state
            } else {
                ops_state::NONE
            }
            .to_owned(),
        ),
        (
            label::GS_UPDATE_PRIORITY,
            update.unwrap_or_else(|| "0".to_owned()),
        ),
        (
            label::GS_DELETE_PRIORITY,
            delete.unwrap_or_else(|| "0".to_owned()),
        ),
        (label::NETWORK_DISABLED, disabled.to_string()),
        (label::POD_NAME, name.to_owned()),
        (label::POD_INDEX, id.to_string()),
        (label::CONTROLLER_REVISION_HASH, revision.name.clone()),
    ];
    labels.extend(own.map(|(key, value)| (key.to_owned(), value)));
    labels
}

fn annotations(revision: &Named, survived: Option<&GameServerView>, now: &str) -> BTreeMap<String, String> {
    let mut annotations = revision.template.annotations.clone();
    annotations.insert(annotation::LIFECYCLE_TIMESTAMP.into(), now.to_owned());
    annotations.insert(annotation::OPS_STATE_LAST_CHANGED.into(), now.to_owned());
    if let Some(survived) = survived {
        let mirrored: BTreeMap<_, _> = synced(&survived.metadata.annotations).collect();
        let keys_of = |map: &StringMap| synced(map).map(|(key, _)| key).collect::<Vec<_>>();
        let (labels, notes) = (
            keys_of(&survived.metadata.labels),
            keys_of(&survived.metadata.annotations),
        );
        annotations.extend(mirrored);
        annotations.insert(
            annotation::SYNCED_GENERATION.into(),
            survived.metadata.generation.to_string(),
        );
        if !labels.is_empty() || !notes.is_empty() {
            // So that pod-sync knows these keys as the GameServer's, and removes them with it.
            let record = json!({ "labels": labels, "annotations": notes });
            annotations.insert(annotation::SYNCED_FROM.into(), record.to_string());
        }
    }
    annotations
}

fn synced(map: &StringMap) -> impl Iterator<Item = (String, String)> {
    map.iter()
        .filter(|(key, _)| key.starts_with(keys::GS_SYNC_PREFIX))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
}

fn spec(
    set: &GameServerSetView,
    revision: &Named,
    id: Id,
    name: &str,
    survived: Option<&GameServerView>,
) -> Value {
    let mut spec = match &revision.template.spec {
        Value::Object(spec) => spec.clone(),
        // The API server says what is missing, and that reaches the set's condition.
        _ => Map::new(),
    };
    spec.insert("hostname".into(), json!(name));
    let service = set
        .spec
        .service_name
        .as_deref()
        .filter(|service| !service.is_empty());
    spec.insert("subdomain".into(), json!(service.unwrap_or(&set.metadata.name)));
    claim::mount(set, id, &mut spec);
    let hooks_mark = [hooks::pre_delete(set), hooks::in_place_update(set)];
    if hooks_mark.into_iter().any(hooks::marks_not_ready) {
        add_readiness_gate(&mut spec, keys::KRUISE_POD_READY);
    }
    if updates_in_place(set) {
        add_readiness_gate(&mut spec, keys::IN_PLACE_UPDATE_READY);
    }
    for container in survived.map_or(&[][..], |survived| &survived.spec.containers) {
        override_container(&mut spec, container);
    }
    Value::Object(spec)
}

/// The user's gates first, ours last, once.
fn add_readiness_gate(spec: &mut Map<String, Value>, wanted: &str) {
    let gates = spec.entry("readinessGates").or_insert_with(|| json!([]));
    if gates.is_null() {
        *gates = json!([]);
    }
    if let Value::Array(gates) = gates
        && !gates.iter().any(|gate| gate["conditionType"] == wanted)
    {
        gates.push(json!({ "conditionType": wanted }));
    }
}

/// Applies one server's own image, CPU and memory; other resources are the template's.
fn override_container(spec: &mut Map<String, Value>, wanted: &GameServerContainer) {
    let Some(Value::Array(containers)) = spec.get_mut("containers") else {
        return;
    };
    let Some(container) = containers
        .iter_mut()
        .find(|container| container["name"] == wanted.name.as_str())
    else {
        return;
    };
    if let Some(image) = wanted.image.as_deref().filter(|image| !image.is_empty()) {
        container["image"] = json!(image);
    }
    let Some(resources) = &wanted.resources else {
        return;
    };
    for (section, amounts) in [("limits", &resources.limits), ("requests", &resources.requests)] {
        for name in ["cpu", "memory"] {
            if let Some(amount) = amounts.get(name) {
                let resources = object_in(container, "resources");
                object_in(resources, section)[name] = json!(amount);
            }
        }
    }
}

/// The member `name`, made an object where it is absent or null.
fn object_in<'a>(parent: &'a mut Value, name: &str) -> &'a mut Value {
    let member = &mut parent[name];
    if !member.is_object() {
        *member = json!({});
    }
    member
}

#[cfg(test)]
#[path = "pod_tests.rs"]
mod tests;

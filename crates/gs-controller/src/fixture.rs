//! Pods, GameServers and sets for tests, read from JSON the way the watch reads them.

use serde_json::{Value, json};

use crate::views::{GameServerView, PodView, SetView};

pub(crate) const POD_UID: &str = "pod-uid";
pub(crate) const SET_UID: &str = "set-uid";
pub(crate) const GAME_SERVER_UID: &str = "gs-uid";

/// A Pod as JSON, controlled by the set `arena`, scheduled and pending.
#[derive(Clone, Debug)]
pub(crate) struct Pod(pub(crate) Value);

pub(crate) fn pod() -> Pod {
    Pod(json!({
        "metadata": {
            "name": "arena-0", "namespace": "games", "uid": POD_UID, "resourceVersion": "10",
            "labels": {"game.kruise.io/owner-gss": "arena"},
            "ownerReferences": [{"apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "name": "arena",
                "uid": SET_UID, "controller": true}],
        },
        "spec": {"nodeName": "node-1"},
        "status": {"phase": "Pending"},
    }))
}

impl Pod {
    pub(crate) fn uid(mut self, uid: &str) -> Self {
        self.0["metadata"]["uid"] = json!(uid);
        self
    }

    pub(crate) fn terminating(mut self) -> Self {
        self.0["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        self
    }

    pub(crate) fn unscheduled(mut self) -> Self {
        self.0["spec"] = json!({});
        self
    }

    pub(crate) fn status(mut self, status: Value) -> Self {
        self.0["status"] = status;
        self
    }

    /// Running and ready, with an address.
    pub(crate) fn ready(self) -> Self {
        self.status(json!({"phase": "Running", "podIP": "10.0.0.7", "conditions": [
            {"type": "Ready", "status": "True", "lastProbeTime": null}]}))
    }

    pub(crate) fn edit(mut self, edit: impl FnOnce(&mut Value)) -> Self {
        edit(&mut self.0);
        self
    }

    pub(crate) fn view(&self) -> PodView {
        serde_json::from_str(&self.0.to_string()).unwrap()
    }
}

/// A GameServer as JSON, owned by the Pod, without a status.
#[derive(Clone, Debug)]
pub(crate) struct GameServer(pub(crate) Value);

pub(crate) fn game_server() -> GameServer {
    GameServer(json!({
        "metadata": {
            "name": "arena-0", "namespace": "games", "uid": GAME_SERVER_UID, "resourceVersion": "20",
            "labels": {"game.kruise.io/owner-gss": "arena", "game.kruise.io/node-name": "node-1"},
            "annotations": {"game.kruise.io/gsTemplate-metadata-hash": set().view().template_hash},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "arena-0", "uid": POD_UID,
                "controller": true}],
        },
        "spec": {"opsState": "None", "updatePriority": 0, "deletionPriority": 0, "networkDisabled": false},
    }))
}

impl GameServer {
    pub(crate) fn owned_by_set(mut self) -> Self {
        self.0["metadata"]["ownerReferences"] = json!([{"apiVersion": "game.kruise.io/v1alpha1",
            "kind": "GameServerSet", "name": "arena", "uid": SET_UID, "controller": true}]);
        self
    }

    pub(crate) fn label(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["labels"][key] = json!(value);
        self
    }

    pub(crate) fn edit(mut self, edit: impl FnOnce(&mut Value)) -> Self {
        edit(&mut self.0);
        self
    }

    pub(crate) fn view(&self) -> GameServerView {
        serde_json::from_str(&self.0.to_string()).unwrap()
    }
}

/// A set as JSON: Cascade, with an empty template.
#[derive(Clone, Debug)]
pub(crate) struct Set(pub(crate) Value);

pub(crate) fn set() -> Set {
    Set(json!({
        "metadata": {"name": "arena", "namespace": "games", "uid": SET_UID},
        "spec": {"replicas": 1, "gameServerTemplate": {"spec": {}}},
    }))
}

impl Set {
    pub(crate) fn keeping(mut self) -> Self {
        self.0["spec"]["gameServerTemplate"]["reclaimPolicy"] = json!("Delete");
        self
    }

    pub(crate) fn template(mut self, labels: &Value, annotations: &Value) -> Self {
        self.0["spec"]["gameServerTemplate"]["metadata"] =
            json!({"labels": labels, "annotations": annotations});
        self
    }

    pub(crate) fn view(&self) -> SetView {
        serde_json::from_str(&self.0.to_string()).unwrap()
    }
}

/// A JSON merge patch (RFC 7386), as the API server applies it.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut target[key], value);
        }
    }
}

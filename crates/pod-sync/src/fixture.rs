//! GameServers and Pods for tests, read from JSON the way the watch reads them.

use api_types::views::{GameServerView, PodView};
use jiff::Timestamp;
use serde_json::{Value, json};

pub(crate) const POD_UID: &str = "pod-uid";

/// A fixed "now", whose text is [`NOW_TEXT`].
pub(crate) fn now() -> Timestamp {
    NOW_TEXT.parse().unwrap()
}
pub(crate) const NOW_TEXT: &str = "2026-05-04T03:02:01Z";

/// A GameServer in the making.
#[derive(Clone, Debug)]
pub(crate) struct Server(pub(crate) Value);

/// A Cascade GameServer of the Pod [`POD_UID`], generation 1, resource version 10.
pub(crate) fn server() -> Server {
    Server(json!({
        "metadata": {
            "name": "arena-0", "namespace": "games", "uid": "gs-uid", "resourceVersion": "10", "generation": 1,
            "creationTimestamp": "2026-05-04T03:00:01Z",
            "labels": {"game.kruise.io/owner-gss": "arena"}, "annotations": {},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "arena-0", "uid": POD_UID, "controller": true}],
        },
        "spec": {"opsState": "None", "updatePriority": 0, "deletionPriority": 0, "networkDisabled": false},
    }))
}

impl Server {
    pub(crate) fn spec(mut self, field: &str, value: Value) -> Self {
        self.0["spec"][field] = value;
        self
    }

    pub(crate) fn label(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["labels"][key] = json!(value);
        self
    }

    pub(crate) fn annotation(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["annotations"][key] = json!(value);
        self
    }

    pub(crate) fn version(mut self, generation: i64, resource_version: u64) -> Self {
        self.0["metadata"]["generation"] = json!(generation);
        self.0["metadata"]["resourceVersion"] = json!(resource_version.to_string());
        self
    }

    pub(crate) fn owner(mut self, kind: &str, name: &str, uid: &str) -> Self {
        self.0["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "v1", "kind": kind, "name": name, "uid": uid, "controller": true}]);
        self
    }

    pub(crate) fn metadata(mut self, field: &str, value: Value) -> Self {
        self.0["metadata"][field] = value;
        self
    }

    pub(crate) fn view(&self) -> GameServerView {
        serde_json::from_value(self.0.clone()).unwrap()
    }
}

/// A Pod in the making.
#[derive(Clone, Debug)]
pub(crate) struct GamePod(pub(crate) Value);

/// A Pod as gss-controller makes it: pending, with the labels of a fresh server.
pub(crate) fn pod() -> GamePod {
    GamePod(json!({
        "metadata": {
            "name": "arena-0", "namespace": "games", "uid": POD_UID, "resourceVersion": "100",
            "creationTimestamp": "2026-05-04T03:00:00Z",
            "labels": {
                "game.kruise.io/owner-gss": "arena",
                "game.kruise.io/gs-state": "Creating",
                "game.kruise.io/gs-opsState": "None",
                "game.kruise.io/gs-update-priority": "0",
                "game.kruise.io/gs-delete-priority": "0",
                "game.kruise.io/network-disabled": "false",
            },
            "annotations": {},
        },
        "spec": {"containers": [{"name": "game", "image": "game:1"}, {"name": "log", "image": "log:1"}]},
        "status": {"phase": "Pending"},
    }))
}

/// A Pod that runs, is ready, and shows [`server`] completely.
pub(crate) fn synced_pod() -> GamePod {
    pod()
        .ready()
        .label("game.kruise.io/gs-state", "Ready")
        .annotation("game.kruise.io/synced-generation", "1")
        .annotation(
            "game.kruise.io/synced-from",
            r#"{"podUID":"pod-uid","resourceVersion":"10"}"#,
        )
}

impl GamePod {
    pub(crate) fn ready(mut self) -> Self {
        self.0["status"] = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        self
    }

    pub(crate) fn status(mut self, status: Value) -> Self {
        self.0["status"] = status;
        self
    }

    pub(crate) fn label(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["labels"][key] = json!(value);
        self
    }

    pub(crate) fn annotation(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["annotations"][key] = json!(value);
        self
    }

    pub(crate) fn metadata(mut self, field: &str, value: Value) -> Self {
        self.0["metadata"][field] = value;
        self
    }

    pub(crate) fn view(&self) -> PodView {
        serde_json::from_value(self.0.clone()).unwrap()
    }
}

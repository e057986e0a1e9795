//! Nodes, Pods and GameServers for tests, read from JSON the way the watch reads them.

use serde_json::{Value, json};

use crate::views::{GameServerView, NodeView, PodView};

/// A Node in the making.
#[derive(Clone, Debug)]
pub(crate) struct Node(pub(crate) Value);

/// A node that is well.
pub(crate) fn node(name: &str) -> Node {
    Node(json!({
        "metadata": {"name": name, "uid": "node-uid", "resourceVersion": "1"},
        "spec": {"taints": []},
        "status": {"conditions": []},
    }))
    .condition("Ready", "True", "KubeletReady")
    .condition("MemoryPressure", "False", "KubeletHasSufficientMemory")
}

impl Node {
    /// Sets or adds a condition.
    pub(crate) fn condition(mut self, type_: &str, status: &str, reason: &str) -> Self {
        let conditions = self.0["status"]["conditions"].as_array_mut().unwrap();
        conditions.retain(|condition| condition["type"] != type_);
        conditions.push(json!({"type": type_, "status": status, "reason": reason}));
        self
    }

    pub(crate) fn taint(mut self, key: &str, value: &str, effect: &str) -> Self {
        let taint = json!({"key": key, "value": value, "effect": effect});
        self.0["spec"]["taints"].as_array_mut().unwrap().push(taint);
        self
    }

    pub(crate) fn address(mut self, type_: &str, address: &str) -> Self {
        let added = json!({"type": type_, "address": address});
        match self.0["status"]["addresses"].as_array_mut() {
            Some(addresses) => addresses.push(added),
            None => self.0["status"]["addresses"] = json!([added]),
        }
        self
    }

    pub(crate) fn terminating(mut self) -> Self {
        self.0["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        self
    }

    pub(crate) fn view(&self) -> NodeView {
        serde_json::from_str(&self.0.to_string()).unwrap()
    }
}

/// A Pod in the making.
#[derive(Clone, Debug)]
pub(crate) struct Pod(pub(crate) Value);

/// A Pod of the set `arena` on `node-1`.
pub(crate) fn pod() -> Pod {
    Pod(json!({
        "metadata": {
            "name": "arena-0", "namespace": "games", "uid": "pod-uid",
            "ownerReferences": [{"apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "name": "arena",
                "uid": "set-uid", "controller": true}],
        },
        "spec": {"nodeName": "node-1"},
    }))
}

impl Pod {
    pub(crate) fn on(mut self, node: &str) -> Self {
        self.0["spec"]["nodeName"] = json!(node);
        self
    }

    pub(crate) fn unbound(mut self) -> Self {
        self.0["spec"] = json!({});
        self
    }

    pub(crate) fn uid(mut self, uid: &str) -> Self {
        self.0["metadata"]["uid"] = json!(uid);
        self
    }

    pub(crate) fn tolerating(mut self, key: &str) -> Self {
        self.0["spec"]["tolerations"] = json!([{"key": key, "operator": "Exists", "effect": "NoExecute"}]);
        self
    }

    pub(crate) fn view(&self) -> PodView {
        serde_json::from_str(&self.0.to_string()).unwrap()
    }
}

/// A GameServer in the making.
#[derive(Clone, Debug)]
pub(crate) struct GameServer(pub(crate) Value);

/// The newborn GameServer of [`pod`], owned by it.
pub(crate) fn game_server() -> GameServer {
    GameServer(json!({
        "metadata": {
            "name": "arena-0", "namespace": "games", "uid": "gs-uid", "resourceVersion": "20",
            "labels": {"game.kruise.io/owner-gss": "arena", "game.kruise.io/node-name": "node-1"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "arena-0", "uid": "pod-uid",
                "controller": true}],
        },
    }))
}

impl GameServer {
    pub(crate) fn edit(mut self, edit: impl FnOnce(&mut Value)) -> Self {
        edit(&mut self.0);
        self
    }

    pub(crate) fn owned_by_set(self) -> Self {
        self.edit(|it| {
            it["metadata"]["ownerReferences"] = json!([{"apiVersion": "game.kruise.io/v1alpha1",
                "kind": "GameServerSet", "name": "arena", "uid": "set-uid", "controller": true}]);
        })
    }

    pub(crate) fn condition(self, status: &str, reason: &str) -> Self {
        self.edit(|it| {
            it["status"]["conditions"] = json!([
                {"type": "PodNormal", "status": "True"},
                {"type": "NodeNormal", "status": status, "reason": reason}]);
        })
    }

    pub(crate) fn view(&self) -> GameServerView {
        serde_json::from_str(&self.0.to_string()).unwrap()
    }
}

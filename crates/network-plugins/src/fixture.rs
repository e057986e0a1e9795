//! Objects for tests of the pure parts.

use serde_json::{Value, json};

use crate::views::{GameServerView, PodView, ServiceView, SetView};

/// A Pod `arena-3` of set `arena`, with this network, on node `n1` under 10.0.0.7.
pub(crate) fn pod(type_: &str, conf: &[(&str, &str)]) -> Value {
    let conf: Vec<_> = conf
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    json!({
        "metadata": {
            "name": "arena-3", "namespace": "games", "uid": "pod-uid", "resourceVersion": "5",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {
                "game.kruise.io/owner-gss": "arena", "game.kruise.io/network-disabled": "false",
                "lifecycle.apps.kruise.io/state": "Normal",
            },
            "annotations": {
                "game.kruise.io/network-type": type_, "game.kruise.io/network-conf": json!(conf).to_string(),
            },
            "ownerReferences": [{
                "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "name": "arena", "uid": "set-uid",
                "controller": true,
            }],
        },
        "spec": { "nodeName": "n1", "containers": [{ "name": "game", "image": "game:1" }] },
        "status": { "podIP": "10.0.0.7", "conditions": [{ "type": "Ready", "status": "True" }] },
    })
}

pub(crate) fn view(pod: &Value) -> PodView {
    serde_json::from_value(pod.clone()).unwrap()
}

pub(crate) fn set() -> SetView {
    serde_json::from_value(json!({
        "metadata": { "name": "arena", "namespace": "games", "uid": "set-uid" },
        "spec": { "network": {}, "gameServerTemplate": { "spec": { "containers": [{ "name": "game", "image": "game:1" }] } } },
    }))
    .unwrap()
}

pub(crate) fn game_server(status: Value) -> GameServerView {
    let mut object = json!({
        "metadata": {
            "name": "arena-3", "namespace": "games", "uid": "gs-uid", "creationTimestamp": "2026-01-01T00:00:00Z",
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Pod", "name": "arena-3", "uid": "pod-uid", "controller": true }],
        },
    });
    object["status"] = status;
    serde_json::from_value(object).unwrap()
}

/// What the API server makes of a Service that is created or patched: numbers of node ports, and a UID.
pub(crate) fn stored(body: &Value) -> ServiceView {
    let mut body = body.clone();
    body["metadata"]["uid"] = json!("service-uid");
    body["metadata"]["resourceVersion"] = json!("9");
    if body["spec"]["type"] != "ClusterIP" {
        body["spec"]["externalTrafficPolicy"] = body["spec"]
            .get("externalTrafficPolicy")
            .cloned()
            .unwrap_or_else(|| json!("Cluster"));
        for (index, port) in body["spec"]["ports"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .enumerate()
        {
            port["nodePort"] = json!(30000 + index);
        }
    }
    serde_json::from_value(body).unwrap()
}

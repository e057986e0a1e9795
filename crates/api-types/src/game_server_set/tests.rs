use serde_json::{Value, json};

use crate::{
    ClaimRetention, GameServerSet, GameServerSetSpec, PodUpdatePolicy, ReclaimPolicy, ScaleDownStrategyType,
};

fn round_trip(spec: &Value) -> Value {
    let decoded: GameServerSetSpec = serde_json::from_value(spec.clone()).unwrap();
    serde_json::to_value(decoded).unwrap()
}

#[test]
fn what_is_written_comes_back() {
    let spec = json!({
        "replicas": 2,
        "gameServerTemplate": {
            "metadata": { "labels": { "a": "b" }, "creationTimestamp": null },
            "spec": { "containers": [{ "name": "a", "image": "b", "fieldOfTheFuture": 1.5 }], "hostNetwork": true },
            "volumeClaimTemplates": [
                { "kind": "PersistentVolumeClaim", "metadata": { "name": "data" }, "spec": { "x": 1 }, "status": {} }
            ],
            "reclaimPolicy": "Delete",
            "unknown": [1],
        },
        "serviceName": "s",
        "reserveGameServerIds": [1, "3-5"],
        "serviceQualities": [{
            "name": "idle", "permanent": false, "exec": { "command": ["a"] }, "periodSeconds": 3,
            "serviceQualityAction": [{ "state": true, "opsState": "WaitToBeDeleted", "deletionPriority": "{{ .Result }}", "labels": { "a": "b" } }],
        }],
        "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": {
            "partition": 1, "maxUnavailable": "50%", "podUpdatePolicy": "InPlaceOnly", "paused": true,
            "inPlaceUpdateStrategy": { "gracePeriodSeconds": 5 }, "minReadySeconds": 7,
        } },
        "scaleStrategy": { "maxUnavailable": 3, "scaleDownStrategyType": "ReserveIds", "protectAllocated": true },
        "network": { "networkType": "Kubernetes-HostPort", "networkConf": [{ "name": "A", "value": "b" }, { "name": "C" }] },
        "lifecycle": { "preDelete": { "labelsHandler": { "a": "b" }, "finalizersHandler": ["a/b"], "markPodNotReady": true } },
        "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Delete", "whenScaled": "Retain" },
        "eviction": { "safe": "WhenIdle" },
    });
    assert_eq!(round_trip(&spec), spec);
}

#[test]
fn what_is_absent_stays_absent() {
    let spec = json!({ "replicas": 1, "gameServerTemplate": { "spec": {} } });
    assert_eq!(round_trip(&spec), spec);
}

/// An object stored under OpenKruiseGame's schema, which lists no values, must not be undecodable.
#[test]
fn unknown_values_are_kept_and_empty_ones_are_unset() {
    let mut spec = json!({
        "replicas": 1,
        "gameServerTemplate": { "reclaimPolicy": "Keep", "spec": {} },
        "scaleStrategy": { "scaleDownStrategyType": "" },
    });
    let decoded: GameServerSetSpec = serde_json::from_value(spec.clone()).unwrap();
    assert_eq!(
        decoded.game_server_template.reclaim_policy,
        Some(ReclaimPolicy::Other("Keep".into()))
    );
    assert!(!decoded.game_server_template.keeps_game_server());
    assert_eq!(
        decoded.scale_strategy.as_ref().unwrap().scale_down_strategy_type,
        None
    );
    spec["scaleStrategy"] = json!({});
    assert_eq!(serde_json::to_value(decoded).unwrap(), spec);
}

#[test]
fn known_values_have_their_spelling() {
    assert_eq!(ReclaimPolicy::KNOWN, ["Cascade", "Delete"]);
    assert_eq!(
        PodUpdatePolicy::KNOWN,
        ["ReCreate", "InPlaceIfPossible", "InPlaceOnly"]
    );
    assert_eq!(ScaleDownStrategyType::KNOWN, ["General", "ReserveIds"]);
    assert_eq!(ClaimRetention::from("Retain"), ClaimRetention::Retain);
    assert_eq!(PodUpdatePolicy::from("InPlace").to_string(), "InPlace");
}

#[test]
fn a_new_object_knows_its_kind() {
    let set = GameServerSet::new("lobby", GameServerSetSpec::default());
    let value = serde_json::to_value(set).unwrap();
    assert_eq!(
        (&value["apiVersion"], &value["kind"]),
        (&json!("game.kruise.io/v1alpha1"), &json!("GameServerSet"))
    );
    assert_eq!(value["metadata"], json!({ "name": "lobby" }));
}

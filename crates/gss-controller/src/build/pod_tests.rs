// Literals of `json!` read best where they are passed.
#![allow(clippy::needless_pass_by_value)]

use super::*;

const NOW: &str = "2026-05-04T03:02:01Z";

fn set(spec: Value) -> GameServerSetView {
    let mut all = json!({
        "metadata": { "name": "arena", "namespace": "games", "uid": "set-uid" },
        "spec": { "replicas": 3, "gameServerTemplate": { "spec": { "containers": [{ "name": "game", "image": "game:1" }] } } },
    });
    for (key, value) in spec.as_object().unwrap() {
        all["spec"][key] = value.clone();
    }
    serde_json::from_value(all).unwrap()
}

fn revision(set: &GameServerSetView) -> Named {
    Named {
        name: "arena-r1".to_owned(),
        template: std::sync::Arc::new(crate::build::template::Template::of(set)),
    }
}

fn pod(set: &GameServerSetView, id: Id, survived: Option<&GameServerView>, now: &str) -> Value {
    super::pod(set, &revision(set), id, survived, Policy::Never, now)
}

fn survivor(spec: Value, labels: Value) -> GameServerView {
    serde_json::from_value(json!({
        "metadata": { "name": "arena-7", "namespace": "games", "generation": 4, "labels": labels },
        "spec": spec,
    }))
    .unwrap()
}

#[test]
fn a_fresh_pod_is_exactly_this() {
    let set = set(json!({
        "serviceName": "arena-headless",
        "gameServerTemplate": {
            "metadata": {
                "labels": { "team": "red", "game.kruise.io/owner-gss": "forged" },
                "annotations": { "note": "x" },
                "finalizers": ["example.com/save"],
                "name": "ignored",
            },
            "spec": {
                "containers": [{ "name": "game", "image": "game:1" }],
                "hostname": "ignored",
                "fieldOfTheFuture": { "a": [1] },
            },
        },
    }));
    let expected = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "arena-7",
            "generateName": "arena-",
            "namespace": "games",
            "labels": {
                "team": "red",
                "game.kruise.io/owner-gss": "arena",
                "game.kruise.io/gs-state": "Creating",
                "game.kruise.io/gs-opsState": "None",
                "game.kruise.io/gs-update-priority": "0",
                "game.kruise.io/gs-delete-priority": "0",
                "game.kruise.io/network-disabled": "false",
                "statefulset.kubernetes.io/pod-name": "arena-7",
                "apps.kubernetes.io/pod-index": "7",
                "controller-revision-hash": "arena-r1",
                "lifecycle.apps.kruise.io/state": "Normal",
                "agones.dev/safe-to-evict": "false",
            },
            "annotations": {
                "note": "x",
                "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
                "lifecycle.apps.kruise.io/timestamp": NOW,
                "game.kruise.io/opsState-last-changed-time": NOW,
            },
            "finalizers": ["example.com/save"],
            "ownerReferences": [{
                "apiVersion": "game.kruise.io/v1alpha1",
                "kind": "GameServerSet",
                "name": "arena",
                "uid": "set-uid",
                "controller": true,
                "blockOwnerDeletion": true,
            }],
        },
        "spec": {
            "containers": [{ "name": "game", "image": "game:1" }],
            "hostname": "arena-7",
            "subdomain": "arena-headless",
            "fieldOfTheFuture": { "a": [1] },
        },
    });
    assert_eq!(pod(&set, 7, None, NOW), expected);
}

#[test]
fn the_service_is_named_like_the_set_unless_said_otherwise() {
    assert_eq!(pod(&set(json!({})), 0, None, NOW)["spec"]["subdomain"], "arena");
    assert_eq!(
        pod(&set(json!({"serviceName": ""})), 0, None, NOW)["spec"]["subdomain"],
        "arena"
    );
}

#[test]
fn a_pod_whose_game_server_survived_is_born_with_its_values() {
    let survivor = survivor(
        json!({
            "opsState": "Maintaining", "updatePriority": 3, "deletionPriority": "12", "networkDisabled": true,
            "containers": [
                { "name": "game", "image": "game:own", "resources": {
                    "limits": { "cpu": "2", "example.com/gpu": "1" }, "requests": { "memory": "1Gi" } } },
                { "name": "absent", "image": "x" },
            ],
        }),
        json!({ "gs-sync/zone": "a", "gs-sync/broken": "not a label", "other": "stays" }),
    );
    let pod = pod(&set(json!({})), 7, Some(&survivor), NOW);
    let labels = &pod["metadata"]["labels"];
    assert_eq!(labels["game.kruise.io/gs-opsState"], "Maintaining");
    assert_eq!(labels["game.kruise.io/gs-update-priority"], "3");
    assert_eq!(labels["game.kruise.io/gs-delete-priority"], "12");
    assert_eq!(labels["game.kruise.io/network-disabled"], "true");
    assert_eq!(labels["gs-sync/zone"], "a");
    assert_eq!((labels.get("gs-sync/broken"), labels.get("other")), (None, None));
    assert_eq!(
        pod["metadata"]["annotations"]["game.kruise.io/synced-generation"],
        "4"
    );
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["image"], "game:own");
    assert_eq!(
        container["resources"],
        json!({ "limits": { "cpu": "2" }, "requests": { "memory": "1Gi" } })
    );
}

#[test]
fn network_parameters_are_encoded_as_go_does() {
    let set = set(json!({ "network": {
        "networkType": "Kubernetes-Ingress",
        "networkConf": [{ "name": "Host", "value": "<id>.example.com/a&b\u{2028}\"" }, { "value": "x" }, { "name": "n" }],
    } }));
    let pod = pod(&set, 0, None, NOW);
    let annotations = &pod["metadata"]["annotations"];
    assert_eq!(
        annotations["game.kruise.io/network-conf"],
        r#"[{"name":"Host","value":"\u003cid\u003e.example.com/a\u0026b\u2028\""},{"value":"x"},{"name":"n"}]"#
    );
    assert_eq!(annotations["game.kruise.io/network-type"], "Kubernetes-Ingress");
}

#[test]
fn a_network_without_parameters_is_null_as_in_go() {
    let pod = pod(
        &set(json!({ "network": { "networkType": "Kubernetes-HostPort" } })),
        0,
        None,
        NOW,
    );
    assert_eq!(
        pod["metadata"]["annotations"]["game.kruise.io/network-conf"],
        "null"
    );
}

#[test]
fn the_readiness_gate_comes_last_once_and_only_with_updates_in_place() {
    let with = |policy: &str, gates: Value| {
        let set = set(json!({
            "updateStrategy": { "rollingUpdate": { "podUpdatePolicy": policy } },
            "gameServerTemplate": { "spec": { "containers": [], "readinessGates": gates } },
        }));
        pod(&set, 0, None, NOW)["spec"]["readinessGates"].clone()
    };
    let own = json!({ "conditionType": "example.com/own" });
    let ours = json!({ "conditionType": "InPlaceUpdateReady" });
    assert_eq!(with("InPlaceIfPossible", json!([own])), json!([own, ours]));
    assert_eq!(with("InPlaceOnly", json!([ours, own])), json!([ours, own]));
    assert_eq!(with("InPlaceOnly", Value::Null), json!([ours]));
    assert_eq!(with("ReCreate", json!([own])), json!([own]));
}

#[test]
fn a_value_no_label_can_hold_does_not_keep_the_pod_from_being_created() {
    let survivor = survivor(
        json!({ "opsState": "not a label!", "deletionPriority": "" }),
        json!({}),
    );
    let labels = pod(&set(json!({})), 0, Some(&survivor), NOW)["metadata"]["labels"].clone();
    assert_eq!(
        (
            &labels["game.kruise.io/gs-opsState"],
            &labels["game.kruise.io/gs-delete-priority"]
        ),
        (&json!("None"), &json!("0"))
    );
}

// The table of docs/disruption.md.
#[test]
fn a_pod_is_born_with_who_may_evict_it_where_its_template_does_not_say() {
    const ANNOTATION: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
    const LABEL: &str = "agones.dev/safe-to-evict";
    let born = |spec: Value, survived: Option<&GameServerView>| {
        let pod = pod(&set(spec), 0, survived, NOW);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (
            text(&pod["metadata"]["annotations"][ANNOTATION]),
            text(&pod["metadata"]["labels"][LABEL]),
        )
    };
    let pair = |annotation: &str, label: &str| (annotation.to_owned(), label.to_owned());
    let safe = |safe: &str| json!({ "eviction": { "safe": safe } });
    assert_eq!(born(json!({}), None), pair("false", "false"));
    assert_eq!(born(safe("Never"), None), pair("false", "false"));
    assert_eq!(born(safe("OnUpgrade"), None), pair("false", "true"));
    assert_eq!(born(safe("Always"), None), pair("true", "true"));
    assert_eq!(born(safe("WhenIdle"), None), pair("true", "true"));
    let playing = survivor(json!({ "opsState": "Allocated" }), json!({}));
    assert_eq!(born(safe("WhenIdle"), Some(&playing)), pair("false", "false"));

    let template = |kind: &str, key: &str, value: &str| {
        json!({ kind: { key: value } })
            .as_object()
            .map(|metadata| json!({ "gameServerTemplate": { "metadata": metadata, "spec": {} } }))
            .unwrap()
    };
    // The old way to say Always, alone.
    assert_eq!(
        born(template("annotations", ANNOTATION, "true"), None),
        pair("true", "true")
    );
    assert_eq!(
        born(template("annotations", ANNOTATION, "false"), None),
        pair("false", "false")
    );
    let mut both = template("annotations", ANNOTATION, "false");
    both["eviction"] = json!({ "safe": "Always" });
    assert_eq!(born(both, None), pair("false", "true"), "as OnUpgrade");
    let mut own = template("labels", LABEL, "own");
    own["eviction"] = json!({ "safe": "Never" });
    assert_eq!(born(own, None), pair("false", "own"));
}

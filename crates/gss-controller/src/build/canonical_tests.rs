//! Spellings of one meaning, and meanings that look alike.

// Literals of `json!` read best where they are passed.
#![allow(clippy::needless_pass_by_value)]

use super::*;

fn text(spec: Value) -> String {
    let mut text = String::new();
    write(&pod_spec(&spec), &mut text);
    text
}

/// A container with these fields beside its name and image.
fn with(fields: Value) -> Value {
    let mut container = json!({ "name": "game", "image": "game:1" });
    for (name, value) in fields.as_object().unwrap() {
        container[name] = value.clone();
    }
    json!({ "containers": [container] })
}

#[test]
fn what_the_api_server_fills_in_is_no_change() {
    let written = json!({
        "containers": [{
            "name": "game", "image": "game:1",
            "ports": [{ "containerPort": 80 }],
            "env": [{ "name": "POD", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }, { "name": "EMPTY" }],
            "resources": { "limits": { "cpu": 1, "memory": "1Gi" } },
            "livenessProbe": { "httpGet": { "port": 80 } },
        }],
        "volumes": [{ "name": "a" }, { "name": "b", "configMap": { "name": "c" } }],
    });
    let stored = json!({
        "volumes": [{ "name": "a", "emptyDir": {} }, { "configMap": { "name": "c", "defaultMode": 420 }, "name": "b" }],
        "containers": [{
            "image": "game:1", "imagePullPolicy": "IfNotPresent", "name": "game",
            "ports": [{ "containerPort": 80, "protocol": "TCP" }],
            "env": [
                { "name": "POD", "valueFrom": { "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.name" } } },
                { "name": "EMPTY", "value": "" },
            ],
            "resources": {
                "limits": { "cpu": "1", "memory": "1Gi" }, "requests": { "cpu": "1000m", "memory": "1024Mi" },
            },
            "livenessProbe": {
                "httpGet": { "port": 80, "path": "/", "scheme": "HTTP" },
                "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
            },
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        }],
        "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler",
        "securityContext": {}, "terminationGracePeriodSeconds": 30, "serviceAccount": "default",
        "serviceAccountName": "default", "readinessGates": [{ "conditionType": "InPlaceUpdateReady" }],
        "nodeSelector": null, "tolerations": [], "hostNetwork": false,
    });
    assert_eq!(text(written), text(stored));
}

#[test]
fn pull_policies_default_by_the_image() {
    for (image, policy) in [
        ("game", "Always"),
        ("game:latest", "Always"),
        ("registry:5000/game", "Always"),
        ("registry:5000/game:1", "IfNotPresent"),
        ("game@sha256:ab", "IfNotPresent"),
    ] {
        assert_eq!(default_pull_policy(image), policy, "{image}");
    }
    assert_ne!(
        text(with(json!({}))),
        text(with(json!({ "imagePullPolicy": "Always" })))
    );
}

#[test]
fn what_only_looks_like_nothing_is_a_change() {
    let affinity = |term: Value| json!({ "containers": [], "affinity": { "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [term] } } });
    let plain = text(with(json!({})));
    for (one, other) in [
        // A selector that is empty matches everything, one that is absent nothing.
        (
            text(affinity(json!({ "topologyKey": "a" }))),
            text(affinity(json!({ "topologyKey": "a", "labelSelector": {} }))),
        ),
        (plain.clone(), text(with(json!({ "env": [{ "name": "A" }] })))),
        (
            text(with(json!({ "env": [{ "name": "A" }, { "name": "B" }] }))),
            text(with(json!({ "env": [{ "name": "B" }, { "name": "A" }] }))),
        ),
        (
            plain.clone(),
            text(with(json!({ "resources": { "requests": { "cpu": "0" } } }))),
        ),
        (plain, text(with(json!({ "fieldOfTheFuture": true })))),
        (
            text(json!({ "containers": [], "nodeSelector": { "a": "" } })),
            text(json!({ "containers": [] })),
        ),
        (
            text(json!({ "containers": [], "volumes": [{ "name": "a" }] })),
            text(json!({ "containers": [], "volumes": [{ "name": "a", "downwardAPI": {} }] })),
        ),
        (
            text(json!({ "containers": [], "automountServiceAccountToken": true })),
            text(json!({ "containers": [] })),
        ),
    ] {
        assert_ne!(one, other);
    }
}

#[test]
fn ports_of_the_host_network_are_host_ports() {
    let spec = |port: Value| json!({ "hostNetwork": true, "containers": [{ "name": "g", "ports": [port] }] });
    assert_eq!(
        text(spec(json!({ "containerPort": 80 }))),
        text(spec(json!({ "containerPort": 80, "hostPort": 80 })))
    );
    assert_ne!(
        text(with(json!({ "ports": [{ "containerPort": 80 }] }))),
        text(with(
            json!({ "ports": [{ "containerPort": 80, "hostPort": 80 }] })
        ))
    );
}

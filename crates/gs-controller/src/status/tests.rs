use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::fixture::{GameServer, game_server, pod};

const NOW: &str = "2026-01-01T00:00:00Z";
const LATER: &str = "2026-01-01T00:01:00Z";

fn status_of(pod_status: &Value, game_server: &GameServer) -> (Desired, Value) {
    let pod = pod().status(pod_status.clone()).view();
    let raw = serde_json::from_str(pod.status.as_ref().unwrap().get()).unwrap();
    let desired = desired(&pod, &game_server.view(), &[], NOW);
    let body = desired.body(raw, NOW);
    (desired, body)
}

/// What the API server stores when this controller's part of the status is applied: the part is owned whole, other
/// writers' fields and conditions stay.
fn apply(game_server: &GameServer, body: &Value) -> GameServer {
    game_server.clone().edit(|it| {
        let others: Vec<Value> = it["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|condition| {
                !["PodNormal", "PersistentVolumeNormal"].contains(&condition["type"].as_str().unwrap())
            })
            .cloned()
            .collect();
        for (key, value) in body["status"].as_object().unwrap() {
            it["status"][key] = value.clone();
        }
        it["status"]["conditions"].as_array_mut().unwrap().extend(others);
    })
}

#[test]
fn a_field_that_vanished_from_the_pod_vanishes_from_the_status() {
    let old = json!({"phase": "Running", "podIP": "10.0.0.7", "message": "old", "conditions": [
        {"type": "Ready", "status": "True"}]});
    let (_, body) = status_of(&old, &game_server());
    let stored = apply(&game_server(), &body);
    let new = json!({"phase": "Pending"});
    let (desired, body) = status_of(&new, &stored);
    assert!(!desired.is_stored(&stored.view().status));
    assert_eq!(apply(&stored, &body).0["status"]["podStatus"], new);
}

#[test]
fn only_own_fields_are_in_the_body() {
    let (_, body) = status_of(&json!({"phase": "Running"}), &game_server());
    let mut fields: Vec<&String> = body["status"].as_object().unwrap().keys().collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "conditions",
            "currentState",
            "deletionPriority",
            "desiredState",
            "lastTransitionTime",
            "nodeName",
            "podStatus",
            "updatePriority"
        ]
    );
    assert_eq!(
        body.as_object().unwrap().len(),
        1,
        "nothing but the status: {body}"
    );
}

#[test]
fn a_node_name_that_was_never_stored_is_no_reason_to_write() {
    let running = json!({"phase": "Running"});
    let (desired, body) = status_of(&running, &game_server());
    let stored = apply(&game_server(), &body);
    assert!(desired.is_stored(&stored.view().status));
    let older = stored.clone().edit(|it| it["status"]["nodeName"] = Value::Null);
    assert!(desired.is_stored(&older.view().status));
    let moved = stored.edit(|it| it["status"]["nodeName"] = json!("node-0"));
    assert!(!desired.is_stored(&moved.view().status));
}

#[test]
fn who_may_evict_is_what_the_pod_shows_and_goes_with_it() {
    let marked = |annotation: &str, label: &str| {
        pod().ready().edit(|it| {
            it["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] =
                json!(annotation);
            it["metadata"]["labels"]["agones.dev/safe-to-evict"] = json!(label);
        })
    };
    let of = |pod: &crate::fixture::Pod, server: &GameServer| {
        let view = pod.view();
        let raw = serde_json::from_str(view.status.as_ref().unwrap().get()).unwrap();
        let desired = desired(&view, &server.view(), &[], NOW);
        let body = desired.body(raw, NOW);
        (desired, body)
    };
    for (annotation, label, safe) in [
        ("false", "false", "Never"),
        ("false", "true", "OnUpgrade"),
        ("true", "true", "Always"),
    ] {
        let (_, body) = of(&marked(annotation, label), &game_server());
        assert_eq!(body["status"]["eviction"], json!({ "safe": safe }));
    }
    let (_, body) = of(&pod().ready(), &game_server());
    assert_eq!(body["status"].get("eviction"), None);

    // An allocation under WhenIdle: it may wait for the next change, which may take it back.
    let patience = Patience::default();
    let (_, body) = of(&marked("true", "true"), &game_server());
    let stored = apply(&game_server(), &body);
    let (now, _) = of(&marked("false", "false"), &stored);
    assert!(!now.is_stored(&stored.view().status));
    assert_eq!(
        now.may_wait(&stored.view().status, &patience, 0),
        patience.details
    );
    let crashed = marked("false", "false").status(json!({ "phase": "Failed" }));
    let (now, _) = of(&crashed, &stored);
    assert_eq!(now.may_wait(&stored.view().status, &patience, 0), Duration::ZERO);
}

#[test]
fn priorities_are_strings_always() {
    for (spec, shown) in [
        (json!(0), "0"),
        (json!(-3), "-3"),
        (json!("12"), "12"),
        (Value::Null, "0"),
    ] {
        let server = game_server().edit(|it| it["spec"]["updatePriority"] = spec.clone());
        let (_, body) = status_of(&json!({}), &server);
        assert_eq!(body["status"]["updatePriority"], shown, "{spec}");
    }
    // Stored as a number by somebody else: not what is wanted.
    let (desired, body) = status_of(&json!({}), &game_server());
    let number = apply(&game_server(), &body).edit(|it| it["status"]["deletionPriority"] = json!(0));
    assert!(!desired.is_stored(&number.view().status));
}

#[test]
fn a_condition_keeps_its_time_until_it_changes() {
    let pod_status = json!({"phase": "Running"});
    let (_, body) = status_of(&pod_status, &game_server());
    let stored = apply(&game_server(), &body).view();
    let again = desired(&pod().status(pod_status).view(), &stored, &[], LATER);
    assert_eq!(again.conditions[0].last_transition_time.as_deref(), Some(NOW));
    let failed = pod()
        .status(json!({"phase": "Failed", "reason": "Evicted", "message": "memory"}))
        .view();
    let changed = desired(&failed, &stored, &[], LATER);
    assert_eq!(changed.conditions[0].last_transition_time.as_deref(), Some(LATER));
    assert_eq!(changed.conditions[1].last_transition_time.as_deref(), Some(NOW));
}

#[test]
fn warnings_are_news_only() {
    let not_ready = |phase: &str| {
        json!({"phase": phase, "conditions": [{"type": "ContainersReady", "status": "False",
            "reason": "ContainersNotReady", "message": "containers with unready status: [game]"}]})
    };
    let evicted = json!({"phase": "Failed", "reason": "Evicted", "message": "memory"});
    let unschedulable = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
        "reason": "Unschedulable", "message": "0/3"}]});
    let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    let reasons = |before: Option<&Value>, after: &Value| -> Vec<String> {
        let stored = before.map_or_else(game_server, |before| {
            apply(&game_server(), &status_of(before, &game_server()).1)
        });
        let (desired, _) = status_of(after, &stored);
        desired
            .warnings(&stored.view().status)
            .into_iter()
            .map(|warning| warning.reason)
            .collect()
    };
    let none: [&str; 0] = [];
    // On the way up.
    assert_eq!(reasons(None, &not_ready("Pending")), none);
    assert_eq!(reasons(Some(&not_ready("Pending")), &not_ready("Running")), none);
    // A Pod made anew under a kept GameServer.
    assert_eq!(reasons(Some(&ready), &not_ready("Pending")), none);
    // Fell ill.
    assert_eq!(
        reasons(Some(&ready), &not_ready("Running")),
        ["ContainersNotReady"]
    );
    assert_eq!(reasons(Some(&ready), &evicted), ["Evicted"]);
    assert_eq!(reasons(None, &unschedulable), ["Unschedulable"]);
    // Said already, and well again.
    assert_eq!(reasons(Some(&evicted), &evicted), none);
    assert_eq!(reasons(Some(&evicted), &ready), none);
    // On the way down.
    let stored = apply(&game_server(), &status_of(&ready, &game_server()).1).view();
    let ending = desired(&pod().status(evicted).terminating().view(), &stored, &[], NOW);
    assert_eq!(ending.warnings(&stored.status), []);
}

fn pod_status() -> impl Strategy<Value = Value> {
    let text = || prop_oneof![Just(Value::Null), "[a-c]{0,2}".prop_map(Value::from)];
    let condition = (
        prop_oneof![Just("Ready"), Just("ContainersReady"), Just("PodScheduled"), Just("game.kruise.io/idle")],
        prop_oneof![Just("True"), Just("False"), Just("Unknown")],
        text(),
        text(),
    )
        .prop_map(|(type_, status, reason, message)| {
            json!({"type": type_, "status": status, "reason": reason, "message": message, "lastProbeTime": null})
        });
    let container = (text(), text(), 0..3_i32).prop_map(|(reason, message, exit_code)| {
        json!({"name": "game", "restartCount": exit_code, "state": {"terminated":
            {"reason": reason.as_str().unwrap_or("x"), "message": message.as_str().unwrap_or(""), "exitCode": exit_code}}})
    });
    (
        prop_oneof![
            Just(Value::Null),
            Just(json!("Pending")),
            Just(json!("Running")),
            Just(json!("Failed"))
        ],
        text(),
        text(),
        prop::collection::vec(condition, 0..4),
        prop::collection::vec(container, 0..3),
    )
        .prop_map(|(phase, reason, pod_ip, conditions, containers)| {
            json!({"phase": phase, "reason": reason, "podIP": pod_ip, "conditions": conditions,
                "containerStatuses": containers})
        })
}

proptest! {
    /// Whatever was stored before, one write is enough, and it shows exactly the new Pod.
    #[test]
    fn one_write_shows_the_pod_exactly_and_is_the_last(old in pod_status(), new in pod_status()) {
        let foreign = game_server().edit(|it| it["status"] = json!({
            "networkStatus": {"networkType": "x"},
            "conditions": [{"type": "NodeNormal", "status": "True"}],
        }));
        let stored = apply(&foreign, &status_of(&old, &foreign).1);
        let (_, body) = status_of(&new, &stored);
        let stored = apply(&stored, &body);
        prop_assert_eq!(&stored.0["status"]["podStatus"], &fingerprint::without_nulls(new.clone()));
        prop_assert_eq!(&stored.0["status"]["networkStatus"]["networkType"], "x");
        prop_assert_eq!(stored.0["status"]["conditions"].as_array().unwrap().len(), 3);
        let (desired, _) = status_of(&new, &stored);
        prop_assert!(desired.is_stored(&stored.view().status));
        prop_assert!(desired.warnings(&stored.view().status).is_empty());
    }
}

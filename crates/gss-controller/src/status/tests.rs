// Literals of `json!` read best where they are passed.
#![allow(clippy::needless_pass_by_value)]

use std::{collections::BTreeMap, sync::Arc};

use api_types::GameServerSetView;
use serde_json::{Value, json};

use super::*;
use crate::{memory::Pending, observe::assemble, plan, views::GameServerView};

const NOW: &str = "2026-05-04T03:02:01Z";

pub(super) fn set(spec: Value, status: Value) -> GameServerSetView {
    let mut all = json!({
        "metadata": { "name": "arena", "namespace": "games", "uid": "set-uid", "generation": 7 },
        "spec": { "replicas": 2, "gameServerTemplate": { "spec": { "containers": [] } } },
        "status": status,
    });
    for (key, value) in spec.as_object().unwrap() {
        all["spec"][key] = value.clone();
    }
    serde_json::from_value(all).unwrap()
}

fn pod(id: u32, labels: &[(&str, &str)], status: Value) -> Arc<PodView> {
    let updated = updated();
    let mut all: BTreeMap<&str, &str> = BTreeMap::from([
        ("game.kruise.io/owner-gss", "arena"),
        ("controller-revision-hash", updated.as_str()),
    ]);
    all.extend(labels.iter().copied());
    Arc::new(
        serde_json::from_value(json!({
            "metadata": {
                "name": format!("arena-{id}"), "uid": format!("pod-{id}"), "labels": all,
                "ownerReferences": [{ "kind": "GameServerSet", "name": "arena", "uid": "set-uid", "controller": true }],
            },
            "status": status,
        }))
        .unwrap(),
    )
}

/// The revision of the template of [`set`].
fn updated() -> String {
    let template = crate::build::template::Template::of(&set(json!({}), json!({})));
    crate::build::revision::revision_name("arena", &template.canonical(), 0)
}

fn ready_since(time: &str) -> Value {
    json!({ "phase": "Running", "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": time }] })
}

fn game_server(id: u32, ops_state: &str) -> Arc<GameServerView> {
    Arc::new(
        serde_json::from_value(json!({
            "metadata": { "name": format!("arena-{id}"),
                "ownerReferences": [{ "kind": "Pod", "uid": format!("pod-{id}"), "controller": true }] },
            "spec": { "opsState": ops_state },
        }))
        .unwrap(),
    )
}

pub(super) fn report(
    set: GameServerSetView,
    pods: Vec<Arc<PodView>>,
    servers: Vec<Arc<GameServerView>>,
) -> StatusReport {
    let clock = NOW.parse().unwrap();
    let find = |name: &str| {
        servers
            .iter()
            .find(|server| server.metadata.name == name)
            .cloned()
    };
    let observed = assemble(
        Arc::new(set),
        pods,
        find,
        vec![],
        (vec![], None),
        Pending::default(),
        clock,
    );
    let plan = plan::plan(&observed, false);
    let outcome = Outcome {
        recorded: true,
        complete: true,
        ..Outcome::default()
    };
    compute(&observed, &plan, &outcome, clock)
}

pub(super) fn condition<'a>(report: &'a StatusReport, type_: &str) -> &'a Condition {
    report
        .status
        .conditions
        .iter()
        .find(|condition| condition.type_ == type_)
        .unwrap()
}

#[test]
fn counters_follow_spec_and_pods() {
    let long_ago = "2026-05-04T03:00:00Z";
    let report = report(
        set(
            json!({ "replicas": 4 }),
            json!({ "plan": { "generation": 7, "desired": ["0-3"] } }),
        ),
        vec![
            pod(0, &[], ready_since(long_ago)),
            pod(
                1,
                &[("controller-revision-hash", "arena-old")],
                ready_since(long_ago),
            ),
            pod(
                2,
                &[("game.kruise.io/gs-opsState", "Maintaining")],
                json!({ "phase": "Pending" }),
            ),
            pod(
                3,
                &[("lifecycle.apps.kruise.io/state", "PreparingDelete")],
                ready_since(long_ago),
            ),
        ],
        vec![game_server(1, "WaitToBeDeleted")],
    );
    let counters = GameServerSetStatus {
        conditions: vec![],
        plan: None,
        ..report.status.clone()
    };
    assert_eq!(
        counters,
        GameServerSetStatus {
            observed_generation: Some(7),
            replicas: 4,
            current_replicas: 4,
            ready_replicas: 3,
            available_replicas: 2,
            updated_replicas: 3,
            updated_ready_replicas: Some(2),
            maintaining_replicas: Some(1),
            wait_to_be_deleted_replicas: Some(1),
            pre_delete_replicas: Some(1),
            label_selector: Some("game.kruise.io/owner-gss=arena".into()),
            current_revision: Some(updated()),
            update_revision: Some(updated()),
            ..GameServerSetStatus::default()
        }
    );
    assert_eq!(
        condition(&report, "Ready").message,
        "3 of 4 servers are ready; the GameServers of the others say why, `kubectl get gs` shows which"
    );
    assert!(!report.settled);
}

#[test]
fn available_waits_for_min_ready_seconds() {
    let spec = json!({ "replicas": 1, "updateStrategy": { "rollingUpdate": { "minReadySeconds": 10 } } });
    let report = report(
        set(spec, json!({})),
        vec![pod(0, &[], ready_since("2026-05-04T03:01:55Z"))],
        vec![],
    );
    assert_eq!(
        (
            report.status.ready_replicas,
            report.status.available_replicas,
            report.changes_in
        ),
        (1, 0, Some(4))
    );
}

#[test]
fn a_status_at_rest_repeats_itself() {
    let pods = || vec![pod(0, &[], ready_since(NOW)), pod(1, &[], ready_since(NOW))];
    let first = report(set(json!({}), json!({})), pods(), vec![]);
    assert!(first.settled);
    // As the API server stores it and the watch brings it back.
    let stored = status_patch(&first.status)["status"].clone();
    let second = report(set(json!({}), stored), pods(), vec![]);
    assert_eq!(first.status, second.status);
}

#[test]
fn the_patch_says_what_is_absent() {
    let patch = status_patch(&GameServerSetStatus::default());
    assert_eq!(patch["status"]["updatedReadyReplicas"], Value::Null);
    assert!(
        patch["status"]
            .as_object()
            .unwrap()
            .contains_key("observedGeneration")
    );
    let plan = status_patch(&GameServerSetStatus {
        plan: Some(PlanRecord::default()),
        ..Default::default()
    });
    assert_eq!(plan["status"]["plan"]["deleting"], json!([]));
}

#[test]
fn a_bad_item_is_named_with_what_to_write() {
    let spec =
        json!({ "reserveGameServerIds": [0, "7-5"], "scaleStrategy": { "scaleDownStrategyType": "Slow" } });
    let report = report(set(spec, json!({})), vec![], vec![]);
    let degraded = condition(&report, "Degraded");
    assert_eq!(
        (degraded.status.as_str(), degraded.reason.as_str()),
        ("True", "InvalidSpec")
    );
    for part in ["\"7-5\"", "\"3-7\"", "\"Slow\"", "General or ReserveIds"] {
        assert!(degraded.message.contains(part), "{part}: {}", degraded.message);
    }
    assert_eq!(
        report.status.plan.unwrap().desired,
        vec![1.into(), 2.into()],
        "the other item counts"
    );
}

#[test]
fn a_blocked_scale_in_says_who_blocks_it() {
    let spec = json!({ "replicas": 1, "scaleStrategy": { "protectAllocated": true } });
    let servers = vec![game_server(0, "Allocated"), game_server(1, "Allocated")];
    let pods = vec![pod(0, &[], ready_since(NOW)), pod(1, &[], ready_since(NOW))];
    let report = report(set(spec, json!({})), pods, servers);
    let blocked = condition(&report, "ScaleInBlocked");
    assert_eq!(
        (blocked.status.as_str(), blocked.reason.as_str()),
        ("True", "AllocatedServers")
    );
    assert!(
        blocked.message.starts_with("1 server must go") && blocked.message.contains("ids 0,1"),
        "{}",
        blocked.message
    );
}

#[test]
fn a_stranger_is_left_alone_and_reported() {
    let mut stranger = PodView::clone(&pod(9, &[], ready_since(NOW)));
    stranger.metadata.owner_references.clear();
    let pods = vec![
        pod(0, &[], ready_since(NOW)),
        pod(1, &[], ready_since(NOW)),
        Arc::new(stranger),
    ];
    let report = report(set(json!({}), json!({})), pods, vec![]);
    assert_eq!(condition(&report, "Degraded").reason, "StrangePods");
    assert!(condition(&report, "Degraded").message.contains("arena-9"));
    assert_eq!(report.status.plan.unwrap().deleting, vec![]);
}

#[test]
fn transition_times_move_with_the_status_only() {
    let before = json!({ "conditions": [
        { "type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "x", "message": "x" },
        { "type": "Degraded", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "x", "message": "x" },
        { "type": "Foreign", "status": "True" },
    ] });
    let report = report(set(json!({}), before), vec![], vec![]);
    assert_eq!(
        condition(&report, "Ready").last_transition_time.as_deref(),
        Some("2026-01-01T00:00:00Z")
    );
    assert_eq!(
        condition(&report, "Degraded").last_transition_time.as_deref(),
        Some(NOW)
    );
    assert_eq!(condition(&report, "Foreign").status, "True");
}

#[test]
fn of_a_set_that_is_not_taken_over_only_that_is_said() {
    let kruise = |api_version: &str, name: &str| -> Arc<PodView> {
        let owner = json!({ "apiVersion": api_version, "kind": "StatefulSet", "name": name, "uid": "w", "controller": true });
        let labels = json!({ "game.kruise.io/owner-gss": "arena" });
        let metadata = json!({ "name": "arena-3", "uid": "p", "labels": labels, "ownerReferences": [owner] });
        Arc::new(serde_json::from_value(json!({ "metadata": metadata })).unwrap())
    };
    let clock = NOW.parse().unwrap();
    let status = json!({ "readyReplicas": 4, "conditions": [{ "type": "Foreign", "status": "True" }] });
    let observed = |pod| {
        let set = Arc::new(set(json!({}), status.clone()));
        assemble(
            set,
            vec![pod],
            |_| None,
            vec![],
            (vec![], None),
            Pending::default(),
            clock,
        )
    };
    let waiting = observed(kruise("apps.kruise.io/v1beta1", "arena"));
    assert_eq!(waiting.awaiting_take_over(), 1);
    let now = awaiting_take_over(&waiting, clock).status;
    assert_eq!((now.ready_replicas, now.plan), (4, None));
    let said: Vec<_> = now
        .conditions
        .iter()
        .map(|condition| (condition.type_.as_str(), condition.reason.as_str()))
        .collect();
    assert_eq!(said, [("Degraded", "AwaitingTakeOver"), ("Foreign", "")]);
    for other in [
        kruise("apps/v1", "arena"),
        kruise("apps.kruise.io/v1beta1", "other"),
    ] {
        assert_eq!(observed(other).awaiting_take_over(), 0);
    }
}

fn with_players(id: u32, status: Value, spec: Value) -> Arc<GameServerView> {
    let mut status = status;
    status["reported"] = json!({ "podUID": format!("pod-{id}"), "health": status["health"] });
    Arc::new(
        serde_json::from_value(json!({
            "metadata": { "name": format!("arena-{id}"),
                "ownerReferences": [{ "kind": "Pod", "uid": format!("pod-{id}"), "controller": true }] },
            "spec": spec,
            "status": status,
        }))
        .unwrap(),
    )
}

#[test]
fn players_are_summed_over_the_servers_that_stay() {
    let spec = json!({ "replicas": 2, "players": { "capacity": 10, "drainWhenEmpty": true } });
    let pods = (0..3).map(|id| pod(id, &[], ready_since(NOW))).collect();
    let claim = json!({ "podUID": "pod-2", "reason": "Draining", "time": NOW });
    let servers = vec![
        with_players(0, json!({ "players": { "count": 3 } }), json!({})),
        with_players(1, json!({ "players": { "count": 4, "capacity": 30 } }), json!({})),
        with_players(
            2,
            json!({ "players": { "count": 9 }, "deletionClaim": claim }),
            json!({}),
        ),
    ];
    let report = report(set(spec, json!({})), pods, servers);
    let players = report.status.players.as_ref().unwrap();
    assert_eq!(
        (players.count, players.capacity, players.load_percent),
        (7, Some(40), Some(17))
    );
    assert_eq!(report.status.draining_replicas, Some(1));
    assert_eq!(
        (report.status.available_replicas, report.status.current_replicas),
        (2, 3)
    );
    let progressing = condition(&report, "Progressing");
    assert_eq!(
        (progressing.status.as_str(), progressing.reason.as_str()),
        ("True", "Draining")
    );
}

#[test]
fn a_set_without_players_says_nothing_of_them() {
    let report = report(
        set(json!({}), json!({})),
        vec![pod(0, &[], ready_since(NOW))],
        vec![],
    );
    let status = &report.status;
    assert_eq!(
        (&status.players, &status.draining_replicas, &status.failures),
        (&None, &None, &None)
    );
    assert!(
        status
            .conditions
            .iter()
            .all(|found| found.type_ != "NeedsIntervention")
    );
}

#[test]
fn a_set_whose_servers_fail_too_often_needs_somebody() {
    let spec = json!({ "failurePolicy": { "behavior": "Delete", "maxFailures": 1 } });
    let failed = |id| with_players(id, json!({ "health": "Failed" }), json!({}));
    let pods = || vec![pod(0, &[], ready_since(NOW)), pod(1, &[], ready_since(NOW))];
    let first = report(set(spec.clone(), json!({})), pods(), vec![failed(0), failed(1)]);
    let said = condition(&first, "NeedsIntervention");
    assert_eq!(
        (said.status.as_str(), said.reason.as_str()),
        ("True", "TooManyFailures")
    );
    assert!(said.message.contains("server 1 has failed"), "{}", said.message);
    assert_eq!(first.status.failures.as_ref().unwrap().count, 2);
    let mut changed = spec;
    changed["failurePolicy"]["maxFailures"] = json!(9);
    let stored = status_patch(&first.status)["status"].clone();
    let second = report(set(changed, stored), pods(), vec![]);
    assert_eq!(condition(&second, "NeedsIntervention").status, "False");
    assert_eq!(second.status.failures, None, "they count anew");
}

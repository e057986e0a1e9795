use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::fixture::{Pod, pod, server, set};

const NOW: &str = "2026-01-01T00:00:10Z";

fn gates() -> SetView {
    set(
        &json!([{"name": "healthy", "permanent": false, "exec": {"command": ["x"]}, "serviceQualityAction": [
            {"state": true, "result": "gate", "opsState": "GateMaintaining"},
            {"state": true, "result": "data", "opsState": "DataMaintaining"},
            {"state": false, "opsState": "None"},
        ]}]),
    )
}

fn plan_for(set: &SetView, pod: &Pod, server: &GameServerView) -> Plan {
    let pod = pod.view();
    let observed = Observed {
        set,
        pod: &pod,
        server,
        before: server,
    };
    plan(&observed, NOW)
}

/// The server as it is once the plan was carried out.
fn after(server: &GameServerView, plan: &Plan) -> GameServerView {
    let mut after = server.clone();
    carry_out(&mut after, plan);
    if let Some(conditions) = &plan.conditions {
        after.conditions.clone_from(conditions);
    }
    after
}

/// The first of the two writes.
fn carry_out(server: &mut GameServerView, plan: &Plan) {
    let changes = plan.changes.clone();
    server.spec.ops_state = changes.ops_state.or(server.spec.ops_state.take());
    server.spec.update_priority = changes.update_priority.or(server.spec.update_priority.take());
    server.spec.deletion_priority = changes.deletion_priority.or(server.spec.deletion_priority.take());
    server.spec.network_disabled = changes.network_disabled.or(server.spec.network_disabled);
    server.spec.containers = changes
        .containers
        .unwrap_or_else(|| server.spec.containers.clone());
    server.metadata.labels.extend(changes.labels);
    server.metadata.annotations.extend(changes.annotations);
    if let Some(record) = &plan.record {
        server.record = record.clone();
    }
}

fn reasons(plan: &Plan) -> Vec<&str> {
    plan.notices.iter().map(|notice| notice.reason.as_ref()).collect()
}

#[test]
fn a_change_of_the_result_is_acted_on_once() {
    let set = gates();
    let first = pod().condition("healthy", "True", "gate");
    let start = server(&json!({"opsState": "None"}));
    let planned = plan_for(&set, &first, &start);
    assert_eq!(planned.changes.ops_state.as_deref(), Some("GateMaintaining"));
    assert_eq!(
        planned
            .notices
            .iter()
            .map(|it| it.note.as_str())
            .collect::<Vec<_>>(),
        ["healthy is True: gate", "opsState None to GateMaintaining"]
    );
    let shown = &planned.conditions.as_ref().unwrap()[0];
    assert_eq!(
        (
            shown.status.as_deref(),
            shown.result.as_deref(),
            shown.last_action_transition_time.as_deref()
        ),
        (Some("True"), Some("gate"), Some(NOW))
    );
    assert_eq!(shown.last_transition_time.as_deref(), Some(NOW));
    let acted = after(&start, &planned);
    assert_eq!(plan_for(&set, &first, &acted), Plan::default());
    // What a person makes of it stays, until the result changes.
    let mut allocated = acted.clone();
    allocated.spec.ops_state = Some("Allocated".into());
    assert_eq!(plan_for(&set, &first, &allocated), Plan::default());
    let next = plan_for(&set, &pod().condition("healthy", "True", "data"), &allocated);
    assert_eq!(next.changes.ops_state.as_deref(), Some("DataMaintaining"));
    let back = plan_for(&set, &pod().condition("healthy", "False", ""), &acted);
    assert_eq!(back.changes.ops_state.as_deref(), Some("None"));
}

#[test]
fn a_crash_between_the_two_writes_repeats_the_second_only() {
    let set = gates();
    let pod = pod().condition("healthy", "True", "gate");
    let mut half = server(&json!({"opsState": "None"}));
    let planned = plan_for(&set, &pod, &half);
    carry_out(&mut half, &planned);
    half.spec.ops_state = Some("Allocated".into());
    let rest = plan_for(&set, &pod, &half);
    assert!(!rest.acts() && rest.changes.is_empty());
    assert_eq!(rest.conditions, planned.conditions);
}

#[test]
fn an_action_that_changes_nothing_is_recorded_all_the_same() {
    let planned = plan_for(
        &gates(),
        &pod().condition("healthy", "False", "x"),
        &server(&json!({"opsState": "None"})),
    );
    assert!(planned.acts() && planned.changes.is_empty());
    assert!(
        reasons(&planned).is_empty(),
        "the first result of a server that changes nothing is no news"
    );
}

#[test]
fn a_result_without_an_action_writes_the_status_only_and_ends_the_last_action() {
    let (set, start) = (gates(), server(&json!({})));
    let none = plan_for(&set, &pod().condition("healthy", "True", "other"), &start);
    assert!(!none.acts());
    let shown = &none.conditions.as_ref().unwrap()[0];
    assert_eq!(shown.last_action_transition_time, None);
    // With a record of an action the record must go on too, or the same action could not run again.
    let acted = after(
        &start,
        &plan_for(&set, &pod().condition("healthy", "True", "gate"), &start),
    );
    let other = plan_for(&set, &pod().condition("healthy", "True", "other"), &acted);
    assert!(other.acts() && other.changes.is_empty());
    let mut acted = after(&acted, &other);
    acted.spec.ops_state = Some("None".into());
    let again = plan_for(&set, &pod().condition("healthy", "True", "gate"), &acted);
    assert_eq!(again.changes.ops_state.as_deref(), Some("GateMaintaining"));
}

#[test]
fn a_server_taken_over_is_not_acted_on_again() {
    let mut taken = server(&json!({"opsState": "Allocated"}));
    let shown = json!([{"name": "healthy", "status": "True", "result": "gate", "lastActionTransitionTime": "2025-01-01T00:00:00Z"}]);
    taken.conditions = serde_json::from_value(shown).unwrap();
    let planned = plan_for(&gates(), &pod().condition("healthy", "True", "gate|\n"), &taken);
    assert!(!planned.acts());
    let shown = &planned.conditions.as_ref().unwrap()[0];
    assert_eq!(
        shown.last_action_transition_time.as_deref(),
        Some("2025-01-01T00:00:00Z")
    );
}

#[test]
fn unknown_is_acted_on_by_nothing_and_told_once() {
    let set = gates();
    let start = server(&json!({"opsState": "None"}));
    let lost = pod().condition("healthy", "Unknown", "containerName is x");
    let planned = plan_for(&set, &lost, &start);
    assert!(!planned.acts());
    assert_eq!(reasons(&planned), ["ContainerNotFound"]);
    assert_eq!(
        planned.notices[0].note,
        "healthy cannot be probed: containerName is x"
    );
    assert_eq!(plan_for(&set, &lost, &after(&start, &planned)), Plan::default());
    // Back to what it was before: no change.
    let gate = pod().condition("healthy", "True", "gate");
    let acted = after(&start, &plan_for(&set, &gate, &start));
    let acted = after(&acted, &plan_for(&set, &lost, &acted));
    assert!(!plan_for(&set, &gate, &acted).acts());
}

#[test]
fn a_permanent_quality_acts_once_even_for_a_later_pod() {
    let set = set(
        &json!([{"name": "up", "permanent": true, "exec": {"command": ["x"]}, "serviceQualityAction": [
        {"state": true, "deletionPriority": 5}]}]),
    );
    let start = server(&json!({"deletionPriority": 0}));
    let none = plan_for(&set, &pod().condition("up", "False", ""), &start);
    assert!(!none.acts(), "nothing has run yet");
    let first = plan_for(&set, &pod().condition("up", "True", ""), &after(&start, &none));
    assert_eq!(first.changes.deletion_priority, Some(5.into()));
    let acted = after(&start, &first);
    for later in [
        pod().condition("up", "True", "x"),
        pod().uid("next").condition("up", "True", ""),
    ] {
        assert!(!plan_for(&set, &later, &acted).acts());
    }
}

#[test]
fn a_new_pod_is_looked_at_anew() {
    let set = gates();
    let start = server(&json!({"opsState": "None"}));
    let gate = pod().condition("healthy", "True", "gate");
    let mut acted = after(&start, &plan_for(&set, &gate, &start));
    acted.spec.ops_state = Some("None".into());
    let next = pod().uid("next");
    let blank = plan_for(&set, &next, &acted);
    assert!(!blank.acts());
    assert_eq!(blank.conditions.as_ref().unwrap()[0].status, None);
    for seen in [acted.clone(), after(&acted, &blank)] {
        let planned = plan_for(&set, &next.clone().condition("healthy", "True", "gate"), &seen);
        assert_eq!(planned.changes.ops_state.as_deref(), Some("GateMaintaining"));
    }
}

#[test]
fn a_quality_that_goes_takes_its_entry_and_its_record() {
    let start = server(&json!({"opsState": "None"}));
    let gate = pod().condition("healthy", "True", "gate");
    let acted = after(&start, &plan_for(&gates(), &gate, &start));
    let planned = plan_for(&set(&json!([])), &gate, &acted);
    assert_eq!(planned.record, Some(Record::default()));
    assert_eq!(planned.conditions, Some(Vec::new()));
    assert_eq!(
        plan_for(&set(&json!([])), &gate, &after(&acted, &planned)),
        Plan::default()
    );
}

#[test]
fn what_is_going_is_left_alone() {
    let set = gates();
    let (gate, start) = (
        pod().condition("healthy", "True", "gate"),
        server(&json!({"opsState": "None"})),
    );
    assert_eq!(
        plan_for(&set, &gate.clone().terminating(), &start),
        Plan::default()
    );
    let mut claimed = start;
    claimed.claimed = true;
    assert!(
        plan_for(&set, &gate, &claimed).acts(),
        "a server that drains is still acted on"
    );
}

#[test]
fn a_server_with_a_claim_does_not_become_allocated() {
    let set = set(
        &json!([{"name": "busy", "permanent": false, "exec": {"command": ["x"]}, "serviceQualityAction": [
        {"state": true, "opsState": "Allocated", "labels": {"a": "b"}}]}]),
    );
    let mut claimed = server(&json!({"opsState": "None"}));
    claimed.claimed = true;
    let planned = plan_for(&set, &pod().condition("busy", "True", ""), &claimed);
    assert_eq!(planned.changes.ops_state, None);
    assert_eq!(planned.changes.labels["a"], "b");
    assert!(reasons(&planned).contains(&"ServerIsGoing"));
}

#[test]
fn what_somebody_changes_meanwhile_stays() {
    let set = set(
        &json!([{"name": "idle", "permanent": false, "exec": {"command": ["x"]}, "serviceQualityAction": [
        {"state": true, "opsState": "WaitToBeDeleted", "deletionPriority": 9, "labels": {"a": "mine", "b": "mine"},
            "containers": [{"name": "game", "image": "x:2"}]}]}]),
    );
    let before = server(&json!({"opsState": "None", "deletionPriority": 0}));
    let mut now = server(
        &json!({"opsState": "Allocated", "deletionPriority": 0, "containers": [{"name": "game", "image": "y"}]}),
    );
    now.metadata.labels.insert("a", "theirs");
    let pod = pod().condition("idle", "True", "").view();
    let planned = plan(
        &Observed {
            set: &set,
            pod: &pod,
            server: &now,
            before: &before,
        },
        NOW,
    );
    let expected = Changes {
        deletion_priority: Some(9.into()),
        labels: [("b".to_owned(), "mine".to_owned())].into(),
        ..Changes::default()
    };
    assert_eq!(planned.changes, expected);
    let yielded = planned
        .notices
        .iter()
        .find(|it| it.reason == "ActionYielded")
        .unwrap();
    assert_eq!(
        yielded.note,
        "left to whoever changed it at the same time: a, containers, opsState, now Allocated"
    );
    assert!(planned.acts(), "it is not tried again");
}

#[test]
fn later_actions_go_over_earlier_ones_and_containers_are_merged() {
    let action = |fields: Value| {
        let mut action = json!({"state": true});
        action
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        action
    };
    let set = set(&json!([
        {"name": "a", "permanent": false, "exec": {"command": ["x"]}, "serviceQualityAction": [
            action(json!({"opsState": "One", "networkDisabled": true, "labels": {"k": "1"}})),
            action(json!({"containers": [{"name": "game", "image": "x:2"}], "annotations": {"r": "{{.Result}}"}})),
        ]},
        {"name": "b", "permanent": false, "exec": {"command": ["x"]}, "serviceQualityAction": [
            action(json!({"opsState": "Two", "labels": {"k": "2"}})),
            action(json!({"containers": [{"name": "game", "resources": {"limits": {"cpu": "2"}}}, {"name": "agent", "image": "z"}]})),
        ]},
    ]));
    let start = server(
        &json!({"containers": [{"name": "game", "image": "x:1", "resources": {"limits": {"memory": "1Gi"}}}]}),
    );
    let planned = plan_for(
        &set,
        &pod().condition("a", "True", "7").condition("b", "True", ""),
        &start,
    );
    let changes = &planned.changes;
    assert_eq!(
        (changes.ops_state.as_deref(), changes.network_disabled),
        (Some("Two"), Some(true))
    );
    assert_eq!(
        (changes.labels["k"].as_str(), changes.annotations["r"].as_str()),
        ("2", "7")
    );
    assert_eq!(
        serde_json::to_value(changes.containers.as_ref().unwrap()).unwrap(),
        json!([{"name": "game", "image": "x:2", "resources": {"limits": {"cpu": "2", "memory": "1Gi"}}},
            {"name": "agent", "image": "z"}])
    );
}

#[test]
fn what_cannot_be_written_is_left_and_told_and_the_rest_is_written() {
    let set = set(
        &json!([{"name": "load", "permanent": false, "exec": {"command": ["x"]}, "serviceQualityAction": [
        {"state": true, "opsState": "{{.Result}}", "updatePriority": "{{.Result}}", "deletionPriority": "{{ len .Result }}",
            "labels": {"a": "{{.Result}}", "b": "{{ if gt .Result 5 }}many{{ else }}few{{ end }}"}}]}]),
    );
    let start = server(&json!({"opsState": "None", "updatePriority": 0}));
    let bad = plan_for(&set, &pod().condition("load", "True", "7 players!"), &start);
    assert_eq!(
        reasons(&bad),
        [
            "ServiceQualityChanged",
            "ServiceQualityAction",
            "InvalidTemplate",
            "InvalidOpsState",
            "InvalidUpdatePriority",
            "InvalidLabelValue"
        ]
    );
    assert_eq!(bad.changes.labels, [("b".to_owned(), "many".to_owned())].into());
    assert_eq!((bad.changes.ops_state, bad.changes.update_priority), (None, None));
    let good = plan_for(&set, &pod().condition("load", "True", "3"), &start);
    assert_eq!(good.changes.ops_state.as_deref(), Some("3"));
    assert_eq!(good.changes.update_priority, Some(3.into()));
    assert_eq!(good.changes.labels["b"], "few");
    assert_eq!(
        unusable_templates(&set),
        [
            "load: \"{{ len .Result }}\": `len` is not available in a template: use .Result, texts in quotes, if, else, end, eq, \
          ne, lt, le, gt, ge, and, or, not"
        ]
    );
}

/// What happens to one server, in order.
#[derive(Debug, Clone)]
enum Step {
    /// The Pod's condition becomes this.
    Says(bool, u8),
    /// An allocator writes an opsState.
    Allocator(u8),
    /// The actor runs; it dies after so many of its two writes.
    Acts(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (any::<bool>(), 0_u8..3).prop_map(|(state, result)| Step::Says(state, result)),
        (0_u8..3).prop_map(Step::Allocator),
        (0_usize..3).prop_map(Step::Acts),
    ]
}

proptest! {
    /// Against an oracle that knows nothing of records: an edge is a result other than the one last acted on, and only the
    /// first write after one may touch the opsState.
    #[test]
    fn each_edge_acts_once_whatever_is_interrupted(steps in proptest::collection::vec(step(), 1..60)) {
        let set = gates();
        let mut pod = pod();
        let mut server = server(&json!({"opsState": "None"}));
        let mut said = None;
        let mut acted_on = None;
        for step in steps {
            match step {
                Step::Says(state, result) => {
                    let result = ["gate", "data", "x"][result as usize];
                    pod = pod.condition("healthy", if state { "True" } else { "False" }, result);
                    said = Some((state, result));
                }
                Step::Allocator(to) => {
                    let to = ["None", "Allocated", "Maintaining"][to as usize];
                    server.spec.ops_state = Some(to.into());
                }
                Step::Acts(writes) => {
                    let shown = server.spec.ops_state.clone();
                    let planned = plan_for(&set, &pod, &server);
                    // Without an action to keep, the status is the first write, and a crash before it loses nothing.
                    let mut left = writes;
                    if planned.acts() && left > 0 {
                        carry_out(&mut server, &planned);
                        left -= 1;
                    }
                    if let Some(conditions) = planned.conditions.filter(|_| left > 0) {
                        server.conditions = conditions;
                    }
                    let wanted = match said {
                        Some((true, "gate")) => Some("GateMaintaining"),
                        Some((true, "data")) => Some("DataMaintaining"),
                        Some((false, _)) => Some("None"),
                        _ => None,
                    };
                    let edge = said.is_some() && said != acted_on && writes > 0;
                    let expected = wanted.filter(|_| edge).map(str::to_owned).or(shown);
                    prop_assert_eq!(&server.spec.ops_state, &expected);
                    if edge {
                        acted_on = said;
                    }
                }
            }
        }
    }
}

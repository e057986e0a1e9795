//! Findings held against what they must say, and against everything that can be read.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

mod going;

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

/// A server that is well, its Pod and its set, each with changes by JSON pointer.
fn sight(changes: &[(&str, Value)]) -> Sight {
    let mut all = json!({
        "server": {
            "metadata": {"name": "arena-3", "uid": "g", "generation": 2,
                "labels": {"game.kruise.io/owner-gss": "arena"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "arena-3", "uid": "p1", "controller": true}]},
            "spec": {"opsState": "None"},
            "status": {"currentState": "Ready"},
        },
        "pod": {
            "metadata": {"name": "arena-3", "uid": "p1",
                "labels": {"game.kruise.io/owner-gss": "arena", "game.kruise.io/gs-state": "Ready",
                    "game.kruise.io/gs-opsState": "None", "game.kruise.io/gs-update-priority": "0",
                    "game.kruise.io/gs-delete-priority": "0", "game.kruise.io/network-disabled": "false",
                    "controller-revision-hash": "arena-2"},
                "annotations": {"game.kruise.io/synced-generation": "2",
                    "lifecycle.apps.kruise.io/timestamp": "2026-01-01T00:50:00Z"}},
            "spec": {"containers": [], "readinessGates": []},
            "status": {"phase": "Running",
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
        },
        "set": {
            "metadata": {"name": "arena", "generation": 5},
            "spec": {"replicas": 4},
            "status": {"observedGeneration": 5, "replicas": 4, "currentReplicas": 4, "readyReplicas": 4,
                "availableReplicas": 4, "updatedReplicas": 4, "updateRevision": "arena-2",
                "conditions": [{"type": "Ready", "status": "True", "reason": "AllReady", "message": "4 of 4 servers are ready"}]},
        },
    });
    for (path, value) in changes {
        let (parent, key) = path.rsplit_once('/').unwrap();
        let key = key.replace("~1", "/");
        let parent = all.pointer_mut(parent).unwrap_or_else(|| panic!("{path}"));
        if let Value::Object(map) = parent {
            map.insert(key, value.clone());
        } else {
            panic!("{path}");
        }
    }
    let optional = |key: &str| all[key].clone();
    Sight {
        server: serde_json::from_value(optional("server")).unwrap(),
        pod: serde_json::from_value(optional("pod")).unwrap(),
        set: serde_json::from_value(optional("set")).unwrap(),
    }
}

fn of(topic: Topic, changes: &[(&str, Value)]) -> (Verdict, String) {
    let found = server(&sight(changes), now());
    let found: Vec<&Finding> = found.iter().filter(|found| found.topic == topic).collect();
    let hints = found.iter().filter_map(|found| found.hint.as_deref());
    let text: Vec<&str> = found
        .iter()
        .map(|found| found.why.as_str())
        .chain(hints)
        .collect();
    (found[0].verdict, text.join(" | "))
}

#[track_caller]
fn says(topic: Topic, changes: &[(&str, Value)], verdict: Verdict, words: &[&str]) {
    let (found, text) = of(topic, changes);
    assert_eq!(found, verdict, "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

#[test]
fn a_server_that_is_well_has_nothing_but_good_news() {
    let found = server(&sight(&[]), now());
    assert!(
        found.iter().all(|found| found.verdict == Verdict::Fine),
        "{found:#?}"
    );
    let text = render(&found, Style::PLAIN);
    assert_eq!(
        text,
        "Ready       ok       its Pod has been ready for 60m\n\
         Deletion    ok       nothing wants it to go\n\
         Update      ok       it has the latest template (arena-2)\n\
         Allocation  ok       it is free and can be allocated\n\
         Sync        ok       its Pod shows what its GameServer says\n"
    );
}

fn container(state: &Value, restarts: u32, last: &Value) -> Value {
    json!([{"name": "game", "image": "game:1", "imageID": "", "ready": false, "restartCount": restarts,
        "state": state, "lastState": last}])
}

fn not_ready() -> (&'static str, Value) {
    let ready = json!([{"type": "Ready", "status": "False", "reason": "ContainersNotReady",
        "message": "containers with unready status: [game]"}]);
    ("/pod/status/conditions", ready)
}

#[test]
fn containers_and_gates_explain_what_is_not_ready() {
    use Verdict::{Blocked, Waits};
    let ready = Topic::Ready;
    let not_ready = not_ready();
    says(
        ready,
        std::slice::from_ref(&not_ready),
        Waits,
        &["containers with unready status"],
    );
    let crash = container(
        &json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}}),
        7,
        &json!({"terminated": {"exitCode": 139, "reason": "Error"}}),
    );
    let crash = [not_ready.clone(), ("/pod/status/containerStatuses", crash)];
    says(
        ready,
        &crash,
        Blocked,
        &[
            "CrashLoopBackOff, restarted 7 times: back-off 5m0s; it last ended with exit code 139",
            "kubectl logs arena-3 -c game --previous",
        ],
    );
    let probe = container(
        &json!({"running": {"startedAt": "2026-01-01T00:59:00Z"}}),
        0,
        &json!({}),
    );
    let probe = [not_ready.clone(), ("/pod/status/containerStatuses", probe)];
    says(
        ready,
        &probe,
        Waits,
        &["runs and is not ready", "probe has not succeeded"],
    );
    let gate = [
        not_ready.clone(),
        (
            "/pod/spec/readinessGates",
            json!([{"conditionType": "InPlaceUpdateReady"}]),
        ),
    ];
    says(
        ready,
        &gate,
        Waits,
        &["gate InPlaceUpdateReady is shut", "gss-controller opens it"],
    );
}

#[test]
fn what_keeps_a_pod_from_starting_is_told() {
    use Verdict::Blocked;
    let ready = Topic::Ready;
    let pending = [
        ("/pod/status/phase", json!("Pending")),
        (
            "/pod/status/conditions",
            json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/3 nodes are available"}]),
        ),
    ];
    says(
        ready,
        &pending,
        Blocked,
        &["on no node: 0/3 nodes are available (Unschedulable)"],
    );
    let image = container(&json!({"waiting": {"reason": "ImagePullBackOff"}}), 0, &json!({}));
    let image = [
        ("/pod/status/phase", json!("Pending")),
        ("/pod/status/containerStatuses", image),
    ];
    says(
        ready,
        &image,
        Blocked,
        &["ImagePullBackOff", "kubectl describe pod arena-3"],
    );
}

#[test]
fn nodes_and_other_pods_are_told() {
    use Verdict::{Blocked, Waits};
    let ready = Topic::Ready;
    let node = json!([{"type": "NodeNormal", "status": "False", "reason": "NotReady", "message": "kubelet stopped"}]);
    says(
        ready,
        &[("/server/status/conditions", node)],
        Verdict::Fine,
        &["NodeNormal is False: kubelet stopped"],
    );
    says(
        ready,
        &[("/server/status/currentState", json!("Creating"))],
        Waits,
        &["still says Creating", "gs-controller"],
    );
    let lost = [("/pod/status/phase", json!("Unknown"))];
    says(ready, &lost, Blocked, &["node does not answer"]);
    says(ready, &[("/pod", Value::Null)], Waits, &["goes with it"]);
    says(
        ready,
        &[("/pod/metadata/uid", json!("p2"))],
        Waits,
        &["a later one"],
    );
}

#[test]
fn a_hook_before_service_names_what_it_misses() {
    let changes = [
        (
            "/pod/metadata/labels/lifecycle.apps.kruise.io~1state",
            json!("PreparingNormal"),
        ),
        (
            "/pod/status/conditions",
            json!([{"type": "Ready", "status": "False"}]),
        ),
        (
            "/set/spec/lifecycle",
            json!({"preNormal": {"labelsHandler": {"warm": "true"}, "finalizersHandler": ["a/b"]}}),
        ),
    ];
    let words = ["has waited 10m for label warm=true, finalizer a/b"];
    says(Topic::Ready, &changes, Verdict::Waits, &words);
    says(
        Topic::Allocation,
        &changes,
        Verdict::Waits,
        &["held in PreparingNormal"],
    );
}

#[test]
fn a_pod_that_lags_says_what_it_does_not_show() {
    let changes = [
        ("/server/spec/opsState", json!("Allocated")),
        ("/server/metadata/generation", json!(3)),
    ];
    says(
        Topic::Sync,
        &changes,
        Verdict::Blocked,
        &["opsState \"Allocated\" is still \"None\"", "sync-gap"],
    );
    says(Topic::Allocation, &changes, Verdict::Waits, &["it is allocated"]);
}

fn about(changes: &[(&str, Value)]) -> String {
    let found = set(&sight(changes).set.unwrap(), now());
    render(&found, Style::PLAIN)
}

#[test]
fn a_network_that_is_not_ready_is_told_in_its_plugins_words() {
    let told = json!([{"type": "NetworkReady", "status": "False", "reason": "NoSuchPlugin",
        "message": "there is no network plugin Cloud-LB"}]);
    let waits = [
        (
            "/pod/metadata/annotations/game.kruise.io~1network-type",
            json!("Cloud-LB"),
        ),
        (
            "/server/status/networkStatus",
            json!({"currentNetworkState": "NotReady"}),
        ),
    ];
    says(
        Topic::Allocation,
        &waits,
        Verdict::Waits,
        &["its network is NotReady"],
    );
    let mut blocked = waits.to_vec();
    blocked.push(("/server/status/conditions", told));
    says(
        Topic::Allocation,
        &blocked,
        Verdict::Blocked,
        &[
            "its network is NotReady: there is no network plugin Cloud-LB (NoSuchPlugin)",
            "network-not-ready.md",
        ],
    );
}

#[test]
fn a_set_says_why_it_has_not_the_servers_that_are_wanted() {
    let well = about(&[]);
    assert_eq!(
        well,
        "Scale       ok       it has the 4 servers that are wanted\n\
         Ready       ok       4 of 4 servers are ready\n\
         Update      ok       all 4 servers have the latest template\n\
         Set         ok       no condition says that anything is wrong\n"
    );
    let condition = |type_: &str, message: &str| json!([{"type": type_, "status": "True", "reason": "R", "message": message}]);
    let blocked = about(&[(
        "/set/status/conditions",
        condition("ScaleInBlocked", "2 servers must go"),
    )]);
    assert!(
        blocked.contains("Scale       blocked  2 servers must go (R)"),
        "{blocked}"
    );
    let failed = about(&[
        ("/set/spec/replicas", json!(6)),
        (
            "/set/status/conditions",
            condition("Degraded", "Pods cannot be created: quota"),
        ),
    ]);
    assert!(
        failed.contains("6 servers are wanted and it has 4: Pods cannot be created: quota (R)"),
        "{failed}"
    );
    let drains = about(&[
        ("/set/spec/replicas", json!(1)),
        ("/set/status/drainingReplicas", json!(2)),
    ]);
    assert!(
        drains.contains("1 servers are wanted and it has 4; 2 wait for their last player"),
        "{drains}"
    );
    let behind = about(&[("/set/metadata/generation", json!(6))]);
    assert!(
        behind.contains("its generation is 6, and gss-controller has acted on 5"),
        "{behind}"
    );
    let unseen = about(&[("/set/status", Value::Null)]);
    assert!(unseen.contains("is gss-controller running"), "{unseen}");
    let gone = about(&[("/set/metadata/deletionTimestamp", json!("2026-01-01T00:59:00Z"))]);
    assert!(gone.contains("deleted 60s ago"), "{gone}");
}

/// Values that anything may have, also those that nobody should write.
fn any_state() -> impl Strategy<Value = Vec<(&'static str, Value)>> {
    let word = prop::sample::select(vec![
        "",
        "Ready",
        "PreparingDelete",
        "PreparingUpdate",
        "Updating",
        "Nonsense",
        "a\nb",
    ]);
    let paths = prop::sample::select(vec![
        "/pod/status/phase",
        "/server/status/currentState",
        "/server/spec/opsState",
        "/pod/metadata/labels/lifecycle.apps.kruise.io~1state",
        "/pod/metadata/labels/controller-revision-hash",
        "/pod/metadata/annotations/lifecycle.apps.kruise.io~1timestamp",
        "/pod/metadata/uid",
        "/set/status/updateRevision",
    ]);
    let one = (paths, word).prop_map(|(path, word)| (path, json!(word)));
    let whole = prop::sample::select(vec![
        ("/pod", Value::Null),
        ("/set", Value::Null),
        ("/server/status/podStatus", Value::Null),
        (
            "/server/status/deletionClaim",
            json!({"podUID": "", "reason": "", "time": "soon"}),
        ),
    ]);
    (prop::collection::vec(one, 0..6), prop::option::of(whole)).prop_map(|(mut changes, whole)| {
        changes.extend(whole);
        changes
    })
}

proptest! {
    /// Whatever is read, each topic that can be judged has an answer, in one line, without nothing in it.
    #[test]
    fn there_is_an_answer_to_everything(changes in any_state()) {
        let sight = sight(&changes);
        let found = server(&sight, now());
        for topic in [Topic::Ready, Topic::Deletion, Topic::Allocation, Topic::Sync] {
            prop_assert!(found.iter().any(|found| found.topic == topic), "{topic:?}");
        }
        for found in &found {
            prop_assert!(!found.why.is_empty() && !found.why.contains('\n'));
        }
        // What can be allocated does not leave. Ready it is by its label, which may lag the Pod that is looked at here.
        let fine = |topic| found.iter().filter(|found| found.topic == topic).all(|found| found.verdict == Verdict::Fine);
        if fine(Topic::Allocation) {
            prop_assert!(fine(Topic::Deletion), "{found:#?}");
        }
    }
}

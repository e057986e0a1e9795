use serde_json::{Value, json};

use super::*;

fn pod(status: &Value) -> PodView {
    let pod = json!({"metadata": {"name": "a-0", "namespace": "games", "uid": "u"}, "status": status});
    serde_json::from_str(&pod.to_string()).unwrap()
}

fn verdict(well: bool, reason: &str, message: &str) -> Verdict {
    Verdict {
        well,
        reason: reason.into(),
        message: message.into(),
    }
}

fn assert_pod_normal(table: &[(Value, Verdict)]) {
    for (status, expected) in table {
        assert_eq!(&pod_normal(&pod(status)), expected, "{status}");
    }
}

#[test]
fn pod_normal_table_of_the_pod() {
    let not_ready = json!({"type": "ContainersReady", "status": "False", "reason": "ContainersNotReady",
        "message": "containers with unready status: [game]"});
    let table = [
        (json!({}), verdict(true, "", "")),
        (
            json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}),
            verdict(true, "", ""),
        ),
        (
            json!({"reason": "Evicted", "message": "The node was low on memory."}),
            verdict(false, "Evicted", "The node was low on memory."),
        ),
        (
            json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                "message": "0/3 nodes are available"}]}),
            verdict(false, "Unschedulable", "0/3 nodes are available"),
        ),
        // Ready False beside ContainersReady False says nothing new.
        (
            json!({"conditions": [not_ready, {"type": "Ready", "status": "False", "reason": "X", "message": "y"}]}),
            verdict(
                false,
                "ContainersNotReady",
                "containers with unready status: [game]",
            ),
        ),
        // A closed readiness gate.
        (
            json!({"conditions": [{"type": "ContainersReady", "status": "True"},
                {"type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady", "message": "gate"}]}),
            verdict(false, "ReadinessGatesNotReady", "gate"),
        ),
        // Waiting without a message adds nothing.
        (
            json!({"conditions": [not_ready], "containerStatuses": [
                {"state": {"waiting": {"reason": "ContainerCreating"}}}]}),
            verdict(
                false,
                "ContainersNotReady",
                "containers with unready status: [game]",
            ),
        ),
    ];
    assert_pod_normal(&table);
}

#[test]
fn pod_normal_table_of_containers() {
    let table = [
        (
            json!({"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off"}}}]}),
            verdict(false, "ImagePullBackOff", "Back-off"),
        ),
        (
            json!({"containerStatuses": [{"state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}]}),
            verdict(false, "ContainerTerminated:OOMKilled", " ExitCode: 137"),
        ),
        // Ended before, runs again.
        (
            json!({"containerStatuses": [{"state": {"running": {}}, "lastState": {"terminated": {"reason": "Error",
                "exitCode": 1}}}]}),
            verdict(true, "", ""),
        ),
        // Ended before, and nothing says that it runs again.
        (
            json!({"containerStatuses": [{"lastState": {"terminated": {"reason": "Error", "exitCode": 1,
                "message": "boom"}}}]}),
            verdict(false, "ContainerTerminated:Error", "boom ExitCode: 1"),
        ),
        // An init container that did its work.
        (
            json!({"initContainerStatuses": [{"state": {"terminated": {"reason": "Completed", "exitCode": 0}}}]}),
            verdict(true, "", ""),
        ),
        (
            json!({"initContainerStatuses": [{"state": {"terminated": {"reason": "Error", "exitCode": 2}}}]}),
            verdict(false, "ContainerTerminated:Error", " ExitCode: 2"),
        ),
    ];
    assert_pod_normal(&table);
}

#[test]
fn reasons_are_joined_once_each() {
    let status = json!({"conditions": [
        {"type": "Initialized", "status": "False", "reason": "A", "message": "one"},
        {"type": "PodScheduled", "status": "Unknown", "reason": "B", "message": "one"},
        {"type": "ContainersReady", "status": "False", "reason": "A", "message": "two"}]});
    assert_eq!(pod_normal(&pod(&status)), verdict(false, "A; B", "one; two"));
}

#[test]
fn persistent_volume_normal_table() {
    let claim = |state| Claim {
        namespace: "games".into(),
        name: "data-a-0".into(),
        state,
    };
    let volume = |reason: &str, message: &str| ClaimState::Volume {
        reason: reason.into(),
        message: message.into(),
    };
    let missing = "There is no pvc named games/data-a-0 in cluster";
    let unbound = "There is no pv which pvc games/data-a-0 is bound with";
    let table = [
        (vec![], verdict(true, "", "")),
        (vec![claim(volume("", ""))], verdict(true, "", "")),
        (
            vec![claim(ClaimState::Missing)],
            verdict(false, "PersistentVolumeClaim Not Found", missing),
        ),
        (
            vec![claim(ClaimState::Unbound)],
            verdict(false, "PersistentVolume Not Found", unbound),
        ),
        (
            vec![claim(volume("RecycleFailed", "disk gone"))],
            verdict(false, "RecycleFailed", "disk gone"),
        ),
        (
            vec![
                claim(ClaimState::Bound),
                claim(ClaimState::Missing),
                claim(ClaimState::Missing),
            ],
            verdict(false, "PersistentVolumeClaim Not Found", missing),
        ),
        (
            vec![claim(ClaimState::Unbound), claim(ClaimState::Missing)],
            verdict(
                false,
                "PersistentVolume Not Found; PersistentVolumeClaim Not Found",
                &format!("{unbound}; {missing}"),
            ),
        ),
        (
            vec![claim(ClaimState::Bound)],
            verdict(
                true,
                VOLUMES_NOT_WATCHED,
                "every claim is bound; the volumes themselves are not watched",
            ),
        ),
    ];
    for (claims, expected) in table {
        assert_eq!(persistent_volume_normal(&claims), expected, "{claims:?}");
    }
}

#[test]
fn the_time_moves_only_when_something_else_does() {
    let first = verdict(false, "A", "a").into_condition("PodNormal", &[], "2026-01-01T00:00:00Z");
    let previous = [first.clone()];
    let same = verdict(false, "A", "a").into_condition("PodNormal", &previous, "2026-01-02T00:00:00Z");
    assert_eq!(same, first);
    let other = verdict(false, "A", "b").into_condition("PodNormal", &previous, "2026-01-02T00:00:00Z");
    assert_eq!(
        other.last_transition_time.as_deref(),
        Some("2026-01-02T00:00:00Z")
    );
}

#[test]
fn texts_are_bounded_at_a_character() {
    let long = bounded("ä".repeat(2000), MAX_REASON);
    assert!(long.len() <= MAX_REASON && long.ends_with('…'), "{}", long.len());
    assert_eq!(bounded("short".into(), MAX_REASON), "short");
}

//! What keeps a server from going, and from being updated.

use serde_json::{Value, json};

use super::{
    super::{
        Topic,
        Verdict::{Blocked, Waits},
    },
    says,
};

#[test]
fn what_keeps_a_server_from_going_is_named_with_the_way_out() {
    let deletion = Topic::Deletion;
    let claim = |reason: &str| json!({"podUID": "p1", "reason": reason, "time": "2026-01-01T00:55:00Z"});
    let drains = [
        ("/server/status/deletionClaim", claim("Draining")),
        ("/server/status/players", json!({"count": 7})),
        ("/server/status/reported", json!({"podUID": "p1"})),
        ("/set/spec/players", json!({"drainTimeoutSeconds": 3600})),
    ];
    says(
        deletion,
        &drains,
        Waits,
        &[
            "drained for 5m: 7 players",
            "60m at most",
            "kubectl gs kill arena-3",
        ],
    );
    says(
        Topic::Allocation,
        &drains,
        Blocked,
        &["claimed for deletion (Draining)"],
    );
    let held = [
        (
            "/pod/metadata/labels/lifecycle.apps.kruise.io~1state",
            json!("PreparingDelete"),
        ),
        ("/pod/metadata/labels/gs-sync~1block", json!("true")),
        ("/server/metadata/labels/gs-sync~1block", json!("true")),
        (
            "/set/spec/lifecycle",
            json!({"preDelete": {"labelsHandler": {"gs-sync/block": "true"}}}),
        ),
    ];
    says(
        deletion,
        &held,
        Blocked,
        &[
            "has held it for 10m: the Pod has label gs-sync/block=true",
            "kubectl label gs arena-3 gs-sync/block=released",
        ],
    );
    let mut open = held.to_vec();
    open[1].1 = json!("false");
    says(deletion, &open, Waits, &["has let go"]);
}

#[test]
fn marks_finalizers_and_nodes_that_are_late_are_told() {
    let deletion = Topic::Deletion;
    let protected = [
        ("/server/spec/markedForDeletion", json!(true)),
        ("/server/spec/opsState", json!("Allocated")),
        ("/set/spec/scaleStrategy", json!({"protectAllocated": true})),
    ];
    says(
        deletion,
        &protected,
        Blocked,
        &["protectAllocated", "kubectl gs release arena-3"],
    );
    says(
        deletion,
        &protected[..1],
        Waits,
        &["not claimed it yet", "is gss-controller running"],
    );
    let finalizer = [
        ("/pod/metadata/deletionTimestamp", json!("2026-01-01T01:00:10Z")),
        ("/pod/metadata/finalizers", json!(["save.example/world"])),
    ];
    says(
        deletion,
        &finalizer,
        Blocked,
        &["held by finalizers: save.example/world"],
    );
    let late = [("/pod/metadata/deletionTimestamp", json!("2026-01-01T00:50:00Z"))];
    says(deletion, &late, Blocked, &["gone 10m ago", "is the node alive"]);
    says(deletion, &finalizer[..1], Waits, &["have 10s to end"]);
}

#[test]
fn who_takes_a_server_is_told_where_it_is_somebody_else() {
    let claim = |reason: &str| {
        let claim = json!({"podUID": "p1", "reason": reason, "time": "2026-01-01T00:55:00Z"});
        ("/server/status/deletionClaim", claim)
    };
    let terminating = ("/pod/metadata/deletionTimestamp", json!("2026-01-01T01:00:10Z"));
    for (reason, words) in [
        ("Evicted", "it is evicted, by a node drain"),
        ("Preempted", "a more important Pod"),
        ("Deleted", "somebody deleted its Pod"),
    ] {
        let announced = [claim(reason)];
        says(
            Topic::Deletion,
            &announced,
            Waits,
            &[words, "announced 5m ago", "free again by itself"],
        );
        let going = [claim(reason), terminating.clone()];
        says(
            Topic::Deletion,
            &going,
            Waits,
            &[words, "have 10s to end", "docs/disruption.md"],
        );
        let cannot = format!("claimed for deletion ({reason})");
        says(Topic::Allocation, &announced, Blocked, &[&cannot]);
    }
    let (_, own) = super::of(Topic::Deletion, &[claim("ScaleIn"), terminating]);
    assert_eq!(own, "its Pod is being deleted; its containers have 10s to end");
}

#[test]
fn what_keeps_a_server_from_being_updated_is_named() {
    let update = Topic::Update;
    let old = ("/pod/metadata/labels/controller-revision-hash", json!("arena-1"));
    let with = |path: &'static str, value: Value| vec![old.clone(), (path, value)];
    says(
        update,
        std::slice::from_ref(&old),
        Waits,
        &[
            "has template arena-1, the latest is arena-2",
            "its turn: 1 servers",
        ],
    );
    let strategy = "/set/spec/updateStrategy";
    says(
        update,
        &with(strategy, json!({"type": "OnDelete"})),
        Blocked,
        &["OnDelete", "kubectl delete pod arena-3"],
    );
    says(
        update,
        &with(strategy, json!({"rollingUpdate": {"paused": true}})),
        Blocked,
        &["paused"],
    );
    says(
        update,
        &with(strategy, json!({"rollingUpdate": {"partition": 2}})),
        Waits,
        &["a partition keeps 2 servers"],
    );
    let mut allocated = with("/server/spec/opsState", json!("Allocated"));
    allocated.push(("/set/spec/scaleStrategy", json!({"protectAllocated": true})));
    says(update, &allocated, Blocked, &["protectAllocated keeps it"]);
    let blocked = json!([{"type": "UpdateBlocked", "status": "True", "reason": "InPlaceUpdateStuck", "message": "server 3: image"}]);
    says(
        update,
        &with("/set/status/conditions", blocked),
        Blocked,
        &["server 3: image (InPlaceUpdateStuck)"],
    );
    let mut held = with(
        "/pod/metadata/labels/lifecycle.apps.kruise.io~1state",
        json!("PreparingUpdate"),
    );
    held.push(("/pod/metadata/labels/busy", json!("yes")));
    held.push((
        "/set/spec/lifecycle",
        json!({"inPlaceUpdate": {"labelsHandler": {"busy": "yes"}}}),
    ));
    says(update, &held, Blocked, &["the Pod has busy=yes"]);
}

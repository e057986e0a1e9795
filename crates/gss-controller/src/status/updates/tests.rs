//! What condition `UpdateBlocked` says of updates in place that do not end.

use serde_json::json;

use super::super::tests::{condition, report, set};
use super::*;

/// A server that was changed to an image five seconds before the clock of the tests, and whose container waits with this reason.
fn changed(id: u32, image: &str, waits: &str) -> std::sync::Arc<PodView> {
    let state = json!({ "updateTimestamp": "2026-05-04T03:01:56Z", "lastContainerStatuses": { "game": { "imageID": "old" } } });
    let pod = json!({
        "metadata": {
            "name": format!("arena-{id}"), "uid": format!("pod-{id}"),
            "labels": { "game.kruise.io/owner-gss": "arena", "lifecycle.apps.kruise.io/state": "Updating" },
            "annotations": { "apps.kruise.io/inplace-update-state": state.to_string() },
            "ownerReferences": [{ "kind": "GameServerSet", "name": "arena", "uid": "set-uid", "controller": true }],
        },
        "spec": { "containers": [{ "name": "game", "image": image }] },
        "status": { "containerStatuses": [{ "name": "game", "state": { "waiting": { "reason": waits } } }] },
    });
    std::sync::Arc::new(serde_json::from_value(pod).unwrap())
}

#[test]
fn one_bad_image_is_said_once_with_all_servers_that_wait_for_it() {
    let mut pods: Vec<_> = (0..8)
        .map(|id| changed(id, "game:2", "ImagePullBackOff"))
        .collect();
    pods[7] = changed(7, "game:3", "ErrImageNeverPull");
    let plan = json!({ "plan": { "generation": 7, "desired": ["0-7"] } });
    let report = report(set(json!({ "replicas": 8 }), plan), pods, vec![]);
    let blocked = condition(&report, UPDATE_BLOCKED);
    assert_eq!(blocked.reason, "InPlaceUpdateStuck");
    assert_eq!(
        blocked.message,
        "7 servers are stuck in their update (ids 0-6): image game:2 of container game cannot be pulled (ErrImagePull); correct the \
         template, and the update begins anew; 1 server is stuck in its update (ids 7): image game:3 of container game is not on the \
         node, and its pull policy is Never (ErrImageNeverPull); correct the template, and the update begins anew"
    );
}

//! The controller's process, and tests of it as a process: restart, rest, cost.

use std::{path::Path, time::Duration};

use serde_json::json;
use test_bed::Process;

use crate::support::{Arena, state, uid};

/// Starts gs-controller for the arena's namespace, without leader election, and waits until it is ready.
pub(crate) async fn start(arena: &Arena) -> Process {
    let flags = ["--leader-elect=false", "--persistent-volumes=always"];
    start_with(arena, &arena.kubeconfig, &flags).await
}

pub(crate) async fn start_with(arena: &Arena, kubeconfig: &Path, flags: &[&str]) -> Process {
    let program = env!("CARGO_BIN_EXE_gs-controller");
    Process::start(program, kubeconfig, &arena.namespace, flags).await
}

#[tokio::test]
async fn a_restart_creates_nothing_twice_and_writes_nothing() {
    let arena = Arena::new().await;
    let set = arena.set("arena", "Cascade").await;
    let controller = start(&arena).await;
    for name in ["arena-0", "arena-1", "arena-2"] {
        arena.pod(name, &set).await;
        arena.make_ready(name, "10.0.0.7").await;
    }
    let before = arena.game_server_when("arena-2", |it| state(it) == "Ready").await;
    for name in ["arena-0", "arena-1"] {
        arena.game_server_when(name, |it| state(it) == "Ready").await;
    }
    drop(controller);
    let controller = start(&arena).await;
    // Something to do shows that the start is over.
    arena.pod_status("arena-0", &json!({"phase": "Failed"})).await;
    arena.game_server_when("arena-0", |it| state(it) == "Crash").await;
    assert_eq!(
        (
            controller.requests("create").await,
            controller.requests("apply").await
        ),
        (0, 1)
    );
    let after = arena.game_server("arena-2").await.unwrap();
    assert_eq!(
        (uid(&after), &after["metadata"]["resourceVersion"]),
        (uid(&before), &before["metadata"]["resourceVersion"])
    );
    arena.end().await;
}

#[tokio::test]
async fn a_server_costs_three_requests_and_nothing_at_rest() {
    let arena = Arena::new().await;
    let set = arena.set("arena", "Cascade").await;
    let controller = start(&arena).await;
    arena.pod("arena-0", &set).await;
    arena
        .game_server_when("arena-0", |it| state(it) == "Creating")
        .await;
    // What a kubelet says on the way up, one detail after the other.
    for detail in [
        json!({"conditions": [{"type": "PodScheduled", "status": "True"}]}),
        json!({"hostIP": "10.1.1.1", "hostIPs": [{"ip": "10.1.1.1"}], "startTime": "2026-01-01T00:00:00Z"}),
        json!({"conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "ContainersReady",
            "status": "False", "reason": "ContainersNotReady", "message": "containers with unready status: [game]"}]}),
    ] {
        arena.pod_status("arena-0", &detail).await;
    }
    arena.make_ready("arena-0", "10.0.0.7").await;
    let ready = arena.game_server_when("arena-0", |it| state(it) == "Ready").await;
    let costs = [
        controller.requests("create").await,
        controller.requests("apply").await,
        controller.requests("patch").await,
    ];
    assert_eq!(
        costs,
        [1, 2, 0],
        "create, status Creating and Ready, no patch, no event"
    );

    // Rest, with the noise of a live cluster: labels, probes' heartbeats.
    let writes = controller.writes().await;
    for second in 0..20 {
        let time = format!("2026-01-01T00:00:{second:02}Z");
        let conditions = json!([{"type": "Ready", "status": "True", "lastProbeTime": time},
            {"type": "ContainersReady", "status": "True", "lastProbeTime": time}]);
        arena
            .pod_status("arena-0", &json!({ "conditions": conditions }))
            .await;
        let labels = json!({"metadata": {"labels": {"beat": second.to_string()}}});
        arena.merge(&arena.path("pods", "arena-0"), &labels).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(controller.writes().await, writes, "writes at rest");
    let later = arena.game_server("arena-0").await.unwrap();
    assert_eq!(
        later["metadata"]["resourceVersion"],
        ready["metadata"]["resourceVersion"]
    );
    assert_eq!(controller.metric("gamekeeper_gs_created_total", &[]).await, 1);
    assert_eq!(
        controller
            .metric("gamekeeper_gs_ready_to_status_seconds_count", &[])
            .await,
        1
    );
    arena.end().await;
}

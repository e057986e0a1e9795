//! What becomes of `NodeNormal`.

use serde_json::{Value, json};

use crate::{
    process::NodeWatcher,
    world::{World, condition, eventually, version},
};

const NODE_NORMAL: &str = "NodeNormal";

#[tokio::test]
async fn a_flip_writes_each_server_of_the_node_once_and_nobody_elses_entry() {
    let world = World::new().await;
    world.node("a").await;
    world.node("b").await;
    let on_a = ["arena-0", "arena-1", "arena-2", "arena-3"];
    for name in on_a {
        world.server(name, "a").await;
    }
    world.server("arena-4", "b").await;
    let process = NodeWatcher::start(&world, &[]).await;

    world.node_says("a", "Ready", "False", 1).await;
    for name in on_a {
        let server = world.condition_until(name, NODE_NORMAL, "False").await;
        assert_eq!(condition(&server, NODE_NORMAL)["reason"], "Ready:TestSays");
        assert_eq!(condition(&server, "PodNormal")["status"], "True");
        assert_eq!(server["status"]["currentState"], "Ready");
    }
    let note = world.warning_until("arena-0", "NodeNotReady").await;
    assert!(note.contains("is False: TestSays"), "{note}");
    assert_eq!(process.writes().await, 4);

    // gs-controller's next status keeps the entry: the list has one owner for each type.
    world.pod_normal("arena-0", "False").await;
    let server = world.game_server("arena-0").await;
    assert_eq!(condition(&server, NODE_NORMAL)["status"], "False");

    world.node_says("a", "Ready", "True", 2).await;
    for name in on_a {
        let server = world.condition_until(name, NODE_NORMAL, "True").await;
        assert_eq!(condition(&server, NODE_NORMAL).get("reason"), None);
    }
    assert_eq!(
        condition(&world.game_server("arena-4").await, NODE_NORMAL),
        Value::Null
    );
    assert_eq!(process.writes().await, 8);
    world.end(&["a", "b"]).await;
}

#[tokio::test]
async fn heartbeats_cost_neither_a_write_nor_a_run_of_the_queue() {
    let world = World::new().await;
    world.node("a").await;
    for name in ["arena-0", "arena-1", "arena-2"] {
        world.server(name, "a").await;
    }
    let process = NodeWatcher::start(&world, &[]).await;
    // Something to do shows that the start is over.
    world.node_says("a", "Frozen", "True", 0).await;
    for name in ["arena-0", "arena-1", "arena-2"] {
        world.condition_until(name, NODE_NORMAL, "False").await;
    }
    let echoed = async || {
        process
            .metric(
                "gamekeeper_watch_events_total",
                &["resource=\"gameservers\",type=\"modified\""],
            )
            .await
    };
    eventually("the echoes", echoed, |seen| *seen >= 3).await;
    let before = [process.reconciles().await, process.writes().await];
    let versions = version(&world.game_server("arena-0").await).to_owned();
    for second in 1..=40 {
        world.node_says("a", "Ready", "True", second).await;
    }
    let ignored = async || {
        process
            .metric(
                "gamekeeper_node_watcher_node_events_total",
                &["significant=\"false\""],
            )
            .await
    };
    eventually("all heartbeats", ignored, |seen| *seen >= 40).await;
    assert_eq!([process.reconciles().await, process.writes().await], before);
    assert_eq!(version(&world.game_server("arena-0").await), versions);
    world.end(&["a"]).await;
}

#[tokio::test]
async fn a_node_that_is_gone_is_a_condition_until_it_is_back_or_the_server_has_moved() {
    let world = World::new().await;
    world.node("a").await;
    world.server("arena-0", "a").await;
    let process = NodeWatcher::start(&world, &[]).await;
    world.delete_node("a").await;
    let server = world.condition_until("arena-0", NODE_NORMAL, "False").await;
    assert_eq!(condition(&server, NODE_NORMAL)["reason"], "NodeNotFound");
    world.warning_until("arena-0", "NodeNotFound").await;
    // The rest of the status goes on (weakness of a controller that reads the node first and fails).
    world.pod_normal("arena-0", "False").await;
    world.node("a").await;
    world.condition_until("arena-0", NODE_NORMAL, "True").await;
    let failed = process
        .metric("gamekeeper_reconciles_total", &["outcome=\"error\""])
        .await;
    assert_eq!((failed, process.writes().await), (0, 2));
    world.end(&["a"]).await;
}

#[tokio::test]
async fn a_taint_that_evicts_is_a_condition_and_cordons_are_none() {
    let world = World::new().await;
    world.node("a").await;
    world.server("arena-0", "a").await;
    let process = NodeWatcher::start(&world, &[]).await;
    // A cordon, and the taints that repeat conditions: nothing.
    world
        .taint(
            "a",
            json!([{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
                {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]),
        )
        .await;
    let ignored = async || {
        process
            .metric(
                "gamekeeper_node_watcher_node_events_total",
                &["significant=\"false\""],
            )
            .await
    };
    eventually("the cordon", ignored, |seen| *seen >= 1).await;
    world
        .taint(
            "a",
            json!([{"key": "maintenance", "value": "tonight", "effect": "NoExecute"}]),
        )
        .await;
    let server = world.condition_until("arena-0", NODE_NORMAL, "False").await;
    assert_eq!(condition(&server, NODE_NORMAL)["reason"], "Taint:maintenance");
    world.taint("a", json!([])).await;
    world.condition_until("arena-0", NODE_NORMAL, "True").await;
    assert_eq!(process.writes().await, 2);
    world.end(&["a"]).await;
}

#[tokio::test]
async fn a_node_that_flaps_faster_than_the_rate_is_written_as_it_is_in_the_end() {
    let world = World::new().await;
    world.node("a").await;
    let servers: Vec<String> = (0..12).map(|id| format!("arena-{id}")).collect();
    for name in &servers {
        world.server(name, "a").await;
    }
    let process = NodeWatcher::start(&world, &["--writes-per-second", "4"]).await;
    for flap in 1..=20 {
        let status = if flap % 2 == 0 { "True" } else { "False" };
        world.node_says("a", "Ready", status, flap).await;
    }
    world.node_says("a", "Ready", "False", 30).await;
    for name in &servers {
        world.condition_until(name, NODE_NORMAL, "False").await;
    }
    let writes = process.writes().await;
    assert!(writes <= 12 + 8, "{writes} writes for 12 servers at 4 a second");
    world.end(&["a"]).await;
}

#[tokio::test]
async fn servers_that_wait_for_their_turn_hold_up_no_end() {
    let world = World::new().await;
    world.node("a").await;
    let names: Vec<String> = (0..34).map(|id| format!("arena-{id}")).collect();
    for name in &names {
        world.server(name, "a").await;
    }
    let mut process = NodeWatcher::start(&world, &["--writes-per-second", "1"]).await;
    world.node_says("a", "Ready", "False", 1).await;
    let active = ["queue=\"game-servers\""];
    process
        .metric_until("gamekeeper_queue_active", &active, |keys| keys > 25)
        .await;
    let status = process.terminate().await;
    assert!(status.success(), "{status}");
    world.end(&["a"]).await;
}

//! Watches that rest while every node is well.

use serde_json::json;

use crate::{
    process::NodeWatcher,
    world::{World, condition, eventually},
};

async fn resting(process: &NodeWatcher, wanted: u64) {
    for watch in ["pods", "gameservers"] {
        let label = format!("watch=\"{watch}\"");
        process
            .metric_until("gamekeeper_watch_resting", &[&label], |now| now == wanted)
            .await;
    }
}

async fn start(world: &World, flags: &[&str]) -> NodeWatcher {
    let mut all = vec!["--rest-after", "200ms"];
    all.extend(flags);
    NodeWatcher::start(world, &all).await
}

async fn shows(world: &World, name: &str, node: &str) {
    let look = async || world.game_server(name).await;
    let wanted = json!(world.node_name(node));
    eventually("the label", look, |it| {
        it["metadata"]["labels"]["game.kruise.io/node-name"] == wanted
    })
    .await;
}

#[tokio::test]
async fn trouble_of_a_node_is_shown_on_a_server_that_was_born_during_the_rest() {
    let world = World::alone().await;
    world.node("a").await;
    world.node("b").await;
    let process = start(&world, &[]).await;
    resting(&process, 1).await;

    world.server("arena-0", "a").await;
    world.node_says("b", "Ready", "True", 7).await;
    world.node_says("a", "Ready", "Unknown", 1).await;
    world.condition_until("arena-0", "NodeNormal", "False").await;
    resting(&process, 0).await;
    // What was said is taken back before the next rest.
    world.node_says("a", "Ready", "True", 2).await;
    resting(&process, 1).await;
    let server = world.game_server("arena-0").await;
    assert_eq!(condition(&server, "NodeNormal")["status"], "True");

    // A node that goes takes its servers with it, and they say so until they are gone.
    world.delete_node("a").await;
    world.condition_until("arena-0", "NodeNormal", "False").await;
    world.delete(&world.path("pods", "arena-0"), &json!({})).await;
    world.end(&["b"]).await;
}

#[tokio::test]
async fn a_server_born_before_its_pod_was_bound_gets_its_label() {
    let world = World::alone().await;
    world.node("a").await;
    let process = start(&world, &[]).await;
    resting(&process, 1).await;
    world.server("arena-0", "").await;
    resting(&process, 0).await;
    world.bind("arena-0", "a").await;
    shows(&world, "arena-0", "a").await;
    resting(&process, 1).await;
    assert_eq!(process.writes().await, 1);
    world.end(&["a"]).await;
}

#[tokio::test]
async fn a_set_that_keeps_its_servers_keeps_the_watches() {
    let world = World::alone().await;
    world.node("a").await;
    world.node("b").await;
    let process = start(&world, &[]).await;
    resting(&process, 1).await;
    let set = world.keeping_set().await;
    resting(&process, 0).await;
    world.pod_of_set("arena-0", "a", &set).await;
    let labels = json!({"game.kruise.io/node-name": world.node_name("a")});
    world.record_of_set("arena-0", &set, labels).await;

    // The set's word is for servers to come: one that is there already is followed all the same.
    let cascade = json!({"spec": {"gameServerTemplate": {"reclaimPolicy": "Cascade"}}});
    world
        .merge(&world.path("gameserversets", "arena"), &cascade)
        .await;
    let pod = world.path("pods", "arena-0");
    world.delete(&pod, &json!({})).await;
    let look = async || world.get(&pod).await;
    eventually("the Pod's end", look, Option::is_none).await;
    world.pod_of_set("arena-0", "b", &set).await;
    shows(&world, "arena-0", "b").await;
    resting(&process, 0).await;
    world
        .delete(&world.path("gameservers", "arena-0"), &json!({}))
        .await;
    resting(&process, 1).await;
    world.end(&["a", "b"]).await;
}

#[tokio::test]
async fn an_external_address_and_report_normal_keep_the_watches() {
    let world = World::alone().await;
    world.node("a").await;
    let process = start(&world, &[]).await;
    resting(&process, 1).await;
    let reporting = start(&world, &["--report-normal"]).await;
    world.server("arena-0", "a").await;
    world.condition_until("arena-0", "NodeNormal", "True").await;
    resting(&reporting, 0).await;

    resting(&process, 1).await;
    world.node_address("a", "203.0.113.7").await;
    let look = async || world.game_server("arena-0").await;
    eventually("the address", look, |it| {
        it["status"]["publicIP"] == "203.0.113.7"
    })
    .await;
    resting(&process, 0).await;
    world.end(&["a"]).await;
}

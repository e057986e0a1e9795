//! What becomes of the label `node-name`, and of servers whose node was always well.

use serde_json::{Value, json};

use crate::{
    process::NodeWatcher,
    world::{World, condition, eventually, version},
};

fn label(server: &Value) -> &str {
    server["metadata"]["labels"]["game.kruise.io/node-name"]
        .as_str()
        .unwrap_or_default()
}

#[tokio::test]
async fn the_label_follows_the_binding_and_a_server_born_with_it_costs_nothing() {
    let world = World::new().await;
    world.node("a").await;
    world.server("arena-0", "").await;
    world.server("arena-1", "a").await;
    let born = world.game_server("arena-1").await;
    let process = NodeWatcher::start(&world, &[]).await;

    world.bind("arena-0", "a").await;
    let look = async || world.game_server("arena-0").await;
    eventually("the label", look, |it| label(it) == world.node_name("a")).await;

    let later = world.game_server("arena-1").await;
    assert_eq!(version(&later), version(&born));
    assert_eq!(condition(&later, "NodeNormal"), Value::Null);
    assert_eq!(process.writes().await, 1);
    world.end(&["a"]).await;
}

#[tokio::test]
async fn a_node_with_a_name_too_long_for_a_label_is_named_in_the_condition() {
    let world = World::new().await;
    let long = "l".repeat(64);
    world.node(&long).await;
    let pod = world.pod("arena-0", &long).await;
    // As left by the Pod before, which ran elsewhere.
    world
        .record(
            "arena-0",
            &pod,
            json!({"game.kruise.io/node-name": "elsewhere", "tier": "gold"}),
        )
        .await;
    let process = NodeWatcher::start(&world, &[]).await;
    let look = async || world.game_server("arena-0").await;
    let server = eventually("no label", look, |it| label(it).is_empty()).await;
    assert_eq!(server["metadata"]["labels"]["tier"], "gold");
    world.node_says(&long, "Ready", "Unknown", 1).await;
    let server = world.condition_until("arena-0", "NodeNormal", "False").await;
    let message = condition(&server, "NodeNormal")["message"].clone();
    assert!(message.as_str().unwrap().contains(&long), "{message}");
    assert_eq!(
        process
            .metric("gamekeeper_reconciles_total", &["outcome=\"error\""])
            .await,
        0
    );
    world.end(&[&long]).await;
}

#[tokio::test]
async fn report_normal_gives_every_bound_server_the_condition_once() {
    let world = World::new().await;
    world.node("a").await;
    world.server("arena-0", "a").await;
    let process = NodeWatcher::start(&world, &["--report-normal"]).await;
    world.condition_until("arena-0", "NodeNormal", "True").await;
    world.server("arena-1", "a").await;
    world.condition_until("arena-1", "NodeNormal", "True").await;
    assert_eq!(process.writes().await, 2);
    world.end(&["a"]).await;
}

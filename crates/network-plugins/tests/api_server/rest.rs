//! Watches that rest while nothing has a network.

use serde_json::{Value, json};
use test_bed::Process;

use crate::world::World;

async fn resting(process: &Process, wanted: u64) {
    for watch in ["pods", "gameservers", "nodes"] {
        let label = format!("watch=\"{watch}\"");
        process
            .metric_until("gamekeeper_watch_resting", &[&label], |now| now == wanted)
            .await;
    }
}

#[tokio::test]
async fn the_first_set_that_asks_for_a_network_gets_it_while_watches_rest() {
    let world = World::new("Kubernetes-NodePort", &[("PortProtocols", "80")]).await;
    let set = world.path("gameserversets", "arena");
    let network = world.get(&set).await.unwrap()["spec"]["network"].clone();
    world
        .merge(&set, &json!({"spec": {"network": Value::Null}}))
        .await;
    let process = world.start_with(&["--rest-after", "200ms"]).await;
    resting(&process, 1).await;

    // A server that nobody sees, because nothing asks for what it wants.
    world.server("arena-0").await;
    world.merge(&set, &json!({"spec": {"network": network}})).await;
    let server = world.network_until("arena-0", "Ready").await;
    let external = &server["status"]["networkStatus"]["externalAddresses"];
    assert_eq!(external[0]["ip"], "203.0.113.5", "the node's watch went on too");
    resting(&process, 0).await;

    // The set wants none any more, but the server has one: not before that is gone is there nothing to do.
    world
        .merge(&set, &json!({"spec": {"network": Value::Null}}))
        .await;
    world.node_address("203.0.113.6").await;
    let moved = async || world.annotation("arena-0").await;
    crate::world::eventually("the new address", moved, |text| text.contains("203.0.113.6")).await;
    resting(&process, 0).await;
    world.delete(&world.path("pods", "arena-0"), &json!({})).await;
    resting(&process, 1).await;
    world.end().await;
}

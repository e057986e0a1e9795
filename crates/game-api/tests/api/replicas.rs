//! Several replicas: any may take a report, and they do not write against each other.

use serde_json::json;

use crate::{process::Api, world::World};

#[tokio::test]
async fn two_replicas_take_turns_and_the_last_word_stays() {
    let world = World::new().await;
    let server = world.server("arena-0").await;
    let flags = ["--write-interval", "100ms", "--server-rate", "1000"];
    let (one, two) = (Api::start(&world, &flags).await, Api::start(&world, &flags).await);
    one.knows(&server).await;
    two.knows(&server).await;
    for count in 1..=60 {
        let api = if count % 2 == 0 { &one } else { &two };
        let answer = api
            .tell(&server, "PUT", "/v1/self/players", json!({"count": count % 7}))
            .await;
        assert!(matches!(answer.status, 200 | 202), "{answer:?}");
    }
    let answer = one
        .tell(&server, "PUT", "/v1/self/players?wait=true", json!({"count": 42}))
        .await;
    assert_eq!(answer.status, 200);
    world.players_when("arena-0", 42).await;
    let both = async || one.process.writes().await + two.process.writes().await;
    // What either still had to write is older, and is dropped.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let writes = both().await;
    let version = world.game_server("arena-0").await["metadata"]["resourceVersion"].clone();
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let found = world.game_server("arena-0").await;
    assert_eq!(
        found["metadata"]["resourceVersion"], version,
        "they write at rest"
    );
    assert_eq!(found["status"]["players"]["count"], 42);
    assert_eq!(both().await, writes);
    world.delete_namespace().await;
}

/// A replica that is killed loses what it accepted and had not stored; the next report makes up for it.
#[tokio::test]
async fn a_replica_that_dies_is_made_up_for_by_the_next_report() {
    let world = World::new().await;
    let server = world.server("arena-0").await;
    let first = Api::start(&world, &["--write-interval", "1h"]).await;
    let report = json!({"count": 1});
    assert_eq!(
        first
            .tell(&server, "PUT", "/v1/self/players", report)
            .await
            .status,
        200
    );
    let answer = first
        .tell(&server, "PUT", "/v1/self/players", json!({"count": 2}))
        .await;
    assert_eq!(answer.status, 202, "accepted, not stored: the caller knows");
    drop(first);
    let second = Api::start(&world, &[]).await;
    let answer = second
        .tell(&server, "PUT", "/v1/self/players", json!({"count": 2}))
        .await;
    assert_eq!(answer.status, 200);
    world.players_when("arena-0", 2).await;
    world.delete_namespace().await;
}

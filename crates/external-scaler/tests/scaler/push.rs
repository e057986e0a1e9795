//! What is pushed, and when a stream ends.

use std::time::Duration;

use external_scaler::proto::IsActiveResponse;
use test_bed::{PATIENCE, eventually};
use tonic::Streaming;

use crate::world::World;

async fn next(stream: &mut Streaming<IsActiveResponse>) -> Option<bool> {
    let message = tokio::time::timeout(PATIENCE, stream.message()).await;
    let message = message.expect("a message in time").unwrap();
    message.map(|message| message.result)
}

#[tokio::test]
async fn each_change_that_keda_acts_on_is_pushed_until_it_has() {
    let world = World::new().await;
    let mut scaler = world.scaler().await;
    let keda = world.keda(&scaler, "arena", &[]).await;
    let always = world.keda(&scaler, "arena", &[("minAvailable", "20%")]).await;
    let (mut stream, mut needed) = (keda.stream().await.unwrap(), always.stream().await.unwrap());
    // There is no such set yet.
    assert_eq!(
        (next(&mut stream).await, next(&mut needed).await),
        (Some(false), Some(false))
    );
    world.set("arena", 2).await;
    assert_eq!(
        (next(&mut stream).await, next(&mut needed).await),
        (Some(true), Some(true))
    );
    world.server("arena", 0, "None", "Ready").await;
    world.server("arena", 1, "Allocated", "Ready").await;
    world.ops_state("arena-0", "WaitToBeDeleted").await;
    world.ops_state("arena-1", "WaitToBeDeleted").await;
    // Two servers came, and one went, without a word.
    assert_eq!(next(&mut stream).await, Some(false));
    world.ops_state("arena-1", "None").await;
    // It may have been said again meanwhile: replicas are there, and nobody needs them.
    while next(&mut stream).await != Some(true) {}
    // Scaled to nothing by hand: KEDA brings back what is needed, and has to be told.
    world.replicas("arena", 0).await;
    assert_eq!(
        (next(&mut stream).await, next(&mut needed).await),
        (Some(false), Some(true))
    );

    // Nobody brings them back here, so it is said again.
    assert_eq!(next(&mut needed).await, Some(true));

    let open = async || {
        scaler
            .process
            .metric("gamekeeper_external_scaler_streams", &[])
            .await
    };
    assert_eq!(open().await, 2);
    drop(needed);
    eventually("one stream", open, |streams| *streams == 1).await;
    // Who waits for news for ever does not keep the process from ending.
    let ended = scaler.process.terminate();
    let ended = tokio::time::timeout(Duration::from_secs(10), ended)
        .await
        .unwrap();
    assert!(ended.success());
    assert_eq!(next(&mut stream).await, None);
    world.delete_namespace().await;
}

//! What is answered to one question.

use external_scaler::proto::{METRIC, SERVICE, SERVING};
use serde_json::json;
use tonic::Code;

use crate::world::{World, value_until};

#[tokio::test]
async fn replicas_follow_servers_that_are_taken_lost_and_given_up() {
    let world = World::new().await;
    world.set("arena", 3).await;
    for id in 0..3 {
        world.server("arena", id, "None", "Ready").await;
    }
    let scaler = world.scaler().await;
    let keda = world
        .keda(&scaler, "arena", &[("minAvailable", "2"), ("maxAvailable", "3")])
        .await;
    let spec = keda.metric_spec().await.unwrap().metric_specs;
    assert_eq!(
        (spec.len(), spec[0].metric_name.as_str(), spec[0].target_size),
        (1, METRIC, 1)
    );
    assert_eq!(
        (keda.value().await.unwrap(), keda.is_active().await.unwrap()),
        (3, true)
    );

    world.ops_state("arena-0", "Allocated").await;
    world.ops_state("arena-1", "Allocated").await;
    value_until(&keda, 4).await;
    // Asked for again before, and while, the fourth starts: it is the same one.
    world.replicas("arena", 4).await;
    value_until(&keda, 4).await;
    world.server("arena", 3, "None", "Creating").await;
    world.says("arena-2", &json!({"currentState": "Crash"})).await;
    value_until(&keda, 5).await;
    world.says("arena-2", &json!({"currentState": "Ready"})).await;
    value_until(&keda, 4).await;

    // A claim makes room for another server of the place; it is dying, not free.
    let claim = json!({"podUID": "p", "reason": "Update", "time": "2026-01-01T00:00:00Z"});
    world.says("arena-2", &json!({ "deletionClaim": claim })).await;
    value_until(&keda, 4).await;
    world.says("arena-2", &json!({"deletionClaim": null})).await;

    world.ops_state("arena-0", "WaitToBeDeleted").await;
    value_until(&keda, 3).await;
    world.replicas("arena", 3).await;
    world.says("arena-0", &json!({ "deletionClaim": claim })).await;
    value_until(&keda, 3).await;
    world.delete_namespace().await;
}

#[tokio::test]
async fn what_cannot_be_answered_says_why() {
    let world = World::new().await;
    world.set("arena", 1).await;
    let scaler = world.scaler().await;
    let with = async |name: &str, metadata: &[(&str, &str)]| world.keda(&scaler, name, metadata).await;

    let wrong = with("arena", &[("minAvailable", "a lot")]).await;
    for error in [
        wrong.value().await.unwrap_err(),
        wrong.is_active().await.unwrap_err(),
        wrong.metric_spec().await.unwrap_err(),
        wrong.stream().await.unwrap_err(),
    ] {
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.message().contains("minAvailable \"a lot\""), "{error}");
    }
    let error = with("arena", &[("maxAvailable", "-1")])
        .await
        .value()
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    let error = with("nobody", &[]).await.value().await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert!(
        error.message().contains("the name and the namespace of its set"),
        "{error}"
    );
    assert_eq!(
        with("", &[]).await.value().await.unwrap_err().code(),
        Code::InvalidArgument
    );

    let keda = with("arena", &[("scalerAddress", "x:6000"), ("enableTLS", "false")]).await;
    assert_eq!(keda.value().await.unwrap(), 1);
    assert_eq!(keda.unknown().await.code(), Code::Unimplemented);
    assert_eq!(keda.health("").await.unwrap(), SERVING);
    assert_eq!(keda.health(SERVICE).await.unwrap(), SERVING);
    assert_eq!(keda.health("other").await.unwrap_err().code(), Code::NotFound);
    let refused = ["method=\"GetMetrics\"", "code=\"InvalidArgument\""];
    let counted = scaler
        .process
        .metric("gamekeeper_external_scaler_requests_total", &refused)
        .await;
    assert_eq!(counted, 3);
    assert_eq!(scaler.process.writes().await, 0);
    world.delete_namespace().await;
}

//! Out, in, bounds, cooldown, and what is said about it.

use std::time::Instant;

use serde_json::{Value, json};

use crate::world::{World, seconds, settings};

#[tokio::test]
async fn players_bring_servers_and_their_leaving_takes_them_after_the_cooldown() {
    let world = World::new().await;
    world.set("arena", 1, settings(3)).await;
    let process = world.autoscaler().await;
    let status = world.reason_until("arena", "AtMinimum").await;
    assert_eq!(
        (&status["ableToScale"], &status["replicas"]),
        (&json!(true), &json!(1))
    );

    world.players("arena-0", 9).await;
    let set = world.replicas_until("arena", 2).await;
    let begun = Instant::now();
    assert_eq!(
        set["metadata"]["generation"], 2,
        "nothing but replicas was written"
    );
    let note = world.event_until("ScaledOut").await;
    assert_eq!(note, "from 1 to 2 servers: the load was above 80 %");
    let status = world.reason_until("arena", "CoolingDown").await;
    assert_eq!(status["lastScale"], note);
    world.follow("arena").await;
    world.players("arena-0", 2).await;

    // Nothing changes from here on: the end of the cooldown alone brings the set back.
    world.replicas_until("arena", 1).await;
    assert!(seconds(begun) >= 2.5, "{} s", seconds(begun));
    assert!(seconds(begun) < 8.0, "{} s", seconds(begun));
    world.event_until("ScaledIn").await;
    world.follow("arena").await;
    world.reason_until("arena", "AtMinimum").await;
    // Two changes of replicas, and a status for each reason there was.
    let writes = process.writes_by_kind().await;
    assert_eq!(writes.get("patch gameserversets scale"), Some(&2), "{writes:?}");
    world.delete_namespace().await;
}

#[tokio::test]
async fn a_set_that_is_not_at_rest_waits_and_one_that_is_full_says_so() {
    let world = World::new().await;
    world.set("arena", 3, settings(0)).await;
    for server in ["arena-0", "arena-1", "arena-2"] {
        world.players(server, 10).await;
    }
    let path = format!("{}/status", world.path("gameserversets", "arena"));
    world
        .merge(&path, &json!({"status": {"availableReplicas": 2}}))
        .await;
    let _process = world.autoscaler().await;
    world.reason_until("arena", "Settling").await;
    assert_eq!(world.set_object("arena").await["spec"]["replicas"], 3);
    let wait =
        json!([{"type": "NeedsIntervention", "status": "True", "reason": "TooManyFailures", "message": "x"}]);
    world.merge(&path, &json!({"status": {"conditions": wait}})).await;
    let status = world.reason_until("arena", "NeedsIntervention").await;
    assert_eq!(status["ableToScale"], false);
    world
        .merge(
            &path,
            &json!({"status": {"availableReplicas": 3, "conditions": []}}),
        )
        .await;
    world.replicas_until("arena", 4).await;
    world.follow("arena").await;
    world.players("arena-3", 10).await;
    let status = world.reason_until("arena", "AtMaximum").await;
    assert_eq!(
        status["message"],
        "the load is above 80 %, and 4 servers are the most"
    );
    world.delete_namespace().await;
}

#[tokio::test]
async fn replicas_outside_the_bounds_are_corrected_and_a_set_without_the_field_is_left_alone() {
    let world = World::new().await;
    world.set("plain", 9, Value::Null).await;
    world.set("arena", 9, settings(300)).await;
    let process = world.autoscaler().await;
    world.replicas_until("arena", 4).await;
    world.follow("arena").await;
    // The cooldown holds what load would do, not what was asked for.
    let path = world.path("gameserversets", "arena");
    world.merge(&path, &json!({"spec": {"replicas": 0}})).await;
    world.replicas_until("arena", 1).await;
    world.follow("arena").await;
    world.reason_until("arena", "CoolingDown").await;

    let off = json!({"spec": {"playerAutoscaling": {"enabled": false}}});
    world.merge(&path, &off).await;
    world
        .when(&path, |set| set["status"].get("playerAutoscaling").is_none())
        .await;
    let plain = world.set_object("plain").await;
    assert_eq!(
        (
            &plain["spec"]["replicas"],
            plain["status"].get("playerAutoscaling")
        ),
        (&json!(9), None)
    );
    let versions = async || {
        let sets = [world.set_object("arena").await, world.set_object("plain").await];
        sets.map(|set| set["metadata"]["resourceVersion"].clone())
    };
    let before = versions().await;
    world.players("arena-0", 10).await;
    world.players("plain-0", 10).await;
    let looks = World::looks(&process).await;
    // Something to do shows that what came before is over.
    world.set("fence", 9, settings(300)).await;
    world.replicas_until("fence", 4).await;
    assert!(World::looks(&process).await > looks);
    assert_eq!(versions().await, before);
    world.delete_namespace().await;
}

#[tokio::test]
async fn the_definition_refuses_settings_that_cannot_be_followed() {
    let world = World::new().await;
    let refused = [
        (json!({"enabled": true}), "needs maxReplicas"),
        (json!({"minReplicas": 5, "maxReplicas": 4}), "at most maxReplicas"),
        (
            json!({"scaleInThreshold": 80, "scaleOutThreshold": 80}),
            "is below scaleOutThreshold",
        ),
        (json!({"scaleOutThreshold": 101}), "100"),
        (json!({"minReplicas": 0}), "1"),
        (json!({"step": 0}), "1"),
        (json!({"cooldownSeconds": -1}), "0"),
    ];
    for (settings, expected) in refused {
        let body = json!({
            "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "metadata": {"name": "arena"},
            "spec": {"replicas": 1, "players": {"capacity": 10}, "playerAutoscaling": settings},
        });
        let error = world
            .post(&world.path("gameserversets", ""), &body)
            .await
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{settings}: {error}");
    }
    let body = json!({
        "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "metadata": {"name": "arena"},
        "spec": {"replicas": 1, "playerAutoscaling": settings(0)},
    });
    let error = world
        .post(&world.path("gameserversets", ""), &body)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("needs players.capacity"), "{error}");
    world.delete_namespace().await;
}

#[tokio::test]
async fn players_who_came_while_nothing_was_scaled_count_when_a_set_opts_in() {
    let world = World::new().await;
    world.set("arena", 1, Value::Null).await;
    let flags = ["--leader-elect=false", "--rest-after", "200ms"];
    let process = world.autoscaler_as(&world.kubeconfig, &flags).await;
    let resting = async |wanted: u64| {
        let watch = ["watch=\"gameservers\""];
        process
            .metric_until("gamekeeper_watch_resting", &watch, |now| now == wanted)
            .await;
    };
    resting(1).await;
    world.players("arena-0", 9).await;

    let opt = async |settings: Value| {
        let body = json!({"spec": {"playerAutoscaling": settings}});
        world.merge(&world.path("gameserversets", "arena"), &body).await;
        world.follow("arena").await;
    };
    opt(settings(0)).await;
    world.replicas_until("arena", 2).await;
    resting(0).await;

    opt(Value::Null).await;
    resting(1).await;
    world.delete_namespace().await;
}

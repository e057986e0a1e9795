//! What is reported is what the GameServer says, written no more often than it changes.

use serde_json::{Value, json};

use crate::{process::Api, world::World};

#[tokio::test]
async fn every_report_is_in_the_status_when_it_is_answered() {
    let world = World::new().await;
    let server = world.server("arena-0").await;
    // Without an interval each is written at once.
    let api = Api::start(&world, &["--write-interval", "0s"]).await;
    let stored = json!({"stored": true});
    for (method, path, body) in [
        ("PUT", "/v1/self/players", json!({"count": 3, "capacity": 8})),
        ("PUT", "/v1/self/state", json!({"state": "Running"})),
        (
            "PUT",
            "/v1/self/health",
            json!({"health": "Failed", "reason": "no map"}),
        ),
    ] {
        let answer = api.tell(&server, method, path, body).await;
        assert_eq!((answer.status, answer.json()), (200, stored.clone()), "{path}");
    }
    let status = world.game_server("arena-0").await["status"].clone();
    assert_eq!(
        (&status["players"]["count"], &status["players"]["capacity"]),
        (&json!(3), &json!(8))
    );
    let reported = &status["reported"];
    assert_eq!(
        [
            &reported["podUID"],
            &reported["state"],
            &reported["health"],
            &reported["healthReason"]
        ],
        [
            &json!(server.pod_uid),
            &json!("Running"),
            &json!("Failed"),
            &json!("no map")
        ]
    );
    assert!(reported["heartbeatAt"].is_string() && reported["reportedAt"].is_string());

    let body = json!({"players": {"count": 4}, "state": "PostMatch", "health": "Healthy"});
    assert_eq!(
        api.tell(&server, "PUT", "/v1/self/report", body).await.status,
        200
    );
    let status = world.game_server("arena-0").await["status"].clone();
    assert_eq!(
        status["players"]["capacity"], 8,
        "what is not mentioned stays: {status:#}"
    );
    assert_eq!(status["players"]["count"], 4);
    assert_eq!(status["reported"]["state"], "PostMatch");
    assert_eq!(status["reported"]["healthReason"], Value::Null);
    world.delete_namespace().await;
}

#[tokio::test]
async fn only_changes_are_written_and_those_that_come_together_are_one_write() {
    let world = World::new().await;
    let server = world.server("arena-0").await;
    let api = Api::start(&world, &["--write-interval", "1s", "--server-rate", "1000"]).await;
    api.knows(&server).await;
    let report = async |count: u32| {
        api.tell(&server, "PUT", "/v1/self/players", json!({"count": count}))
            .await
            .status
    };
    assert_eq!(report(1).await, 200);
    world.players_when("arena-0", 1).await;
    for _ in 0..20 {
        assert_eq!(report(1).await, 200, "the same again is stored already");
    }
    assert_eq!(api.process.writes().await, 1);
    let begun = std::time::Instant::now();
    let mut answers: Vec<u16> = Vec::new();
    for count in 2..=20 {
        answers.push(report(count).await);
    }
    assert!(answers.contains(&202), "{answers:?}");
    world.players_when("arena-0", 20).await;
    let (writes, most) = (api.process.writes().await, begun.elapsed().as_secs() + 3);
    assert!(writes <= most, "{writes} writes of 20 changes");
    // A caller that wants to know waits.
    let answer = api
        .tell(&server, "PUT", "/v1/self/players?wait=true", json!({"count": 21}))
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        world.game_server("arena-0").await["status"]["players"]["count"],
        21
    );

    // Nothing is written while nothing is said; and nothing for heartbeats that nobody asks for.
    let writes = api.process.writes().await;
    for _ in 0..5 {
        let answer = api.tell(&server, "POST", "/v1/self/heartbeat", Value::Null).await;
        assert_eq!(answer.status, 200);
    }
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    assert_eq!(api.process.writes().await, writes);
    world.delete_namespace().await;
}

/// Others change the GameServer all the time; none of it is lost, and none of theirs.
#[tokio::test]
async fn writes_of_others_are_neither_lost_nor_overwritten() {
    let world = World::new().await;
    let server = world.server("arena-0").await;
    let api = Api::start(&world, &["--write-interval", "0s", "--server-rate", "1000"]).await;
    api.knows(&server).await;
    let path = world.path("gameservers", "arena-0");
    let status = format!("{path}/status");
    let others = async {
        for round in 0..30 {
            world
                .merge(
                    &path,
                    &json!({"metadata": {"labels": {"round": round.to_string()}}}),
                )
                .await;
            world
                .merge(
                    &status,
                    &json!({"status": {"currentState": "Ready", "updatePriority": round.to_string()}}),
                )
                .await;
        }
    };
    let reports = async {
        for count in 1..=30 {
            let answer = api
                .tell(&server, "PUT", "/v1/self/players", json!({"count": count}))
                .await;
            assert!(matches!(answer.status, 200 | 202), "{answer:?}");
        }
    };
    tokio::join!(others, reports);
    let found = world.players_when("arena-0", 30).await;
    assert_eq!(
        (&found["updatePriority"], &found["currentState"]),
        (&json!("29"), &json!("Ready"))
    );
    world.delete_namespace().await;
}

#[tokio::test]
async fn a_new_pod_of_the_name_starts_with_nothing() {
    let world = World::new().await;
    world.set(json!({})).await;
    let first = world.server("arena-0").await;
    let api = Api::start(&world, &["--write-interval", "0s"]).await;
    let full = json!({"players": {"count": 5, "capacity": 9}, "state": "Running", "health": "Failed", "healthReason": "x"});
    assert_eq!(api.tell(&first, "PUT", "/v1/self/report", full).await.status, 200);
    // The GameServer stays, as under reclaimPolicy Delete.
    let path = world.path("gameservers", "arena-0");
    world
        .merge(&path, &json!({"metadata": {"ownerReferences": null}}))
        .await;
    world.delete(&world.path("pods", "arena-0"), &json!({})).await;
    let second = world.pod("arena-0").await;
    let itself = api.tell(&second, "GET", "/v1/self", Value::Null).await.json();
    assert_eq!(
        (&itself["players"], &itself["reported"]),
        (&Value::Null, &Value::Null)
    );
    let refused = api
        .with_code(&first.code, "PUT", "/v1/self/players", &json!({"count": 6}))
        .await;
    assert_eq!(refused.status, 401, "the code of the Pod before");
    let body = json!({"health": "Healthy"});
    assert_eq!(
        api.tell(&second, "PUT", "/v1/self/health", body).await.status,
        200
    );
    let status = world.game_server("arena-0").await["status"].clone();
    assert_eq!(status["players"], Value::Null, "{status:#}");
    let reported = status["reported"].as_object().unwrap();
    let fields: Vec<&str> = reported.keys().map(String::as_str).collect();
    assert_eq!(fields, ["health", "heartbeatAt", "podUID", "reportedAt"]);
    assert_eq!(reported["podUID"], second.pod_uid);
    world.delete_namespace().await;
}

#[tokio::test]
async fn heartbeats_are_renewed_where_the_set_asks_for_them() {
    let world = World::new().await;
    world
        .set(json!({"failurePolicy": {"heartbeatTimeoutSeconds": 5}}))
        .await;
    let server = world.server("arena-0").await;
    let api = Api::start(&world, &["--server-rate", "1000"]).await;
    let beat = async || {
        api.tell(&server, "POST", "/v1/self/heartbeat", Value::Null)
            .await
            .status
    };
    assert_eq!(beat().await, 200);
    let first = world.game_server("arena-0").await["status"]["reported"]["heartbeatAt"].clone();
    assert!(first.is_string(), "{first}");
    let begun = std::time::Instant::now();
    let renewed = async || {
        beat().await;
        world.game_server("arena-0").await["status"]["reported"]["heartbeatAt"].clone()
    };
    test_bed::eventually("renewed heartbeat", renewed, |time| *time != first).await;
    let after = begun.elapsed();
    assert!(after >= std::time::Duration::from_millis(1_500), "{after:?}");
    assert_eq!(api.process.writes().await, 2, "one third of the timeout apart");
    world.delete_namespace().await;
}

#[tokio::test]
async fn a_server_reads_itself_and_asks_to_be_deleted() {
    let world = World::new().await;
    world.set(json!({})).await;
    let server = world.server("arena-0").await;
    let api = Api::start(&world, &[]).await;
    let status = format!("{}/status", world.path("gameservers", "arena-0"));
    let network = json!({"networkType": "Kubernetes-HostPort", "currentNetworkState": "Ready"});
    world
        .merge(
            &status,
            &json!({"status": {"currentState": "Ready", "networkStatus": network}}),
        )
        .await;
    let read = async || api.tell(&server, "GET", "/v1/self", Value::Null).await.json();
    let itself = test_bed::eventually("its state", read, |itself| itself["state"] == "Ready").await;
    assert_eq!(
        itself,
        json!({
            "name": "arena-0", "namespace": world.namespace, "set": "arena", "podUID": server.pod_uid, "nodeName": null,
            "opsState": "Allocated", "state": "Ready", "markedForDeletion": false, "network": network,
        })
    );
    for _ in 0..2 {
        let answer = api.tell(&server, "POST", "/v1/self/deletion", Value::Null).await;
        assert_eq!((answer.status, answer.json()), (200, json!({"stored": true})));
    }
    let spec = world.game_server("arena-0").await["spec"].clone();
    assert_eq!(spec, json!({"opsState": "Allocated", "markedForDeletion": true}));
    let claim = json!({"podUID": server.pod_uid, "reason": "ScaleIn", "time": "2026-01-01T00:00:00Z"});
    world
        .merge(&status, &json!({"status": {"deletionClaim": claim}}))
        .await;
    let itself = test_bed::eventually("its end", read, |itself| itself["deletion"].is_object()).await;
    assert_eq!(itself["deletion"]["reason"], "ScaleIn");
    assert_eq!(itself["markedForDeletion"], true);
    world.delete_namespace().await;
}

#[tokio::test]
async fn what_was_accepted_is_written_before_the_process_ends() {
    let world = World::new().await;
    let server = world.server("arena-0").await;
    let mut api = Api::start(&world, &["--write-interval", "1h"]).await;
    assert_eq!(
        api.tell(&server, "PUT", "/v1/self/players", json!({"count": 1}))
            .await
            .status,
        200
    );
    let answer = api
        .tell(&server, "PUT", "/v1/self/players", json!({"count": 2}))
        .await;
    assert_eq!((answer.status, answer.json()), (202, json!({"stored": false})));
    assert!(api.process.terminate().await.success());
    assert_eq!(
        world.game_server("arena-0").await["status"]["players"]["count"],
        2
    );
    world.delete_namespace().await;
}

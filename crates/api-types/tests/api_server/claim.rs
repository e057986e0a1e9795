//! The deletion claim: allocation and deletion of a server are in one order.

use serde_json::{Value, json};

use crate::{
    cluster::{Answer, Cluster, Objects},
    objects::base,
};

const CLAIMED: &str = "this game server is being deleted and can no longer be allocated";

fn claim() -> Value {
    json!({ "podUID": "6f6b6a3e-0000-4000-8000-000000000001", "reason": "ScaleIn", "time": "2026-01-02T03:04:05Z" })
}

/// Claims the server as it was when `seen` was read.
async fn claim_as_seen(objects: &Objects<'_>, seen: &Value) -> Answer {
    let metadata =
        json!({ "uid": seen["metadata"]["uid"], "resourceVersion": seen["metadata"]["resourceVersion"] });
    objects
        .patch(
            seen,
            "/status",
            &json!({ "metadata": metadata, "status": { "deletionClaim": claim() } }),
        )
        .await
}

async fn set_ops_state(objects: &Objects<'_>, server: &Value, ops_state: &str) -> Answer {
    objects
        .patch(server, "", &json!({ "spec": { "opsState": ops_state } }))
        .await
}

#[tokio::test]
async fn a_claimed_server_cannot_be_allocated() {
    let cluster = Cluster::connect().await;
    cluster
        .in_namespace(async |objects| {
            let server = objects.create(&base("server")).await.granted();
            claim_as_seen(objects, &server).await.granted();

            let refused = set_ops_state(objects, &server, "Allocated").await;
            assert_eq!(refused.code, 422);
            assert!(refused.message().contains(CLAIMED), "{}", refused.message());
            set_ops_state(objects, &server, "Maintaining").await.granted();

            objects
                .patch(
                    &server,
                    "/status",
                    &json!({ "status": { "deletionClaim": null } }),
                )
                .await
                .granted();
            set_ops_state(objects, &server, "Allocated").await.granted();
            Vec::new()
        })
        .await;
}

#[tokio::test]
async fn a_claim_on_a_server_without_a_spec_counts_too() {
    let cluster = Cluster::connect().await;
    cluster
        .in_namespace(async |objects| {
            let mut server = base("server");
            server.as_object_mut().unwrap().remove("spec");
            let server = objects.create(&server).await.granted();
            claim_as_seen(objects, &server).await.granted();
            assert_eq!(set_ops_state(objects, &server, "Allocated").await.code, 422);
            Vec::new()
        })
        .await;
}

#[tokio::test]
async fn a_claim_decided_before_an_allocation_is_stale() {
    let cluster = Cluster::connect().await;
    cluster
        .in_namespace(async |objects| {
            let server = objects.create(&base("server")).await.granted();
            set_ops_state(objects, &server, "Allocated").await.granted();
            assert_eq!(claim_as_seen(objects, &server).await.code, 409);
            assert!(objects.read(&server, "").await["status"]["deletionClaim"].is_null());
            Vec::new()
        })
        .await;
}

/// Only becoming Allocated is refused: an allocated server can be claimed, and everything else of it changed.
#[tokio::test]
async fn an_allocated_server_can_be_claimed_but_not_allocated_again() {
    let cluster = Cluster::connect().await;
    cluster
        .in_namespace(async |objects| {
            let mut server = base("server");
            server["spec"]["opsState"] = json!("Allocated");
            let server = objects.create(&server).await.granted();
            claim_as_seen(objects, &server).await.granted();
            objects
                .patch(&server, "", &json!({ "spec": { "deletionPriority": 5 } }))
                .await
                .granted();
            set_ops_state(objects, &server, "None").await.granted();
            assert_eq!(set_ops_state(objects, &server, "Allocated").await.code, 422);
            Vec::new()
        })
        .await;
}

#[tokio::test]
async fn of_a_claim_and_an_allocation_at_once_exactly_one_succeeds() {
    const ROUNDS: usize = 60;
    let cluster = Cluster::connect().await;
    cluster
        .in_namespace(async |objects| {
            let mut failures = Vec::new();
            let mut claims = 0;
            for round in 0..ROUNDS {
                let server = objects.create(&base("server")).await.granted();
                // Which of them is sent first alternates, so that each order has a chance to win.
                let (claimed, allocated) = if round % 2 == 0 {
                    tokio::join!(
                        claim_as_seen(objects, &server),
                        set_ops_state(objects, &server, "Allocated")
                    )
                } else {
                    let (allocated, claimed) = tokio::join!(
                        set_ops_state(objects, &server, "Allocated"),
                        claim_as_seen(objects, &server)
                    );
                    (claimed, allocated)
                };
                claims += usize::from(claimed.is_success());
                if claimed.is_success() == allocated.is_success() {
                    failures.push(format!(
                        "round {round}: claim {}, allocation {}",
                        claimed.code, allocated.code
                    ));
                }
            }
            println!("{claims} of {ROUNDS} claims came first");
            failures
        })
        .await;
}

#[tokio::test]
async fn a_claim_names_its_pod_reason_and_time() {
    let cluster = Cluster::connect().await;
    cluster
        .in_namespace(async |objects| {
            let server = objects.create(&base("server")).await.granted();
            for field in ["podUID", "reason", "time"] {
                let mut partial = claim();
                partial.as_object_mut().unwrap().remove(field);
                let answer = objects
                    .patch(
                        &server,
                        "/status",
                        &json!({ "status": { "deletionClaim": partial } }),
                    )
                    .await;
                assert_eq!(answer.code, 422, "{field}");
                assert!(
                    answer
                        .message()
                        .contains(&format!("status.deletionClaim.{field}")),
                    "{}",
                    answer.message()
                );
            }
            Vec::new()
        })
        .await;
}

//! Connections: TLS, a certificate that changes, the end; and the document.

use std::process::Command;

use serde_json::{Value, json};
use test_bed::eventually;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{process::Api, world::World};

#[tokio::test]
async fn a_new_certificate_is_used_without_a_restart_and_a_broken_one_never() {
    let world = World::new().await;
    let api = Api::start(&world, &[]).await;
    let loads = async |outcome: &str| {
        let labels = [format!("outcome=\"{outcome}\"")];
        api.process
            .metric("gamekeeper_game_api_certificate_loads_total", &[&labels[0]])
            .await
    };
    assert!(api.connect().await.is_ok());
    let good = std::fs::read(api.files.path("tls.crt")).unwrap();
    std::fs::write(api.files.path("tls.crt"), "no certificate").unwrap();
    eventually(
        "refused certificate",
        async || loads("failed").await,
        |count| *count > 0,
    )
    .await;
    std::fs::write(api.files.path("tls.crt"), good).unwrap();
    assert!(api.connect().await.is_ok(), "the one in use stays");
    api.files.renew();
    // The client trusts what the files hold now, and nothing else.
    eventually("new certificate", async || api.connect().await.is_ok(), |ok| *ok).await;
    world.delete_namespace().await;
}

#[tokio::test]
async fn plain_http_is_no_answer_and_needs_a_flag() {
    let world = World::new().await;
    let api = Api::start(&world, &[]).await;
    let mut stream = TcpStream::connect(("127.0.0.1", api.port)).await.unwrap();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    let kubeconfig = world.kubeconfig.to_string_lossy().into_owned();
    let without = Command::new(env!("CARGO_BIN_EXE_game-api"))
        .args([
            "--kubeconfig",
            &kubeconfig,
            "--admin-address",
            "127.0.0.1:0",
            "--listen-address",
            "127.0.0.1:0",
        ])
        .output()
        .unwrap();
    assert!(!without.status.success());
    let said = String::from_utf8_lossy(&without.stderr);
    assert!(said.contains("--tls-cert-file"), "{said}");
    world.delete_namespace().await;
}

#[tokio::test]
async fn one_address_does_not_take_all_connections() {
    let world = World::new().await;
    let api = Api::start(&world, &["--address-connections", "3"]).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(api.connect().await.unwrap());
    }
    assert!(api.connect().await.is_err());
    drop(held);
    eventually("a free place", async || api.connect().await.is_ok(), |ok| *ok).await;
    world.delete_namespace().await;
}

#[tokio::test]
async fn the_end_waits_for_requests_and_not_for_idle_connections() {
    let world = World::new().await;
    let api = Api::start(&world, &["--linger", "1s"]).await;
    let _idle = api.connect().await.unwrap();
    let begun = std::time::Instant::now();
    api.process.signal("TERM");
    // Not ready any more, and still serving.
    let ready = async || api.process.get("/readyz").await.map(|answer| answer.0);
    eventually("not ready", ready, |status| *status == Some(503)).await;
    assert_eq!(api.ask("GET", "/healthz", &[], "").await.status, 200);
    let ended = async || api.process.get("/livez").await.is_none();
    eventually("the end", ended, |ended| *ended).await;
    let after = begun.elapsed();
    assert!(after >= std::time::Duration::from_secs(1), "{after:?}");
    assert!(after < std::time::Duration::from_secs(12), "{after:?}");
    world.delete_namespace().await;
}

/// Every operation of the document is there, and answers only what the document says.
#[tokio::test]
async fn the_document_is_true() {
    let world = World::new().await;
    let server = world.server("arena-0").await;
    let api = Api::start(&world, &["--compat", "--server-rate", "1000"]).await;
    api.knows(&server).await;
    let document = api.ask("GET", "/openapi.json", &[], "").await.json();
    let checked_in: Value = serde_json::from_str(include_str!("../../openapi.json")).unwrap();
    assert_eq!(document, checked_in);
    let bodies = [
        ("reportPlayers", json!({"count": 1, "capacity": 2})),
        ("reportState", json!({"state": "Idle"})),
        ("reportHealth", json!({"health": "Healthy", "reason": "x"})),
        ("report", json!({"players": {"count": 1}, "state": "Idle"})),
        ("setActivePlayers", json!({"playerCount": 1})),
        ("setMarkedForDeletion", json!({"markedForDeletion": true})),
    ];
    let mut operations = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            let body = bodies
                .iter()
                .find(|(known, _)| *known == id)
                .map(|(_, body)| body);
            let default = match id {
                id if id.starts_with("setState") => json!({"state": "Running"}),
                id if id.starts_with("setHealth") => json!({"health": "Healthy"}),
                _ => Value::Null,
            };
            let body = body.unwrap_or(&default);
            let wrong = json!({"nonsense": true});
            for (code, body) in [(server.code.as_str(), body), ("x", body), (&server.code, &wrong)] {
                let answer = api.with_code(code, &method.to_uppercase(), path, body).await;
                let known = operation["responses"].get(answer.status.to_string());
                assert!(known.is_some(), "{id} answers {answer:?}");
            }
            operations += 1;
        }
    }
    assert!(operations >= 18, "{operations}");
    world.delete_namespace().await;
}

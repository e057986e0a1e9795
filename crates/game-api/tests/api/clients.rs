//! The clients in `clients/`, as they are, against the real program.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};

use crate::{
    process::Api,
    world::{Server, World},
};

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// Runs a client with a server's environment.
async fn run(mut command: Command, api: &Api, code: &str, arguments: &[&str]) -> Output {
    command
        .args(arguments)
        .env("API_SERVER_URL", format!("https://localhost:{}", api.port))
        .env("API_SERVER_CODE", code)
        .env("API_SERVER_CA_FILE", api.files.path("tls.crt"));
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

async fn plays(client: impl Fn() -> Command, world: &World, api: &Api, server: &Server, health: &str) {
    let all = [
        "players=3/8",
        "state=Running",
        &format!("health={health}:no-map"),
        "players=4",
        "heartbeat",
        "self",
        "deletion",
    ];
    let output = run(client(), api, &server.code, &all).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    let answers: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), all.len(), "{said}");
    assert!(
        answers[..5].iter().all(|answer| answer["stored"] == true),
        "{said}"
    );
    assert_eq!(answers[5]["name"], server.name.as_str());
    let found = world.game_server(&server.name).await;
    let status = &found["status"];
    assert_eq!(
        [
            &status["players"]["count"],
            &status["players"]["capacity"],
            &status["reported"]["state"],
            &status["reported"]["health"],
            &status["reported"]["healthReason"],
            &found["spec"]["markedForDeletion"]
        ],
        [
            &json!(4),
            &json!(8),
            &json!("Running"),
            &json!(health),
            &json!("no-map"),
            &json!(true)
        ]
    );

    let wrong = server.code.replace("gk1_", "gk1_0");
    let output = run(client(), api, &wrong, &["players=1"]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("401 Unauthorized"),
        "{said}"
    );
    let output = run(client(), api, &server.code, &["state=Paused"]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("400 Invalid"), "{said}");
}

#[tokio::test]
async fn the_python_client_speaks_for_its_server() {
    let world = World::new().await;
    let server = world.server("arena-0").await;
    let api = Api::start(&world, &[]).await;
    api.knows(&server).await;
    let client = || {
        let mut command = Command::new("python3");
        command.arg(clients().join("python/gamekeeper.py"));
        command
    };
    plays(client, &world, &api, &server, "Healthy").await;
    world.delete_namespace().await;
}

#[tokio::test]
async fn the_go_client_speaks_for_its_server() {
    let world = World::new().await;
    let server = world.server("arena-0").await;
    let api = Api::start(&world, &[]).await;
    api.knows(&server).await;
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("client");
    let mut build = Command::new("go");
    build
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(clients().join("go"));
    let built = tokio::task::spawn_blocking(move || build.output().unwrap())
        .await
        .unwrap();
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    plays(|| Command::new(&program), &world, &api, &server, "Failed").await;
    world.delete_namespace().await;
}

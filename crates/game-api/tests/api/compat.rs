//! The paths of Azure's dedicated game servers.

use serde_json::{Value, json};
use test_bed::eventually;

use crate::{process::Api, world::World};

#[tokio::test]
async fn programs_of_the_other_system_work_with_both_spellings() {
    let world = World::new().await;
    let server = world.server("arena-0").await;
    let api = Api::start(
        &world,
        &["--compat", "--write-interval", "0s", "--server-rate", "1000"],
    )
    .await;
    api.knows(&server).await;
    let post = async |path: &str, body: Value| {
        // As that system's clients do it: the code in the URL, no header at all.
        let path = format!("{path}?code={}", server.code);
        let answer = api.ask("POST", &path, &[], &body.to_string()).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        world.game_server("arena-0").await
    };
    let named = |field: &str, value: Value| json!({"serverName": "arena-0", "namespace": world.namespace, field: value});
    let found = post("/setactiveplayers", named("playerCount", json!(7))).await;
    assert_eq!(found["status"]["players"]["count"], 7);
    for (path, state) in [("/setdgsstate", "Assigned"), ("/setsdgsstate", "Running")] {
        let found = post(path, named("state", json!(state))).await;
        assert_eq!(found["status"]["reported"]["state"], state, "{path}");
    }
    for (path, health) in [("/setsdgshealth", "Healthy"), ("/setdgshealth", "Failed")] {
        let found = post(path, named("health", json!(health))).await;
        assert_eq!(found["status"]["reported"]["health"], health, "{path}");
    }
    let found = post(
        "/setdgsmarkedfordeletion",
        named("markedForDeletion", json!(false)),
    )
    .await;
    assert_eq!(found["spec"].get("markedForDeletion"), None);
    let found = post(
        "/setdgsmarkedfordeletion",
        named("markedForDeletion", json!(true)),
    )
    .await;
    assert_eq!(found["spec"]["markedForDeletion"], true);
    assert_eq!(api.ask("GET", "/healthz", &[], "").await.status, 200);

    // What was set cannot be taken back by the server.
    let path = format!("/setdgsmarkedfordeletion?code={}", server.code);
    let back = named("markedForDeletion", json!(false)).to_string();
    let ask = async || api.ask("POST", &path, &[], &back).await.status;
    eventually("refusal", ask, |status| *status == 403).await;
    assert_eq!(
        world.game_server("arena-0").await["spec"]["markedForDeletion"],
        true
    );
    world.delete_namespace().await;
}

/// Path, body, and the status of the refusal.
fn unsafe_or_wrong(world: &World) -> Vec<(&'static str, Value, u16)> {
    let about = |name: &str, field: &str, value: Value| json!({"serverName": name, "namespace": world.namespace, field: value});
    vec![
        (
            "/setactiveplayers",
            about("arena-1", "playerCount", json!(7)),
            403,
        ),
        ("/setdgsstate", about("arena-1", "state", json!("Running")), 403),
        ("/setsdgshealth", about("arena-1", "health", json!("Failed")), 403),
        (
            "/setdgsmarkedfordeletion",
            about("arena-1", "markedForDeletion", json!(true)),
            403,
        ),
        (
            "/setactiveplayers",
            json!({"serverName": "arena-0", "namespace": "default", "playerCount": 1}),
            403,
        ),
        (
            "/setactiveplayers",
            about("arena-0", "playerCount", json!(-1)),
            400,
        ),
        (
            "/setactiveplayers",
            about("arena-0", "playerCount", json!(1e12)),
            400,
        ),
        ("/setactiveplayers", about("arena-0", "count", json!(1)), 400),
        ("/setdgsstate", about("arena-0", "state", json!("Sleeping")), 400),
        (
            "/setsdgshealth",
            about("arena-0", "health", json!("NeedsIntervention")),
            400,
        ),
        (
            "/setdgsmarkedfordeletion",
            about("arena-0", "markedForDeletion", json!("yes")),
            400,
        ),
        (
            "/create",
            json!({"metadata": {"name": "x"}, "spec": {"replicas": 3}}),
            403,
        ),
    ]
}

#[tokio::test]
async fn what_was_unsafe_there_is_refused() {
    let world = World::new().await;
    let (one, two) = (world.server("arena-0").await, world.server("arena-1").await);
    let api = Api::start(&world, &["--compat", "--server-rate", "1000"]).await;
    api.knows(&one).await;
    api.knows(&two).await;
    for (path, body, status) in unsafe_or_wrong(&world) {
        let answer = api
            .ask(
                "POST",
                &format!("{path}?code={}", one.code),
                &[],
                &body.to_string(),
            )
            .await;
        assert_eq!(answer.status, status, "{path} {body}: {answer:?}");
        assert!(!answer.body.is_empty());
        let without = api
            .ask("POST", &format!("{path}?code="), &[], &body.to_string())
            .await;
        assert!(matches!(without.status, 401 | 403), "{path}: {without:?}");
    }
    for path in ["/delete?name=arena", "/running"] {
        let answer = api.ask("GET", path, &[], "").await;
        assert_eq!(answer.status, 403, "{path}: {answer:?}");
    }
    assert_eq!(api.process.writes().await, 0);
    world.delete_namespace().await;
}

#[tokio::test]
async fn administrators_list_what_runs() {
    let world = World::new().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("code");
    std::fs::write(&file, "short").unwrap();
    let flags = ["--compat", "--admin-code-file", file.to_str().unwrap()];
    let api = Api::start(&world, &flags).await;
    let (one, two) = (world.server("arena-0").await, world.server("arena-1").await);
    for server in [&one, &two] {
        let status = format!("{}/status", world.path("pods", &server.name));
        world
            .strategic_merge(&status, &json!({"status": {"phase": "Running"}}))
            .await;
    }
    let report = json!({"players": {"count": 4}, "health": "Healthy", "state": "Running"});
    assert_eq!(api.tell(&one, "PUT", "/v1/self/report", report).await.status, 200);
    let list = async |code: &str| api.ask("GET", &format!("/running?code={code}"), &[], "").await;
    assert_eq!(list("short").await.status, 503, "too short to count");
    std::fs::write(&file, "long-enough-to-count\n").unwrap();
    assert_eq!(list(&one.code).await.status, 401);
    let running = async || list("long-enough-to-count").await;
    let answer = eventually("a list of one", running, |answer| {
        answer.status == 200 && answer.json().as_array().unwrap().len() == 1
    })
    .await;
    let server = &answer.json()[0];
    assert_eq!(server["metadata"]["name"], "arena-0");
    assert_eq!(
        (&server["status"]["activePlayers"], &server["status"]["dgsState"]),
        (&json!(4), &json!("Running"))
    );
    assert!(!answer.body.contains("gk1_"));
    world.delete_namespace().await;
}

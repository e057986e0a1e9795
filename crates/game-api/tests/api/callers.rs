//! Who a caller is: its code, or a token that is bound to its Pod; and that neither is ever logged.

use serde_json::{Value, json};
use test_bed::{Scope, allow, eventually, rules, service_account};

use crate::{
    process::Api,
    world::{Server, World},
};

const AUDIENCE: &str = "gamekeeper-game-api";

/// A token of the namespace's default account, as a kubelet gets one for a Pod.
async fn token(world: &World, audience: &str, pod: Option<&Server>) -> String {
    let mut spec = json!({"audiences": [audience], "expirationSeconds": 600});
    if let Some(pod) = pod {
        spec["boundObjectRef"] =
            json!({"kind": "Pod", "apiVersion": "v1", "name": pod.name, "uid": pod.pod_uid});
    }
    let ask = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    let path = format!("{}/token", world.path("serviceaccounts", "default"));
    let made = world.post(&path, &ask).await.unwrap();
    made["status"]["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_token_bound_to_the_pod_is_as_good_as_its_code() {
    let world = World::new().await;
    let server = world.server("arena-0").await;
    let api = Api::start(&world, &["--token-audience", AUDIENCE, "--write-interval", "0s"]).await;
    api.knows(&server).await;
    let good = token(&world, AUDIENCE, Some(&server)).await;
    for count in [3, 4] {
        let answer = api
            .with_code(&good, "PUT", "/v1/self/players", &json!({"count": count}))
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    world.players_when("arena-0", 4).await;
    let refused = [
        token(&world, AUDIENCE, None).await,
        token(&world, "https://kubernetes.default.svc", Some(&server)).await,
        format!("{good}x"),
        "e30.e30.e30".to_owned(),
        "x".repeat(100),
        format!("{}.{}.x", "y".repeat(9_000), "z"),
    ];
    for token in refused {
        let answer = api
            .with_code(&token, "PUT", "/v1/self/players", &json!({"count": 9}))
            .await;
        assert_eq!(answer.status, 401, "{token:.40}: {answer:?}");
    }
    // The token of a Pod that is gone is nobody's, though the API server's word of it is remembered.
    world.delete(&world.path("pods", "arena-0"), &json!({})).await;
    let ask = async || {
        api.with_code(&good, "PUT", "/v1/self/players", &json!({"count": 9}))
            .await
            .status
    };
    eventually("refused token", ask, |status| *status == 401).await;
    let again = world.pod("arena-0").await;
    let status = async || {
        api.with_code(&again.code, "GET", "/v1/self", &Value::Null)
            .await
            .status
    };
    eventually("the new Pod", status, |status| *status != 401).await;
    assert_eq!(ask().await, 401);
    world.delete_namespace().await;
}

#[tokio::test]
async fn the_rights_are_enough() {
    let world = World::new().await;
    let kubeconfig = service_account(&world, "game-api").await;
    let own = rules("game-api", "ClusterRole");
    allow(&world, "game-api", "game-api", &own, Scope::Namespace).await;
    let reviews =
        json!({"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]});
    allow(&world, "game-api", "game-api-tokens", &[reviews], Scope::Cluster).await;
    let server = world.server("arena-0").await;
    let api = Api::start_as(&world, &kubeconfig, &["--token-audience", AUDIENCE]).await;
    let body = json!({"players": {"count": 2}, "health": "Healthy"});
    assert_eq!(
        api.tell(&server, "PUT", "/v1/self/report", body).await.status,
        200
    );
    let bound = token(&world, AUDIENCE, Some(&server)).await;
    let answer = api
        .with_code(&bound, "POST", "/v1/self/deletion", &Value::Null)
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    // One that changed behind its back is read.
    let path = format!("{}/status", world.path("gameservers", "arena-0"));
    for round in 0..20 {
        let change = json!({"status": {"updatePriority": round.to_string()}});
        let others = world.merge(&path, &change);
        let body = json!({"count": round + 3});
        let report = api.tell(&server, "PUT", "/v1/self/players?wait=true", body);
        let (_, answer) = tokio::join!(others, report);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(api.process.forbidden().await, 0, "requests were refused");
    world.delete_namespace().await;
}

/// Everything is logged, and each way a secret could get there is tried.
#[tokio::test]
async fn no_secret_is_ever_logged() {
    let world = World::new().await;
    let server = world.server("arena-0").await;
    let directory = tempfile::tempdir().unwrap();
    let admin = directory.path().join("admin");
    std::fs::write(&admin, "the-code-of-administrators\n").unwrap();
    let flags = [
        "--log-level",
        "trace",
        "--token-audience",
        AUDIENCE,
        "--compat",
        "--admin-code-file",
        admin.to_str().unwrap(),
        "--server-rate",
        "1000",
    ];
    let mut api = Api::start(&world, &flags).await;
    api.knows(&server).await;
    let token = token(&world, AUDIENCE, Some(&server)).await;
    let wrong = server.code.replace("arena-0", "arena-9");
    for credential in [&server.code, &token, &wrong] {
        for body in [json!({"count": 7}), json!({"count": "x"})] {
            api.with_code(credential, "PUT", "/v1/self/players", &body).await;
            let path = format!("/setactiveplayers?code={credential}");
            api.ask("POST", &path, &[], &body.to_string()).await;
        }
        api.raw(format!("GARBAGE {credential}\r\n\r\n").as_bytes()).await;
    }
    let listed = api
        .ask("GET", "/running?code=the-code-of-administrators", &[], "")
        .await;
    assert_eq!(listed.status, 200);
    // A Pod that cannot be decoded would be told in the log.
    world
        .merge(
            &world.path("pods", "arena-0"),
            &json!({"metadata": {"annotations": {"a": "b"}}}),
        )
        .await;
    assert!(api.process.terminate().await.success());
    let log = api.process.log();
    assert!(
        log.contains("serving") && log.contains("TRACE"),
        "everything is logged"
    );
    let secret = &server.code[4..68];
    let signature = token.rsplit('.').next().unwrap();
    for secret in [secret, signature, "the-code-of-administrators"] {
        let shown = log.lines().find(|line| line.contains(secret));
        assert_eq!(shown, None);
    }
    world.delete_namespace().await;
}

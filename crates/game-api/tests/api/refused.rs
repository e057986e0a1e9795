//! Whatever is forged or malformed is refused with a clear 4xx, and changes nothing.

use serde_json::{Value, json};

use crate::{
    process::{Answer, Api},
    world::{Server, World},
};

/// Every GameServer's spec and status, and every version.
async fn everything(world: &World) -> Value {
    let list = world.get(&world.path("gameservers", "")).await.unwrap();
    list["items"].clone()
}

async fn two_servers(world: &World, api: &Api) -> (Server, Server) {
    let (one, other) = (world.server("arena-0").await, world.server("arena-1").await);
    api.knows(&one).await;
    api.knows(&other).await;
    (one, other)
}

fn check(what: &str, answer: &Answer, status: u16, reason: &str) {
    assert_eq!(
        answer.refusal(),
        (status, reason.to_owned()),
        "{what}: {answer:?}"
    );
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.len() > 5, "{what}: {message:?}");
    assert_eq!(
        answer.head.contains("www-authenticate"),
        status == 401,
        "{what}: {}",
        answer.head
    );
}

/// Codes that are nobody's.
fn forged(world: &World, one: &Server, other: &Server) -> Vec<(&'static str, String)> {
    let own = &one.code;
    let elsewhere = own.replace(&world.namespace, "kube-system");
    vec![
        ("nothing", String::new()),
        ("a word", "letmein".to_owned()),
        ("own secret, another's name", own.replace("arena-0", "arena-1")),
        ("a server that is not there", own.replace("arena-0", "arena-7")),
        ("another namespace", elsewhere),
        ("one digit less", own[..own.len() - 1].to_owned()),
        ("one digit more", format!("{own}0")),
        ("capitals", own.to_uppercase()),
        ("another's secret", format!("{}{}", &other.code[..69], &own[69..])),
        (
            "no secret",
            format!("gk1_{}_{}_arena-0", "0".repeat(64), world.namespace),
        ),
        ("very long", "g".repeat(9_000)),
        (
            "a token, which this process does not take",
            "e30.e30.x".to_owned(),
        ),
    ]
}

#[tokio::test]
async fn nobody_speaks_without_a_code_or_with_anothers() {
    let world = World::new().await;
    let api = Api::start(&world, &[]).await;
    let (one, other) = two_servers(&world, &api).await;
    let before = everything(&world).await;
    let body = json!({"count": 9});
    let own = &one.code;
    for (what, code) in &forged(&world, &one, &other) {
        for (method, path) in [
            ("PUT", "/v1/self/players"),
            ("GET", "/v1/self"),
            ("POST", "/v1/self/deletion"),
        ] {
            check(
                what,
                &api.with_code(code, method, path, &body).await,
                401,
                "Unauthorized",
            );
        }
    }
    let json_type = ("Content-Type", "application/json");
    for (what, path, headers) in [
        ("no header", "/v1/self/players", vec![]),
        (
            "Basic",
            "/v1/self/players",
            vec![("Authorization", format!("Basic {own}"))],
        ),
        (
            "two",
            "/v1/self/players",
            vec![
                ("Authorization", format!("Bearer {own}")),
                ("Authorization", format!("Bearer {}", other.code)),
            ],
        ),
    ] {
        let mut all: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        all.push(json_type);
        let answer = api.ask("PUT", path, &all, &body.to_string()).await;
        check(what, &answer, 401, "Unauthorized");
    }
    let in_url = format!("/v1/self/players?code={own}");
    let answer = api.ask("PUT", &in_url, &[json_type], &body.to_string()).await;
    check("code in the URL", &answer, 401, "Unauthorized");
    assert_eq!(everything(&world).await, before);
    assert_eq!(api.process.writes().await, 0);
    world.delete_namespace().await;
}

/// Method, path, body, status, reason.
type Wrong = (&'static str, &'static str, &'static str, u16, &'static str);

const WRONG: &[Wrong] = &[
    ("PUT", "/v1/self/players", "", 400, "Invalid"),
    ("PUT", "/v1/self/players", "{", 400, "Invalid"),
    ("PUT", "/v1/self/players", "[1]", 400, "Invalid"),
    ("PUT", "/v1/self/players", "null", 400, "Invalid"),
    ("PUT", "/v1/self/players", "{}", 400, "Invalid"),
    ("PUT", "/v1/self/players", r#"{"count":-1}"#, 400, "Invalid"),
    ("PUT", "/v1/self/players", r#"{"count":1.5}"#, 400, "Invalid"),
    ("PUT", "/v1/self/players", r#"{"count":"1"}"#, 400, "Invalid"),
    ("PUT", "/v1/self/players", r#"{"count":1000001}"#, 400, "Invalid"),
    (
        "PUT",
        "/v1/self/players",
        r#"{"count":99999999999999999999}"#,
        400,
        "Invalid",
    ),
    (
        "PUT",
        "/v1/self/players",
        r#"{"count":1,"capacity":-1}"#,
        400,
        "Invalid",
    ),
    (
        "PUT",
        "/v1/self/players",
        r#"{"count":1,"opsState":"None"}"#,
        400,
        "Invalid",
    ),
    (
        "PUT",
        "/v1/self/players",
        r#"{"count":1} trailing"#,
        400,
        "Invalid",
    ),
    (
        "PUT",
        "/v1/self/players",
        "{\"count\":1,\"count\":2}",
        400,
        "Invalid",
    ),
    (
        "PUT",
        "/v1/self/players?wait=perhaps",
        r#"{"count":1}"#,
        400,
        "Invalid",
    ),
    ("PUT", "/v1/self/state", r#"{"state":"Paused"}"#, 400, "Invalid"),
    ("PUT", "/v1/self/state", r#"{"state":7}"#, 400, "Invalid"),
    (
        "PUT",
        "/v1/self/health",
        r#"{"health":"healthy"}"#,
        400,
        "Invalid",
    ),
    (
        "PUT",
        "/v1/self/report",
        r#"{"healthReason":"why"}"#,
        400,
        "Invalid",
    ),
    ("POST", "/v1/self/deletion", r#"{"of":"arena-1"}"#, 400, "Invalid"),
    ("POST", "/v1/self/heartbeat", "x", 400, "Invalid"),
    ("DELETE", "/v1/self", "", 405, "MethodNotAllowed"),
    (
        "POST",
        "/v1/self/players",
        r#"{"count":1}"#,
        405,
        "MethodNotAllowed",
    ),
    ("GET", "/v1/servers", "", 404, "NotFound"),
    ("GET", "/metrics", "", 404, "NotFound"),
    ("GET", "/", "", 404, "NotFound"),
    (
        "POST",
        "/setactiveplayers",
        r#"{"playerCount":1}"#,
        404,
        "NotFound",
    ),
];

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_what_is_wrong() {
    let world = World::new().await;
    let api = Api::start(&world, &["--server-rate", "1000"]).await;
    let (one, _) = two_servers(&world, &api).await;
    let before = everything(&world).await;
    let authorization = format!("Bearer {}", one.code);
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Content-Type", "application/json"),
    ];
    let long_reason = json!({"health": "Failed", "reason": "x".repeat(257)}).to_string();
    let two_lines = json!({"health": "Failed", "reason": "a\nb"}).to_string();
    let padded = format!("{{\"count\":1{}}}", " ".repeat(5_000));
    let more: &[(&str, &str, &str, u16, &str)] = &[
        ("PUT", "/v1/self/players", &padded, 413, "TooLarge"),
        ("PUT", "/v1/self/health", &long_reason, 400, "Invalid"),
        ("PUT", "/v1/self/health", &two_lines, 400, "Invalid"),
    ];
    for (method, path, body, status, reason) in WRONG.iter().chain(more) {
        let answer = api.ask(method, path, &headers, body).await;
        check(&format!("{method} {path} {body:.40}"), &answer, *status, reason);
    }
    for type_ in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let headers = [headers[0], ("Content-Type", type_)];
        let answer = api
            .ask("PUT", "/v1/self/players", &headers, r#"{"count":1}"#)
            .await;
        check(type_, &answer, 415, "UnsupportedMediaType");
    }
    assert_eq!(everything(&world).await, before);
    assert_eq!(api.process.writes().await, 0);
    world.delete_namespace().await;
}

/// What is no HTTP is refused before anybody looks at it.
#[tokio::test]
async fn what_is_no_request_is_refused_too() {
    let world = World::new().await;
    let api = Api::start(&world, &["--request-timeout", "1s"]).await;
    let many: Vec<String> = (0..100).map(|n| format!("X-{n}: y\r\n")).collect();
    let many = many.concat();
    let long = "a".repeat(20_000);
    let wrong = [
        ("GARBAGE\r\n\r\n".to_owned(), 400),
        ("GET /v1/self HTTP/9.9\r\n\r\n".to_owned(), 400),
        (format!("GET /v1/self HTTP/1.1\r\nHost: x\r\n{many}\r\n"), 431),
        (
            format!("GET /v1/self HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n"),
            431,
        ),
        (
            "PUT /v1/self/players HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n".to_owned(),
            400,
        ),
        (
            "PUT /v1/self/players HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\n\r\n"
                .to_owned(),
            400,
        ),
    ];
    for (text, status) in wrong {
        let answer = api.raw(text.as_bytes()).await;
        assert_eq!(answer.status, status, "{text:.80}: {answer:?}");
    }
    // A body that never comes is not waited for.
    let server = world.server("arena-0").await;
    api.knows(&server).await;
    let text = format!(
        "PUT /v1/self/players HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: 12\r\nConnection: close\r\n\r\n{{",
        server.code
    );
    let answer = api.raw(text.as_bytes()).await;
    check("half a body", &answer, 408, "Timeout");
    assert_eq!(api.process.writes().await, 0);
    world.delete_namespace().await;
}

#[tokio::test]
async fn who_asks_too_often_has_to_wait_and_nobody_else() {
    let world = World::new().await;
    let api = Api::start(&world, &["--server-rate", "2"]).await;
    let (one, other) = two_servers(&world, &api).await;
    let mut refused = None;
    for count in 0..20 {
        let answer = api
            .with_code(&one.code, "PUT", "/v1/self/players", &json!({"count": count}))
            .await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let answer = refused.expect("twenty at once were taken");
    check("too often", &answer, 429, "TooManyRequests");
    assert!(answer.head.contains("retry-after: 1"), "{}", answer.head);
    let answer = api
        .with_code(&other.code, "PUT", "/v1/self/players", &json!({"count": 1}))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");

    // Whoever has no code at all is held by the address.
    let api = Api::start(&world, &["--address-rate", "3"]).await;
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(api.ask("GET", "/v1/self", &[], "").await.status);
    }
    assert!(statuses.contains(&401) && statuses.contains(&429), "{statuses:?}");
    world.delete_namespace().await;
}

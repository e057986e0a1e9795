//! Requests that somebody forged or got wrong: each is refused with a 4xx, and none changes anything.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use api_types::GameServer;
use http::Method;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};
use serde::Serialize;

use super::caller::{Asked, Caller};

/// What became of them.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) requests: usize,
    pub(super) by_status: BTreeMap<u16, usize>,
    /// What was not answered with a 4xx.
    pub(super) not_refused: Vec<String>,
    /// GameServers that are another version than before.
    pub(super) changed: usize,
}

const REQUESTS: usize = 500;
/// A server may ask ten times a second: those that are refused for their bodies come from different ones.
const PAUSE: Duration = Duration::from_millis(2);

/// Sends them.
pub(super) async fn run(callers: &[Caller], servers: &Api<GameServer>) -> Result<Outcome> {
    let before = versions(servers).await?;
    let mut outcome = Outcome {
        requests: 0,
        by_status: BTreeMap::new(),
        not_refused: Vec::new(),
        changed: 0,
    };
    while outcome.requests < REQUESTS {
        let number = outcome.requests;
        let caller = &callers[number % callers.len()];
        let victim = &callers[(number + 1) % callers.len()];
        let kinds = kinds(caller, victim, number);
        let count = kinds.len();
        let (what, asked) = kinds
            .into_iter()
            .nth(number % count)
            .ok_or_else(|| anyhow::anyhow!("no kinds"))?;
        let status = caller.ask(asked).await?;
        *outcome.by_status.entry(status).or_default() += 1;
        if !(400..500).contains(&status) || status == 429 {
            outcome.not_refused.push(format!("{what}: {status}"));
        }
        outcome.requests += 1;
        tokio::time::sleep(PAUSE).await;
    }
    // What was taken by mistake is written by then.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = versions(servers).await?;
    outcome.changed = after
        .iter()
        .filter(|(name, version)| before.get(*name) != Some(version))
        .count()
        + before.len().saturating_sub(after.len());
    Ok(outcome)
}

async fn versions(servers: &Api<GameServer>) -> Result<BTreeMap<String, String>> {
    let list = servers.list(&ListParams::default()).await?;
    Ok(list
        .into_iter()
        .map(|server| (server.name_any(), server.resource_version().unwrap_or_default()))
        .collect())
}

type Kind = (&'static str, Asked);

/// One of each kind: `caller` is who it says it is, and `victim` another server.
fn kinds(caller: &Caller, victim: &Caller, number: usize) -> Vec<Kind> {
    let mut all = forged(caller, victim, number);
    all.extend(malformed(caller, number));
    all.extend(of_the_other_system(caller, victim, number));
    all
}

fn bearer(code: &str) -> Vec<(&'static str, String)> {
    vec![
        ("authorization", format!("Bearer {code}")),
        ("content-type", "application/json".into()),
    ]
}

fn players(headers: Vec<(&'static str, String)>, body: impl Into<Vec<u8>>) -> Asked {
    Asked {
        method: Method::PUT,
        path: "/v1/self/players".into(),
        headers,
        body: body.into(),
    }
}

fn forged(caller: &Caller, victim: &Caller, number: usize) -> Vec<Kind> {
    let good = format!("{{\"count\":{}}}", 100 + number);
    let with = |code: &str| players(bearer(code), good.clone());
    // The secret is between the first two underscores.
    let at = 4 + number % 64;
    let mut flipped = caller.code.clone();
    let other = if flipped.as_bytes()[at] == b'0' { "1" } else { "0" };
    flipped.replace_range(at..=at, other);
    let json = ("content-type", "application/json".to_owned());
    let twice = vec![
        ("authorization", format!("Bearer {}", caller.code)),
        ("authorization", format!("Bearer {}", victim.code)),
        json.clone(),
    ];
    let basic = vec![("authorization", format!("Basic {}", caller.code)), json.clone()];
    vec![
        ("no code", players(vec![json], good.clone())),
        ("an empty code", with(" ")),
        ("one digit of the secret is another", with(&flipped)),
        (
            "own secret, another's name",
            with(&caller.code.replace(&caller.name, &victim.name)),
        ),
        (
            "a server that does not exist",
            with(&caller.code.replace(&caller.name, "nobody-7")),
        ),
        ("cut", with(&caller.code[..caller.code.len() - 1])),
        ("a token of nobody", with("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.x")),
        ("two codes", players(twice, good.clone())),
        ("another scheme", players(basic, good.clone())),
        (
            "the code in the URL",
            Asked {
                path: format!("/v1/self/players?code={}", caller.code),
                ..players(vec![("content-type", "application/json".into())], good.clone())
            },
        ),
    ]
}

fn malformed(caller: &Caller, number: usize) -> Vec<Kind> {
    let said = |body: &str| players(caller.headers(), body);
    let at = |method: Method, path: &str, body: &str| Asked {
        method,
        path: path.into(),
        ..said(body)
    };
    let text = vec![
        ("authorization", format!("Bearer {}", caller.code)),
        ("content-type", "text/plain".into()),
    ];
    vec![
        ("no JSON", said(&"{".repeat(1 + number % 40))),
        ("nothing", said("")),
        (
            "a negative number",
            said(&format!("{{\"count\":-{}}}", number + 1)),
        ),
        (
            "a number beyond all bounds",
            said(&format!("{{\"count\":{}}}", 1_000_001 + number)),
        ),
        ("a text for a number", said("{\"count\":\"7\"}")),
        (
            "a field that nobody knows",
            said("{\"count\":7,\"markedForDeletion\":true}"),
        ),
        (
            "more than a body may have",
            said(&format!("{{\"count\":7{}}}", " ".repeat(5_000 + number))),
        ),
        ("another type", players(text, "{\"count\":7}")),
        (
            "a parameter that nobody knows",
            at(Method::PUT, "/v1/self/players?force=true", "{\"count\":7}"),
        ),
        (
            "a state that nobody knows",
            at(Method::PUT, "/v1/self/state", "{\"state\":\"Paused\"}"),
        ),
        (
            "a health that nobody knows",
            at(Method::PUT, "/v1/self/health", "{\"health\":\"Sick\"}"),
        ),
        ("another method", at(Method::DELETE, "/v1/self/players", "")),
        (
            "another path",
            at(Method::PUT, "/v1/servers/arena-0/players", "{\"count\":7}"),
        ),
        (
            "a body where none is",
            at(Method::POST, "/v1/self/deletion", "{\"really\":true}"),
        ),
        (
            "a reason of nothing",
            at(Method::PUT, "/v1/self/report", "{\"healthReason\":\"x\"}"),
        ),
    ]
}

fn of_the_other_system(caller: &Caller, victim: &Caller, number: usize) -> Vec<Kind> {
    let post = |path: &str, code: &str, body: String| Asked {
        method: Method::POST,
        path: format!("{path}?code={code}"),
        headers: vec![("content-type", "application/json".into())],
        body: body.into_bytes(),
    };
    let of = |name: &str, said: &str| format!("{{\"serverName\":\"{name}\",{said}}}");
    let own = caller.code.as_str();
    vec![
        (
            "players of another server",
            post(
                "/setactiveplayers",
                own,
                of(&victim.name, &format!("\"playerCount\":{number}")),
            ),
        ),
        (
            "health of another server",
            post("/setsdgshealth", own, of(&victim.name, "\"health\":\"Failed\"")),
        ),
        (
            "the end of another server",
            post(
                "/setdgsmarkedfordeletion",
                own,
                of(&victim.name, "\"markedForDeletion\":true"),
            ),
        ),
        (
            "no code there",
            post("/setdgsstate", "", of(&caller.name, "\"state\":\"Running\"")),
        ),
        (
            "negative players there",
            post("/setactiveplayers", own, of(&caller.name, "\"playerCount\":-1")),
        ),
        ("a set is to be made", post("/create", own, "{}".into())),
        (
            "a set is to be deleted",
            Asked {
                method: Method::GET,
                ..post("/delete", own, String::new())
            },
        ),
        (
            "a list for a server",
            Asked {
                method: Method::GET,
                ..post("/running", own, String::new())
            },
        ),
    ]
}

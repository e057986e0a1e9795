//! Recorded sessions: `tests/sessions/*.txt` hold command lines and what they print, and are compared with what they print now.
//!
//! Ages, times, UIDs, versions and the namespace differ each time and are written `<age>`, `<uid>` and so on; runs of spaces, which
//! depend on them, are three. `GAMEKEEPER_RECORD=1 cargo test -p kubectl-gs --test cluster sessions` writes the files anew: read the
//! difference before it is committed.

use std::path::Path;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::world::World;

/// Runs the session of this name.
async fn replay(world: &World, name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/sessions/{name}.txt"));
    let recorded = std::fs::read_to_string(&file).unwrap();
    let mut now: Vec<String> = Vec::new();
    for line in recorded.lines() {
        if line.starts_with('#') || line.is_empty() {
            now.push(line.to_owned());
        } else if let Some(command) = line.strip_prefix("$ kubectl gs ") {
            // What is printed about the way to the Pod depends on nobody's pace then.
            world.mirrored().await;
            let answer = world.gs(command).await;
            now.push(line.to_owned());
            now.extend(normalised(&answer.stdout, &world.namespace));
            now.extend(normalised(&answer.stderr, &world.namespace));
            if answer.code != 0 {
                now.push(format!("[exit code {}]", answer.code));
            }
            // Between two commands, as the recording has it.
            now.push(String::new());
        }
    }
    // Empty lines that follow one another are one.
    now.dedup_by(|a, b| a.is_empty() && b.is_empty());
    let now = format!("{}\n", now.join("\n").trim_end());
    if std::env::var_os("GAMEKEEPER_RECORD").is_some() {
        std::fs::write(&file, now).unwrap();
        return;
    }
    assert_eq!(now, recorded, "{name}: what is printed now is on the left");
}

fn normalised(text: &str, namespace: &str) -> Vec<String> {
    text.replace(namespace, "<namespace>")
        .lines()
        .map(line_of)
        .collect()
}

/// One line, word by word.
fn line_of(line: &str) -> String {
    let indent = line.len() - line.trim_start().len();
    let mut out = " ".repeat(indent);
    let mut spaces = 0;
    for word in line.trim().split(' ') {
        if word.is_empty() {
            spaces += 1;
            continue;
        }
        if !out.trim().is_empty() {
            out.push_str(if spaces > 0 { "   " } else { " " });
        }
        spaces = 0;
        out.push_str(&word_of(word));
    }
    out
}

fn word_of(word: &str) -> String {
    let core = word.trim_matches(|c: char| matches!(c, '(' | ')' | ',' | ';' | ':' | '"' | '.'));
    let age = core.len() > 1
        && core.starts_with(|c: char| c.is_ascii_digit())
        && core.ends_with(['s', 'm', 'h', 'd', 'y'])
        && core.chars().all(|c| c.is_ascii_digit() || "smhdy".contains(c));
    let uid = core.len() == 36 && core.split('-').count() == 5;
    let time = core.len() == 20 && core.ends_with('Z') && core.contains('T');
    let quoted = word.strip_prefix('\'').and_then(|word| word.strip_suffix('\''));
    let version = quoted.is_some_and(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()));
    let stand_in = match (age, uid, time, version) {
        (true, ..) => "<age>",
        (_, true, ..) => "<uid>",
        (_, _, true, _) => "<time>",
        (.., true) => "<version>",
        _ => return word.to_owned(),
    };
    word.replace(core, stand_in)
}

#[test]
fn what_differs_each_time_is_left_out() {
    assert_eq!(
        line_of("  a-1      12m3s  x  (5s);"),
        "  a-1   <age>   x   (<age>);"
    );
    assert_eq!(
        line_of("at 2026-01-01T00:00:00Z by 0b8ad64c-1111-2222-3333-444455556666"),
        "at <time> by <uid>"
    );
    assert_eq!(line_of("arena-3s and 16 players"), "arena-3s and 16 players");
}

fn report(players: u32, capacity: Option<u32>) -> [(&'static str, Value); 2] {
    let mut counted = json!({"count": players});
    if let Some(capacity) = capacity {
        counted["capacity"] = json!(capacity);
    }
    [
        ("/status/players", counted),
        (
            "/status/reported",
            json!({"podUID": "p", "health": "Healthy", "state": "Running"}),
        ),
    ]
}

/// A set as gss-controller would have it.
async fn set(world: &World, name: &str, replicas: u32) {
    let set = json!({
        "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "metadata": {"name": name},
        "spec": {"replicas": replicas, "players": {"capacity": 16},
            "gameServerTemplate": {"spec": {"containers": [{"name": "game", "image": "game:1"}]}}},
    });
    world.post(&world.path("gameserversets", ""), &set).await.unwrap();
    let condition = json!({"type": "Ready", "status": "False", "reason": "ServersNotReady",
        "message": "2 of 3 servers are ready", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let status = json!({"status": {"observedGeneration": 1, "replicas": replicas, "currentReplicas": 3, "readyReplicas": 2,
        "availableReplicas": 2, "updatedReplicas": 3, "updateRevision": "arena-1", "conditions": [condition]}});
    let path = format!("{}/status", world.path("gameserversets", name));
    world.merge(&path, &status).await;
}

#[tokio::test]
async fn looking() {
    let world = World::new().await;
    set(&world, "arena", 4).await;
    let claim = json!({"podUID": "p", "reason": "Draining", "time": "2026-01-01T00:00:00Z"});
    let network = json!({"currentNetworkState": "Ready", "externalAddresses":
        [{"ip": "203.0.113.7", "ports": [{"name": "game", "port": 7777, "protocol": "UDP"}]}]});
    let mut plays = report(7, Some(16)).to_vec();
    plays.push(("/status/networkStatus", network));
    plays.push(("/spec/opsState", json!("Allocated")));
    let mut drains = report(3, None).to_vec();
    drains.push(("/status/deletionClaim", claim));
    let starts = [("/status/currentState", json!("Creating"))];
    let (plays, drains) = (plays, drains);
    join_all([
        world.server("arena-0", &plays),
        world.server("arena-1", &drains),
        world.server("arena-2", &starts),
        world.server("lobby-10", &[]),
    ])
    .await;
    replay(&world, "looking").await;
    world.delete_namespace().await;
}

#[tokio::test]
async fn allocating() {
    let world = World::new().await;
    world.server("arena-0", &[]).await;
    let marked = [("/spec/markedForDeletion", json!(true))];
    world.server("lobby-0", &marked).await;
    replay(&world, "allocating").await;
    world.delete_namespace().await;
}

#[tokio::test]
async fn going() {
    let world = World::new().await;
    let mut plays = report(2, None).to_vec();
    plays.push(("/spec/opsState", json!("Allocated")));
    world.server("arena-0", &plays).await;
    world
        .server("arena-1", &[("/spec/opsState", json!("Allocated"))])
        .await;
    replay(&world, "going").await;
    world.delete_namespace().await;
}

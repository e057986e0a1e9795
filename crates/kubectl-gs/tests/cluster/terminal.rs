//! What is said to somebody who sits there: `list --watch`, line by line, and the question of `kill`, on a terminal of script(1).

use std::{process::Stdio, time::Duration};

use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::{ChildStdout, Command},
    time::timeout,
};

use crate::world::World;

/// The longest that a line may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The lines that a watch prints.
struct Lines(tokio::io::Lines<BufReader<ChildStdout>>);

impl Lines {
    /// The words of the next one, without the age at its end.
    async fn next(&mut self) -> String {
        let line = timeout(PATIENCE, self.0.next_line()).await.unwrap();
        let line = line.unwrap().expect("the watch has ended");
        let words: Vec<&str> = line.split_whitespace().collect();
        words[..words.len() - 1].join(" ")
    }
}

#[tokio::test]
async fn a_watch_prints_a_server_again_when_what_is_shown_has_changed() {
    let world = World::new().await;
    world.server("arena-0", &[]).await;
    world.server("mute-1", &[]).await;
    let mut watch = world.command(&world.kubeconfig, "list --watch --set arena");
    let mut watch = watch.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = Lines(BufReader::new(watch.stdout.take().unwrap()).lines());
    assert_eq!(
        lines.next().await,
        "NAME SET STATE OPSSTATE PLAYERS ADDRESS LEAVING"
    );
    assert_eq!(lines.next().await, "arena-0 arena Ready None - 10.1.0.7 -");
    let server = world.path("gameservers", "arena-0");
    // Not shown; neither is a server of another set.
    world
        .merge(&server, &json!({"metadata": {"labels": {"map": "desert"}}}))
        .await;
    world
        .merge(
            &world.path("gameservers", "mute-1"),
            &json!({"spec": {"opsState": "Maintaining"}}),
        )
        .await;
    world
        .merge(&server, &json!({"spec": {"opsState": "Allocated"}}))
        .await;
    assert_eq!(lines.next().await, "arena-0 arena Ready Allocated - 10.1.0.7 -");
    world.server("arena-2", &[]).await;
    // It is made, then gets its status.
    let mut made = lines.next().await;
    while made != "arena-2 arena Ready None - 10.1.0.7 -" {
        assert!(made.starts_with("arena-2 arena "), "{made}");
        made = lines.next().await;
    }
    world.delete(&server, &json!({})).await;
    assert_eq!(lines.next().await, "arena-0 arena Ready Allocated - 10.1.0.7 -");
    watch.kill().await.unwrap();
    world.delete_namespace().await;
}

/// Runs a command line on a terminal, answers its question, and gives the exit code and all that was seen.
async fn on_a_terminal(command: &Command, answer: &str) -> (i32, String) {
    let command = command.as_std();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted: Vec<String> = words
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let mut script = Command::new("script")
        .args(["--quiet", "--return", "--command", &quoted.join(" "), "/dev/null"])
        .env_remove("KUBECONFIG")
        .env("TERM", "dumb")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let (mut terminal, mut screen) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("[y/N] ") {
        let read = timeout(PATIENCE, screen.read_buf(&mut seen))
            .await
            .unwrap()
            .unwrap();
        assert!(
            read > 0,
            "no question was asked: {}",
            String::from_utf8_lossy(&seen)
        );
    }
    terminal
        .write_all(format!("{answer}\n").as_bytes())
        .await
        .unwrap();
    terminal.flush().await.unwrap();
    timeout(PATIENCE, screen.read_to_end(&mut seen))
        .await
        .unwrap()
        .unwrap();
    let status = timeout(PATIENCE, script.wait()).await.unwrap().unwrap();
    (status.code().unwrap(), String::from_utf8(seen).unwrap())
}

#[tokio::test]
async fn kill_does_nothing_before_somebody_has_said_yes() {
    let world = World::new().await;
    let plays = [
        ("/spec/opsState", json!("Allocated")),
        ("/status/players", json!({"count": 7})),
        ("/status/reported", json!({"podUID": "p"})),
    ];
    world.server("arena-0", &plays).await;
    let kill = world.command(&world.kubeconfig, "kill arena-0");
    for answer in ["n", "", "yes please"] {
        let (code, seen) = on_a_terminal(&kill, answer).await;
        assert_eq!(code, 1, "{seen}");
        let question = "Take away at once, with whoever plays on it: arena-0 (Allocated, 7 players)? [y/N] ";
        assert!(
            seen.contains(question) && seen.contains("nothing was done"),
            "{seen}"
        );
        assert_eq!(world.now("arena-0").await["spec"]["opsState"], "Allocated");
    }
    let (code, seen) = on_a_terminal(&kill, "Y").await;
    assert_eq!(code, 0, "{seen}");
    assert!(
        seen.contains("gameserver.game.kruise.io/arena-0 killed"),
        "{seen}"
    );
    assert_eq!(world.now("arena-0").await["spec"]["opsState"], "Kill");
    world.delete_namespace().await;
}

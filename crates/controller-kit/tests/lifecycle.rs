//! A whole process from start to exit code: `examples/lifecycle.rs`, without a cluster.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests are tests too"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

const KUBECONFIG: &str = r"
apiVersion: v1
kind: Config
current-context: nowhere
contexts: [{ name: nowhere, context: { cluster: nowhere, user: nobody } }]
clusters: [{ name: nowhere, cluster: { server: 'http://127.0.0.1:9' } }]
users: [{ name: nobody, user: {} }]
";

/// A running process and its log, parsed.
struct Process {
    child: Child,
    log: Receiver<Value>,
    seen: Vec<Value>,
    _kubeconfig: tempfile::NamedTempFile,
}

impl Process {
    fn start(args: &[&str]) -> Self {
        let mut kubeconfig = tempfile::NamedTempFile::new().unwrap();
        kubeconfig.write_all(KUBECONFIG.as_bytes()).unwrap();
        let mut child = Command::new(binary())
            .args([
                "--admin-address",
                "127.0.0.1:0",
                "--log-format",
                "json",
                "--kubeconfig",
            ])
            .arg(kubeconfig.path())
            .args(args)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, log) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines() {
                let line = line.unwrap();
                // A panic's own message is the one thing that is not a record.
                let record = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if sender.send(record).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            log,
            seen: Vec::new(),
            _kubeconfig: kubeconfig,
        }
    }

    /// Waits for a record with this message.
    fn expect(&mut self, message: &str) -> Value {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let record = self
                .log
                .recv_timeout(left)
                .unwrap_or_else(|_| panic!("no {message:?} in {:#?}", self.seen));
            self.seen.push(record.clone());
            if record["message"] == message {
                return record;
            }
        }
    }

    fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        assert!(
            Command::new("sh")
                .args(["-c", &command])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for the end; gives the exit code and the messages of the whole life.
    fn end(mut self) -> (Option<i32>, Vec<String>) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > deadline => {
                    self.child.kill().unwrap();
                    panic!("it did not end: {:#?}", self.seen);
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        self.seen.extend(self.log.iter());
        let messages = self
            .seen
            .iter()
            .filter_map(|record| record["message"].as_str().map(ToOwned::to_owned));
        (status.code(), messages.collect())
    }
}

fn binary() -> PathBuf {
    // target/debug/deps/lifecycle-… → target/debug/examples/lifecycle
    let test = std::env::current_exe().unwrap();
    let path = test
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples/lifecycle");
    assert!(
        path.exists(),
        "no {}: run `cargo build -p controller-kit --examples`",
        path.display()
    );
    path
}

fn position(messages: &[String], message: &str) -> usize {
    messages
        .iter()
        .position(|m| m == message)
        .unwrap_or_else(|| panic!("no {message:?} in {messages:#?}"))
}

#[test]
fn sigterm_finishes_the_item_in_hand_then_releases_the_lease_then_exits_0() {
    let mut process = Process::start(&[]);
    process.expect("item begun");
    process.signal("TERM");
    process.expect("draining");
    let (code, messages) = process.end();
    assert_eq!(code, Some(0), "{messages:#?}");
    let drain = &messages[position(&messages, "draining")..];
    let expected = ["draining", "item finished", "lease released", "stopped"];
    assert_eq!(
        drain, expected,
        "an item was begun during the drain, or the order is wrong"
    );
}

#[test]
fn a_second_signal_ends_the_process_at_once_with_the_signals_code() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let mut process = Process::start(&["--work", "1h"]);
        process.expect("item begun");
        process.signal("TERM");
        process.expect("draining");
        process.signal(signal);
        let (ended, messages) = process.end();
        assert_eq!(ended, Some(code), "{messages:#?}");
        assert!(
            !messages.iter().any(|m| m == "lease released"),
            "a lease was released while work goes on"
        );
    }
}

#[test]
fn a_task_that_ends_fails_or_panics_stops_the_process_cleanly_with_code_1() {
    let cases = [
        ("ending", "ended without being asked to"),
        ("failing", "lost its way"),
        ("panicking", "out of its depth"),
    ];
    for (behaviour, reason) in cases {
        let mut process = Process::start(&["--behaviour", behaviour]);
        let record = process.expect("supervised task failed, stopping the process");
        assert_eq!(
            (record["task"].as_str(), record["level"].as_str()),
            (Some("subject"), Some("ERROR"))
        );
        assert!(record["reason"].as_str().unwrap().contains(reason), "{record}");
        let (code, messages) = process.end();
        assert_eq!(code, Some(1), "{messages:#?}");
        position(&messages, "lease released");
    }
}

#[test]
fn the_admin_server_answers_while_the_process_lives() {
    let mut process = Process::start(&["--work", "1h"]);
    let started = process.expect("started");
    assert!(started["timestamp"].as_str().unwrap().ends_with('Z'), "{started}");
    let address = started["admin_address"].as_str().unwrap().to_owned();
    process.expect("item begun");
    let get = |path: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(get("/livez").starts_with("HTTP/1.1 200"));
    assert!(get("/readyz").starts_with("HTTP/1.1 200"));
    assert!(get("/metrics").contains("gamekeeper_queue_active{controller=\"lifecycle\",queue=\"items\"} 1"));
    assert!(get("/nothing").starts_with("HTTP/1.1 404"));
    process.signal("TERM");
    process.expect("draining");
    let readyz = get("/readyz");
    assert!(
        readyz.starts_with("HTTP/1.1 503") && readyz.contains("shutting down"),
        "{readyz}"
    );
    assert!(
        get("/livez").starts_with("HTTP/1.1 200"),
        "a draining process is alive"
    );
    process.signal("TERM");
    process.end();
}

#[test]
fn wrong_flags_end_with_a_message_and_a_failure() {
    let process = Process::start(&["--log-level", ",,="]);
    let (code, _) = process.end();
    assert_eq!(code, Some(1));
}

//! The queue under a runtime, without a cluster.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests too")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use controller_kit::args::{AdminArgs, CommonArgs, LogArgs, LogFormat};
use controller_kit::queue::{Next, Queue, ReconcileError, Work};
use controller_kit::runtime::Runtime;

#[derive(Debug)]
struct Trouble {
    category: &'static str,
    retry_after: Option<Duration>,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("trouble")
    }
}

impl ReconcileError for Trouble {
    fn category(&self) -> &'static str {
        self.category
    }

    fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

async fn runtime() -> Runtime {
    let args = CommonArgs {
        admin: AdminArgs {
            admin_address: ([127, 0, 0, 1], 0).into(),
        },
        log: LogArgs {
            log_format: LogFormat::Text,
            log_level: "off".into(),
        },
        ..CommonArgs::default()
    };
    // Nobody listens there, and nobody needs to.
    let config = kube::Config::new("http://127.0.0.1:9".parse().unwrap());
    Runtime::start_with("queue-test", &args, &config).await.unwrap()
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_key_is_never_worked_twice_at_once_and_its_last_add_is_always_seen() {
    const KEYS: u32 = 20;
    let runtime = runtime().await;
    let queue: Queue<u32> = Queue::new();
    // For each key: the last version added, and the last one a finished run has seen.
    let wanted: Arc<Mutex<BTreeMap<u32, u32>>> = Arc::default();
    let seen: Arc<Mutex<BTreeMap<u32, u32>>> = Arc::default();
    let running: Arc<Mutex<BTreeSet<u32>>> = Arc::default();
    let most = Arc::new(AtomicUsize::new(0));
    let state = (
        Arc::clone(&wanted),
        Arc::clone(&seen),
        Arc::clone(&running),
        Arc::clone(&most),
    );
    queue.run(&runtime, "exclusive", 5, move |work: Work<u32>| {
        let (wanted, seen, running, most) = state.clone();
        async move {
            {
                let mut running = running.lock().unwrap();
                assert!(running.insert(work.key), "worked twice at once");
                most.fetch_max(running.len(), Ordering::SeqCst);
            }
            let version = wanted.lock().unwrap()[&work.key];
            tokio::time::sleep(Duration::from_micros(u64::from(work.key) * 50)).await;
            seen.lock().unwrap().insert(work.key, version);
            running.lock().unwrap().remove(&work.key);
            Ok::<_, Trouble>(Next::Done)
        }
    });
    for version in 1..=50 {
        for key in 0..KEYS {
            wanted.lock().unwrap().insert(key, version);
            queue.add(key);
        }
        tokio::time::sleep(Duration::from_micros(300)).await;
    }
    eventually("all to be seen", || {
        *seen.lock().unwrap() == *wanted.lock().unwrap()
    })
    .await;
    let most = most.load(Ordering::SeqCst);
    assert!((2..=5).contains(&most), "{most} at once");
    assert!(!runtime.shutdown().is_cancelled(), "a reconcile panicked");
}

#[tokio::test]
async fn a_closed_gate_keeps_keys_and_all_gates_must_be_open() {
    let runtime = runtime().await;
    let queue: Queue<&str> = Queue::new();
    let (leader, is_leader) = tokio::sync::watch::channel(false);
    let (other, is_open) = tokio::sync::watch::channel(true);
    queue.gate(is_leader);
    queue.gate(is_open);
    let runs = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&runs);
    queue.run(&runtime, "gated", 2, move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        async { Ok::<_, Trouble>(Next::Done) }
    });
    queue.add("a");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!((runs.load(Ordering::SeqCst), queue.depth()), (0, 1));
    leader.send_replace(true);
    eventually("the key to be worked on", || runs.load(Ordering::SeqCst) == 1).await;
    other.send_replace(false);
    queue.add("b");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    other.send_replace(true);
    eventually("the second key", || runs.load(Ordering::SeqCst) == 2).await;
}

#[tokio::test]
async fn failures_come_back_after_a_growing_delay_that_a_success_forgets() {
    let runtime = runtime().await;
    let queue: Queue<&str> = Queue::new();
    let starts: Arc<Mutex<Vec<(Instant, u32)>>> = Arc::default();
    let log = Arc::clone(&starts);
    queue.run(&runtime, "failing", 1, move |work| {
        let mut log = log.lock().unwrap();
        log.push((Instant::now(), work.attempt));
        let run = log.len();
        async move {
            // Three failures, a success, a failure.
            if run == 4 || run > 5 {
                Ok(Next::Done)
            } else {
                Err(Trouble {
                    category: "unknown",
                    retry_after: None,
                })
            }
        }
    });
    queue.add("a");
    eventually("four runs", || starts.lock().unwrap().len() == 4).await;
    queue.add("a");
    eventually("two more", || starts.lock().unwrap().len() == 6).await;
    let starts = starts.lock().unwrap().clone();
    let attempts: Vec<u32> = starts.iter().map(|(_, attempt)| *attempt).collect();
    assert_eq!(attempts, [0, 1, 2, 3, 0, 1]);
    let gap = |run: usize| starts[run].0 - starts[run - 1].0;
    // Half of the nominal delay is the least; the most depends on how busy the machine is.
    assert!(gap(1) >= Duration::from_millis(25), "{:?}", gap(1));
    assert!(gap(2) >= Duration::from_millis(50), "{:?}", gap(2));
    assert!(gap(3) >= Duration::from_millis(100), "{:?}", gap(3));
    assert!(gap(5) >= Duration::from_millis(25), "{:?}", gap(5));
}

#[tokio::test]
async fn the_servers_wish_and_a_planned_time_are_waited_for() {
    let runtime = runtime().await;
    let queue: Queue<&str> = Queue::new();
    let starts: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let log = Arc::clone(&starts);
    queue.run(&runtime, "waiting", 1, move |_| {
        let mut log = log.lock().unwrap();
        log.push(Instant::now());
        let run = log.len();
        async move {
            match run {
                1 => Err(Trouble {
                    category: "throttled",
                    retry_after: Some(Duration::from_millis(400)),
                }),
                2 => Ok(Next::After(Duration::from_millis(200))),
                _ => Ok(Next::Done),
            }
        }
    });
    queue.add("a");
    eventually("three runs", || starts.lock().unwrap().len() == 3).await;
    let starts = starts.lock().unwrap().clone();
    assert!(starts[1] - starts[0] >= Duration::from_millis(400));
    assert!(starts[2] - starts[1] >= Duration::from_millis(200));
}

#[tokio::test]
async fn a_panic_in_a_reconcile_stops_the_process_with_a_failure() {
    let runtime = runtime().await;
    let queue: Queue<&str> = Queue::new();
    queue.run(&runtime, "panicking", 2, |work| async move {
        assert_ne!(work.key, "a", "a bug");
        Ok::<_, Trouble>(Next::Done)
    });
    queue.add("a");
    let code = tokio::time::timeout(Duration::from_secs(10), runtime.run())
        .await
        .unwrap();
    assert_eq!(
        format!("{code:?}"),
        format!("{:?}", std::process::ExitCode::from(1))
    );
}

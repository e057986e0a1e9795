//! The controller's process, and tests of it as a process: restart, rest, cost.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command},
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Arena, SOON, pause, state, uid};

/// A running gs-controller; killed when dropped.
pub(crate) struct Controller {
    child: Child,
    admin: SocketAddr,
}

impl Controller {
    /// Starts the program for the arena's namespace and waits until it is ready.
    pub(crate) async fn start(arena: &Arena) -> Self {
        let flags = ["--leader-elect=false", "--persistent-volumes=always"];
        Self::start_with(&arena.kubeconfig, &arena.namespace, &flags).await
    }

    pub(crate) async fn start_with(kubeconfig: &Path, namespace: &str, flags: &[&str]) -> Self {
        let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_gs-controller"))
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args([
                "--admin-address",
                &admin.to_string(),
                "--namespace",
                namespace,
                "--log-format",
                "text",
            ])
            .args(flags)
            .spawn()
            .unwrap();
        let mut controller = Self { child, admin };
        let start = Instant::now();
        while !controller
            .fetch("/readyz")
            .await
            .is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
        {
            assert!(
                controller.child.try_wait().unwrap().is_none(),
                "the controller ended"
            );
            assert!(start.elapsed() < SOON, "the controller did not become ready");
            pause().await;
        }
        controller
    }

    async fn fetch(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.admin).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    }

    /// The sum of a metric over the series that have all these labels.
    pub(crate) async fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        let answer = self.fetch("/metrics").await.unwrap();
        let of_name =
            |line: &&str| line.starts_with(&format!("{name}{{")) || line.starts_with(&format!("{name} "));
        answer
            .lines()
            .filter(of_name)
            .filter(|line| labels.iter().all(|label| line.contains(label)))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64)
            .sum()
    }

    /// Requests of one verb sent so far.
    pub(crate) async fn requests(&self, verb: &str) -> u64 {
        self.metric("gamekeeper_api_requests_total", &[&format!("verb=\"{verb}\"")])
            .await
    }

    /// Writes sent so far.
    pub(crate) async fn writes(&self) -> u64 {
        let mut sum = 0;
        for verb in ["create", "patch", "apply", "delete"] {
            sum += self.requests(verb).await;
        }
        sum
    }
}

impl Drop for Controller {
    /// SIGKILL: to every later start this looks like a crash.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_restart_creates_nothing_twice_and_writes_nothing() {
    let arena = Arena::new().await;
    let set = arena.set("arena", "Cascade").await;
    let controller = Controller::start(&arena).await;
    for name in ["arena-0", "arena-1", "arena-2"] {
        arena.pod(name, &set).await;
        arena.make_ready(name, "10.0.0.7").await;
    }
    let before = arena.game_server_when("arena-2", |it| state(it) == "Ready").await;
    for name in ["arena-0", "arena-1"] {
        arena.game_server_when(name, |it| state(it) == "Ready").await;
    }
    drop(controller);
    let controller = Controller::start(&arena).await;
    // Something to do shows that the start is over.
    arena.pod_status("arena-0", &json!({"phase": "Failed"})).await;
    arena.game_server_when("arena-0", |it| state(it) == "Crash").await;
    assert_eq!(
        (
            controller.requests("create").await,
            controller.requests("apply").await
        ),
        (0, 1)
    );
    let after = arena.game_server("arena-2").await.unwrap();
    assert_eq!(
        (uid(&after), &after["metadata"]["resourceVersion"]),
        (uid(&before), &before["metadata"]["resourceVersion"])
    );
    arena.end().await;
}

#[tokio::test]
async fn a_server_costs_three_requests_and_nothing_at_rest() {
    let arena = Arena::new().await;
    let set = arena.set("arena", "Cascade").await;
    let controller = Controller::start(&arena).await;
    arena.pod("arena-0", &set).await;
    arena
        .game_server_when("arena-0", |it| state(it) == "Creating")
        .await;
    // What a kubelet says on the way up, one detail after the other.
    for detail in [
        json!({"conditions": [{"type": "PodScheduled", "status": "True"}]}),
        json!({"hostIP": "10.1.1.1", "hostIPs": [{"ip": "10.1.1.1"}], "startTime": "2026-01-01T00:00:00Z"}),
        json!({"conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "ContainersReady",
            "status": "False", "reason": "ContainersNotReady", "message": "containers with unready status: [game]"}]}),
    ] {
        arena.pod_status("arena-0", &detail).await;
    }
    arena.make_ready("arena-0", "10.0.0.7").await;
    let ready = arena.game_server_when("arena-0", |it| state(it) == "Ready").await;
    let costs = [
        controller.requests("create").await,
        controller.requests("apply").await,
        controller.requests("patch").await,
    ];
    assert_eq!(
        costs,
        [1, 2, 0],
        "create, status Creating and Ready, no patch, no event"
    );

    // Rest, with the noise of a live cluster: labels, probes' heartbeats.
    let writes = controller.writes().await;
    for second in 0..20 {
        let time = format!("2026-01-01T00:00:{second:02}Z");
        let conditions = json!([{"type": "Ready", "status": "True", "lastProbeTime": time},
            {"type": "ContainersReady", "status": "True", "lastProbeTime": time}]);
        arena
            .pod_status("arena-0", &json!({ "conditions": conditions }))
            .await;
        let labels = json!({"metadata": {"labels": {"beat": second.to_string()}}});
        arena.patch(&arena.path("pods", "arena-0"), None, &labels).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(controller.writes().await, writes, "writes at rest");
    let later = arena.game_server("arena-0").await.unwrap();
    assert_eq!(
        later["metadata"]["resourceVersion"],
        ready["metadata"]["resourceVersion"]
    );
    assert_eq!(controller.metric("gamekeeper_gs_created_total", &[]).await, 1);
    assert_eq!(
        controller
            .metric("gamekeeper_gs_ready_to_status_seconds_count", &[])
            .await,
        1
    );
    arena.end().await;
}

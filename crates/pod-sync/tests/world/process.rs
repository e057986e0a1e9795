//! The binary under test.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{PATIENCE, World, eventually, pause};

/// A running pod-sync; killed when it goes out of scope.
pub(crate) struct PodSync {
    child: Child,
    admin: String,
}

impl PodSync {
    /// Starts pod-sync on the world's namespace and waits until it is ready.
    pub(crate) async fn start(world: &World, flags: &[&str]) -> Self {
        Self::start_as(world, &world.kubeconfig, flags).await
    }

    /// The same with the rights of another kubeconfig.
    pub(crate) async fn start_as(world: &World, kubeconfig: &Path, flags: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pod-sync"))
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(["--namespace", &world.namespace, "--admin-address", "127.0.0.1:0"])
            .args(flags)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (found, address) = mpsc::channel();
        let log = BufReader::new(child.stderr.take().unwrap());
        // The log goes on to the test's own output; the first line that names the admin address says where to ask.
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                if let Some(address) = admin_address(&line) {
                    let _ = found.send(address);
                }
                eprintln!("{line}");
            }
        });
        let admin =
            tokio::task::block_in_place(|| address.recv_timeout(PATIENCE)).expect("pod-sync did not start");
        let process = Self { child, admin };
        eventually(
            "readiness",
            async || process.get("/readyz").await,
            |(status, _)| *status == 200,
        )
        .await;
        process
    }

    /// Sends a signal: `TERM`, `STOP`, `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "pod-sync did not end after SIGTERM");
            pause().await;
        }
    }

    /// Ends the process as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sum of the samples of a metric whose labels contain `labels`; 0 without any.
    pub(crate) async fn seconds(&self, name: &str, labels: &str) -> f64 {
        let (_, text) = self.get("/metrics").await;
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            let (found, rest) = series.split_once('{').unwrap_or((series, ""));
            (found == name && rest.contains(labels)).then(|| value.parse::<f64>().ok())?
        };
        // Not `sum`, which makes -0 of nothing.
        text.lines()
            .filter_map(sample)
            .fold(0.0, |sum, value| sum + value)
    }

    /// As [`seconds`](Self::seconds), of a metric that counts.
    pub(crate) async fn metric(&self, name: &str, labels: &str) -> u64 {
        self.seconds(name, labels).await as u64
    }

    /// Requests that changed anything, Events and Leases left out.
    pub(crate) async fn writes(&self) -> u64 {
        let mut writes = 0;
        for verb in ["create", "patch", "apply", "delete", "update"] {
            for resource in ["pods", "gameservers"] {
                let labels = format!("verb=\"{verb}\",resource=\"{resource}\"");
                writes += self.metric("gamekeeper_api_requests_total", &labels).await;
            }
        }
        writes
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let exchange = async {
            let mut stream = TcpStream::connect(&self.admin).await?;
            let request = format!("GET {path} HTTP/1.1\r\nHost: pod-sync\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        let answer = tokio::time::timeout(Duration::from_secs(5), exchange)
            .await
            .expect("no answer")
            .unwrap();
        let status = answer
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .unwrap_or(0);
        (status, answer)
    }
}

impl Drop for PodSync {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn admin_address(line: &str) -> Option<String> {
    let record: serde_json::Value = serde_json::from_str(line).ok()?;
    let fields = record.get("fields").unwrap_or(&record);
    fields.get("admin_address")?.as_str().map(str::to_owned)
}

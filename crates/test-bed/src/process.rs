//! A controller as the process that it is in a cluster.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::wait::{PATIENCE, eventually, pause};

/// A running controller. Dropped, it is killed: to every later start this looks like a crash.
pub struct Process {
    child: Child,
    admin: String,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts `program` with the rights of `kubeconfig`, for one namespace, and waits until it is ready.
    pub async fn start(program: &str, kubeconfig: &Path, namespace: &str, flags: &[&str]) -> Self {
        let mut child = Command::new(program)
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(["--namespace", namespace, "--admin-address", "127.0.0.1:0"])
            .args(flags)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let (found, address) = mpsc::channel();
        let log = BufReader::new(child.stderr.take().unwrap());
        // The log goes on to the test's own output. Asking the log for the port, rather than choosing one beforehand,
        // leaves nobody the time to take it.
        let kept = Arc::new(Mutex::new(String::new()));
        let keep = Arc::clone(&kept);
        let reader = std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                if let Some(address) = admin_address(&line) {
                    let _ = found.send(address);
                }
                eprintln!("{line}");
                let mut keep = keep.lock().unwrap();
                keep.push_str(&line);
                keep.push('\n');
            }
        });
        let waited = tokio::task::spawn_blocking(move || address.recv_timeout(PATIENCE)).await;
        let Ok(admin) = waited.unwrap() else {
            let _ = child.kill();
            panic!("{program} did not start");
        };
        let mut process = Self {
            child,
            admin,
            log: kept,
            reader: Some(reader),
        };
        let end = Instant::now() + PATIENCE;
        while !matches!(process.get("/readyz").await, Some((200, _))) {
            let ended = process.child.try_wait().unwrap();
            assert!(ended.is_none(), "{program} ended: {ended:?}");
            assert!(Instant::now() < end, "{program} is not ready");
            pause().await;
        }
        process
    }

    /// Sends a signal: `TERM`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Sends SIGTERM and waits for the end.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                // What it logged last is read.
                if let Some(reader) = self.reader.take() {
                    reader.join().unwrap();
                }
                return status;
            }
            assert!(Instant::now() < end, "no end after SIGTERM");
            pause().await;
        }
    }

    /// What it has logged so far; all of it once it was [terminated](Self::terminate).
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Sum of a metric over the series whose labels contain each of `labels`; 0 without any.
    pub async fn value(&self, name: &str, labels: &[&str]) -> f64 {
        let wanted = |found: &str| labels.iter().all(|label| found.contains(label));
        self.sum(name, wanted).await
    }

    /// Sum of a metric over the series whose labels are wanted, all of one answer.
    async fn sum(&self, name: &str, wanted: impl Fn(&str) -> bool) -> f64 {
        let (_, text) = self.get("/metrics").await.expect("an answer");
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            let (found, rest) = series.split_once('{').unwrap_or((series, ""));
            (found == name && wanted(rest)).then(|| value.parse::<f64>().ok())?
        };
        // Not `sum`, which makes -0 of nothing.
        text.lines()
            .filter_map(sample)
            .fold(0.0, |sum, value| sum + value)
    }

    /// As [`value`](Self::value), of a metric that counts.
    ///
    /// A request counts once its answer is there, which a watch can overtake: after something was seen in the cluster,
    /// wait for the count with [`metric_until`](Self::metric_until).
    pub async fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        self.value(name, labels).await as u64
    }

    /// Waits until a metric is `wanted`, and gives it.
    pub async fn metric_until(&self, name: &str, labels: &[&str], wanted: impl Fn(u64) -> bool) -> u64 {
        let read = async || self.metric(name, labels).await;
        eventually(name, read, |count| wanted(*count)).await
    }

    /// Requests of one verb so far, events and Leases left out.
    ///
    /// Waits until none is under way: what a request did can be seen before its answer has come and it counts.
    pub async fn requests(&self, verb: &str) -> u64 {
        self.metric_until("gamekeeper_api_requests_in_flight", &[], |count| count == 0)
            .await;
        let verb = format!("verb=\"{verb}\"");
        let others = NOT_COUNTED.map(|resource| format!("resource=\"{resource}\""));
        // One answer: between two, an event may be counted that the first did not have.
        let wanted = |found: &str| found.contains(&verb) && !others.iter().any(|other| found.contains(other));
        self.sum(REQUESTS, wanted).await as u64
    }

    /// Requests so far that can change something, events and Leases left out.
    pub async fn writes(&self) -> u64 {
        let mut writes = 0;
        for verb in WRITES {
            writes += self.requests(verb).await;
        }
        writes
    }

    /// The same by verb, resource and subresource, joined by spaces.
    pub async fn writes_by_kind(&self) -> BTreeMap<String, u64> {
        // Waits for what is under way.
        self.writes().await;
        let (_, text) = self.get("/metrics").await.expect("an answer");
        let mut all = BTreeMap::new();
        for line in text.lines().filter(|line| line.starts_with(REQUESTS)) {
            let label = |name: &str| {
                let rest = line.split(&format!("{name}=\"")).nth(1)?;
                rest.split('"').next()
            };
            let what = ["verb", "resource", "subresource"].map(|name| label(name).unwrap_or_default());
            if WRITES.contains(&what[0]) && !NOT_COUNTED.contains(&what[1]) {
                let count: f64 = line.rsplit(' ').next().unwrap_or_default().parse().unwrap();
                *all.entry(what.join(" ").trim_end().to_owned()).or_default() += count as u64;
            }
        }
        all
    }

    /// Requests so far that the API server refused for want of a right.
    pub async fn forbidden(&self) -> u64 {
        self.metric(REQUESTS, &["outcome=\"forbidden\""]).await
    }

    /// Status and text of an answer of the admin server; `None` when there is none.
    pub async fn get(&self, path: &str) -> Option<(u16, String)> {
        let exchange = async {
            let mut stream = TcpStream::connect(&self.admin).await?;
            let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        let answer = tokio::time::timeout(Duration::from_secs(5), exchange)
            .await
            .ok()?
            .ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        Some((status, answer))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const REQUESTS: &str = "gamekeeper_api_requests_total";
const WRITES: [&str; 5] = ["create", "patch", "apply", "delete", "update"];
const NOT_COUNTED: [&str; 2] = ["events", "leases"];

fn admin_address(line: &str) -> Option<String> {
    let record: serde_json::Value = serde_json::from_str(line).ok()?;
    let fields = record.get("fields").unwrap_or(&record);
    fields.get("admin_address")?.as_str().map(str::to_owned)
}

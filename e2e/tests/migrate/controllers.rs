//! Our controllers as processes, for one namespace.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::World;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::tools::kubeconfig;

/// A running controller; killed when dropped.
pub(crate) struct Controller {
    child: Child,
    admin: SocketAddr,
}

impl Controller {
    /// Starts `program` for the world's namespace and waits until it is ready.
    pub(crate) async fn start(world: &World, program: &str) -> Result<Self> {
        let admin = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let alone = if program == "pod-sync" {
            "--shards=0"
        } else {
            "--leader-elect=false"
        };
        let child = Command::new(directory()?.join(program))
            .args(["--kubeconfig", &kubeconfig()?, "--namespace", &world.namespace])
            .args([
                "--admin-address",
                &admin.to_string(),
                "--log-format",
                "text",
                alone,
            ])
            .spawn()
            .with_context(|| format!("can't start {program}: run `cargo build --workspace --bins`"))?;
        let controller = Self { child, admin };
        let deadline = Instant::now() + Duration::from_secs(30);
        while !controller
            .fetch("/readyz")
            .await
            .is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
        {
            ensure!(Instant::now() < deadline, "{program} is not ready within 30 s");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(controller)
    }

    /// Writes sent so far by verb, resource and subresource, events and leases not counted. Waits until no request is
    /// under way: what a request did can be seen before its answer has come and it counts.
    pub(crate) async fn writes(&self) -> Result<BTreeMap<String, u64>> {
        let deadline = Instant::now() + Duration::from_secs(30);
        let answer = loop {
            let answer = self.fetch("/metrics").await.context("no metrics")?;
            if answer
                .lines()
                .any(|line| line == "gamekeeper_api_requests_in_flight 0")
            {
                break answer;
            }
            ensure!(Instant::now() < deadline, "requests are under way for 30 s");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let mut all = BTreeMap::new();
        for line in answer
            .lines()
            .filter(|line| line.starts_with("gamekeeper_api_requests_total{"))
        {
            let label = |name: &str| {
                let rest = line.split(&format!("{name}=\"")).nth(1)?;
                rest.split('"').next()
            };
            let what = ["verb", "resource", "subresource"].map(|name| label(name).unwrap_or_default());
            if !["get", "list", "watch"].contains(&what[0]) && !["events", "leases"].contains(&what[1]) {
                let count: f64 = line.rsplit(' ').next().unwrap_or_default().parse()?;
                *all.entry(what.join(" ").trim_end().to_owned()).or_default() += count as u64;
            }
        }
        Ok(all)
    }

    async fn fetch(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.admin).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder this test was built into has the programs of the same build.
fn directory() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let profile = test
        .parent()
        .and_then(|deps| deps.parent())
        .context("not in a target folder")?;
    Ok(profile.to_path_buf())
}

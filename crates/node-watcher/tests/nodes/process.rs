//! The controller's process.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::{World, eventually};

/// A running node-watcher; killed when dropped.
pub(crate) struct NodeWatcher {
    child: Child,
    admin: SocketAddr,
}

impl NodeWatcher {
    /// Starts the program for the world's namespace and waits until it is ready.
    pub(crate) async fn start(world: &World, flags: &[&str]) -> Self {
        let mut all = vec!["--leader-elect=false"];
        all.extend(flags);
        Self::start_as(world, &world.kubeconfig, &all).await
    }

    pub(crate) async fn start_as(world: &World, kubeconfig: &Path, flags: &[&str]) -> Self {
        let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_node-watcher"))
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(["--admin-address", &admin.to_string(), "--log-format", "text"])
            .args(["--namespace", &world.namespace])
            .args(flags)
            .spawn()
            .unwrap();
        let process = Self { child, admin };
        let ready = async || process.fetch("/readyz").await.unwrap_or_default();
        eventually("the controller is ready", ready, |answer| {
            answer.starts_with("HTTP/1.1 200")
        })
        .await;
        process
    }

    async fn fetch(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.admin).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    }

    /// The sum of a metric over the series whose labels contain `label`.
    pub(crate) async fn metric(&self, name: &str, label: &str) -> u64 {
        let answer = self.fetch("/metrics").await.unwrap();
        let of_name =
            |line: &&str| line.starts_with(&format!("{name}{{")) || line.starts_with(&format!("{name} "));
        answer
            .lines()
            .filter(of_name)
            .filter(|line| line.contains(label))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64)
            .sum()
    }

    /// Writes to GameServers sent so far.
    pub(crate) async fn writes(&self) -> u64 {
        let mut sum = 0;
        for verb in ["apply", "patch"] {
            let label = format!("verb=\"{verb}\",resource=\"gameservers\"");
            sum += self.metric("gamekeeper_api_requests_total", &label).await;
        }
        sum
    }

    /// Runs of the queue so far.
    pub(crate) async fn reconciles(&self) -> u64 {
        self.metric("gamekeeper_reconciles_total", "").await
    }
}

impl Drop for NodeWatcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

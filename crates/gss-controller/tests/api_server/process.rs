//! A running gss-controller.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command},
    time::Instant,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::{PATIENCE, World, pause};

/// A running gss-controller; killed when dropped, which to every later start looks like a crash.
pub(crate) struct Controller {
    child: Child,
    admin: SocketAddr,
}

impl Controller {
    /// Starts the program for the world's namespace, without leader election, and waits until it is ready.
    pub(crate) async fn start(world: &World) -> Self {
        Self::start_with(&world.kubeconfig, &world.namespace, &["--leader-elect=false"]).await
    }

    pub(crate) async fn start_with(kubeconfig: &Path, namespace: &str, flags: &[&str]) -> Self {
        let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_gss-controller"))
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
        let end = Instant::now() + PATIENCE;
        while !controller
            .fetch("/readyz")
            .await
            .is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
        {
            assert!(
                controller.child.try_wait().unwrap().is_none(),
                "the controller ended"
            );
            assert!(Instant::now() < end, "the controller did not become ready");
            pause().await;
        }
        controller
    }

    /// Stops and continues the process, as a busy machine does.
    pub(crate) fn signal(&self, signal: &str) {
        let done = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(done.success());
    }

    /// The sum of a metric over the series that have all these labels.
    pub(crate) async fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        let answer = self.fetch("/metrics").await.unwrap();
        answer
            .lines()
            .filter(|line| {
                line.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with(['{', ' ']))
            })
            .filter(|line| labels.iter().all(|label| line.contains(label)))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64)
            .sum()
    }

    /// Writes sent so far, events not counted.
    pub(crate) async fn writes(&self) -> u64 {
        let mut sum = 0;
        for verb in ["create", "patch", "apply", "delete"] {
            for resource in ["pods", "gameservers", "gameserversets"] {
                let labels = [&*format!("verb=\"{verb}\""), &*format!("resource=\"{resource}\"")];
                sum += self.metric("gamekeeper_api_requests_total", &labels).await;
            }
        }
        sum
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

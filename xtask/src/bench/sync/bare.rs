//! The process that is measured beside Gamekeeper: see `xtask/bare`.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bench_bare::{READY, Variant};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// A running bare, as a process of its own like the controllers; killed when dropped.
pub(super) struct Bare {
    child: Child,
}

impl Bare {
    pub(super) async fn start(
        program: &Path,
        kubeconfig: &Path,
        namespace: &str,
        variant: Variant,
    ) -> Result<Self> {
        let mut child = Command::new(program)
            .args(["--namespace", namespace, "--kubeconfig"])
            .arg(kubeconfig)
            .args(["--variant", variant.name()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("can't start bare")?;
        let stdout = child.stdout.take().context("bare has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await??;
        if line.as_deref() != Some(READY) {
            bail!("bare didn't start: {line:?}");
        }
        Ok(Self { child })
    }

    pub(super) async fn stop(mut self) -> Result<()> {
        self.child.kill().await.context("bare ended by itself")
    }
}

//! What the demo prints: headings, sentences, and kubectl's own words.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::cluster::Cluster;

/// A step's title.
pub(super) fn heading(title: &str) {
    println!("\n--- {title}");
}

/// A sentence.
pub(super) fn say(sentence: &str) {
    println!("{sentence}");
}

/// kubectl against the demo's cluster; every call is shown with its output.
pub(super) struct Kubectl {
    binary: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    pub(super) fn new(cluster: &Cluster) -> Self {
        Self {
            binary: cluster.kubectl.clone(),
            kubeconfig: cluster.kubeconfig.clone(),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Runs kubectl; fails when it fails.
    pub(super) async fn show(&self, arguments: &[&str]) -> Result<()> {
        println!("$ kubectl {}", arguments.join(" "));
        if !self
            .command(arguments)
            .status()
            .await
            .context("can't run kubectl")?
            .success()
        {
            bail!("kubectl {} failed", arguments.join(" "));
        }
        println!();
        Ok(())
    }

    /// Runs kubectl, which must fail; gives its error output.
    pub(super) async fn fails(&self, arguments: &[&str]) -> Result<String> {
        println!("$ kubectl {}", arguments.join(" "));
        let output = self
            .command(arguments)
            .output()
            .await
            .context("can't run kubectl")?;
        if output.status.success() {
            bail!("kubectl {} was expected to be refused", arguments.join(" "));
        }
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        println!("{text}");
        Ok(text)
    }

    /// `kubectl apply -f -`, with strict validation of fields.
    pub(super) async fn apply(&self, manifest: &str) -> Result<()> {
        println!("$ kubectl apply --validate=strict -f -");
        let mut child = self
            .command(&["apply", "--validate=strict", "-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .context("can't run kubectl")?;
        let mut input = child.stdin.take().context("kubectl has no input")?;
        input.write_all(manifest.as_bytes()).await?;
        drop(input);
        if !child.wait().await?.success() {
            bail!("kubectl apply failed");
        }
        Ok(())
    }
}

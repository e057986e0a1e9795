//! `trial flow`: a set with players, driven from a shell script as a user would, with kubectl and curl.

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use tokio::process::Command;

use super::{Session, SessionOptions, write_json};
use crate::bench::game_api::Certificate;
use crate::cluster::paths::{local_bin_dir, repo_root};
use crate::fleet::FleetOptions;

/// Flags of `trial flow`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    session: SessionOptions,
}

#[derive(Debug, Serialize)]
struct Outcome {
    seconds: f64,
}

const SCRIPT: &str = "e2e/flows/players.sh";
/// The longest it may take.
const LIMIT: Duration = Duration::from_mins(8);

/// Runs the trial.
///
/// # Errors
/// When it can't run, or when something did not come to what the script expects.
pub(super) async fn run(options: Options) -> Result<()> {
    let certificate = Certificate::make()?;
    let port = e2e::ports::free()?;
    let fleet = FleetOptions {
        profile: options.session.profile,
        gss_args: vec![format!("--game-api-url=https://localhost:{port}")],
        game_api: Some(certificate.flags(port)),
        ..Default::default()
    };
    let session = Session::start("trial-flow", &options.session, &fleet).await?;
    let begun = Instant::now();
    let told = tell(&session.kubeconfig, &certificate.file("tls.crt")).await;
    let outcome = Outcome {
        seconds: begun.elapsed().as_secs_f64(),
    };
    let stopped = session.stop().await;
    told?;
    stopped?;
    write_json(options.session.json.as_deref(), &outcome)
}

async fn tell(kubeconfig: &Path, certificate: &Path) -> Result<()> {
    // kubectl of the cluster's version before any other.
    let mut path = OsString::from(local_bin_dir()?);
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut script = Command::new("bash")
        .arg(repo_root().join(SCRIPT))
        .env("KUBECONFIG", kubeconfig)
        .env("CA_FILE", certificate)
        .env("PATH", path)
        .kill_on_drop(true)
        .spawn()
        .context("can't run bash")?;
    let ended = tokio::time::timeout(LIMIT, script.wait()).await;
    let status = ended.with_context(|| format!("{SCRIPT} did not end within {} s", LIMIT.as_secs()))??;
    ensure!(status.success(), "{SCRIPT} ended with {status}");
    Ok(())
}

//! The cluster under test, and the repository's files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// Names the kubeconfig of the cluster under test.
const KUBECONFIG: &str = "GAMEKEEPER_TEST_KUBECONFIG";

/// A client with the rights of the kubeconfig's user, which tests expect to be an administrator.
///
/// # Errors
/// Without a cluster; the message says how to get one.
pub async fn client() -> Result<Client> {
    Ok(Client::try_from(config().await?)?)
}

/// The same, but for what the API server refuses for now (429): that is an answer, and is not asked for again.
///
/// # Errors
/// As [`client`].
pub async fn client_without_retries() -> Result<Client> {
    let mut config = config().await?;
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

async fn config() -> Result<Config> {
    let path = kubeconfig()?;
    let kubeconfig =
        Kubeconfig::read_from(&path).with_context(|| format!("can't read kubeconfig {}", path.display()))?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.connect_timeout = Some(Duration::from_secs(5));
    Ok(config)
}

fn kubeconfig() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(KUBECONFIG) {
        return Ok(path.into());
    }
    match cache().map(|cache| cache.join("clusters/dev/kubeconfig")) {
        Some(path) if path.exists() => Ok(path),
        _ => bail!("no cluster: run `cargo xtask cluster up` or `make test`"),
    }
}

/// What a command came to.
#[derive(Debug)]
pub struct Done {
    /// Whether it exited with 0.
    pub success: bool,
    /// What it printed, errors included.
    pub output: String,
}

/// Runs `kubectl` as an operator of the cluster under test would: that of the tool's cache, or else the machine's.
///
/// # Errors
/// Without a cluster, and when it can't be run.
pub async fn kubectl(arguments: &[&str]) -> Result<Done> {
    let program = [
        std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from),
        cache().map(|cache| cache.join("local/bin")),
    ]
    .into_iter()
    .flatten()
    .map(|directory| directory.join("kubectl"))
    .find(|path| path.exists())
    .unwrap_or_else(|| "kubectl".into());
    run(&program, arguments).await
}

/// Runs `kubectl gs`, as it was built with the controllers.
///
/// # Errors
/// As [`kubectl`].
pub async fn kubectl_gs(arguments: &[&str]) -> Result<Done> {
    // Tests are in a folder of the folder of programs.
    let test = std::env::current_exe()?;
    let programs = test.parent().and_then(Path::parent);
    let programs = programs.context("the test's own folder is not known")?;
    run(&programs.join("kubectl-gs"), arguments).await
}

async fn run(program: &Path, arguments: &[&str]) -> Result<Done> {
    let ran = tokio::process::Command::new(program)
        .arg("--kubeconfig")
        .arg(kubeconfig()?)
        .args(arguments)
        .output()
        .await
        .with_context(|| format!("can't run {}", program.display()))?;
    let output = [ran.stdout, ran.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    Ok(Done {
        success: ran.status.success(),
        output: output.concat(),
    })
}

/// Where `cargo xtask` keeps what it built.
fn cache() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("GAMEKEEPER_CACHE") {
        return Some(path.into());
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    Some(cache.join("gamekeeper"))
}

/// Text of `e2e/manifests/NAME`.
///
/// # Errors
/// When there is no such file.
pub fn manifest(name: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests").join(name);
    std::fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))
}

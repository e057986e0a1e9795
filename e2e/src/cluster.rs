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
    let path = kubeconfig()?;
    let kubeconfig =
        Kubeconfig::read_from(&path).with_context(|| format!("can't read kubeconfig {}", path.display()))?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.connect_timeout = Some(Duration::from_secs(5));
    Ok(Client::try_from(config)?)
}

fn kubeconfig() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(KUBECONFIG) {
        return Ok(path.into());
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let default = cache.map(|cache| cache.join("gamekeeper/clusters/dev/kubeconfig"));
    match default {
        Some(path) if path.exists() => Ok(path),
        _ => bail!("no cluster: run `cargo xtask cluster up` or `make test`"),
    }
}

/// Text of `e2e/manifests/NAME`.
///
/// # Errors
/// When there is no such file.
pub fn manifest(name: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests").join(name);
    std::fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))
}

//! Clusters that something else runs: one the user names, or kind in Docker.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use super::control_plane;
use super::spec::{Nodes, Provider, Spec};
use super::state::State;

/// The provider for `spec`: the one it names, else the one `existing` was made by, else the first that is there.
pub(crate) async fn choose(spec: &Spec, existing: Option<Provider>) -> Provider {
    if let Some(provider) = spec.provider.or(existing) {
        return provider;
    }
    if spec.kubeconfig.is_some() {
        return Provider::Kubeconfig;
    }
    // Nodes of the kinds that can be asked for are a matter of the local provider.
    let asks_for_nodes = spec.nodes.is_some_and(|nodes| nodes != Nodes::NONE);
    if !asks_for_nodes && kind_problem().await.is_none() {
        Provider::Kind
    } else {
        Provider::Local
    }
}

/// Takes an existing cluster under the name of `spec`.
///
/// # Errors
/// When no kubeconfig is named, or nothing answers there.
pub(crate) async fn adopt(spec: &Spec) -> Result<State> {
    let named = spec
        .kubeconfig
        .clone()
        .or_else(|| std::env::var_os("KUBECONFIG").map(PathBuf::from));
    let named = named.filter(|path| !path.as_os_str().is_empty());
    let path = named.context("provider kubeconfig: name a file with --kubeconfig, or set KUBECONFIG")?;
    let path = std::path::absolute(&path)?;
    control_plane::check(&path).await?;
    Ok(State {
        provider: Provider::Kubeconfig,
        kubeconfig: Some(path),
        ..State::default()
    })
}

/// Brings a kind cluster up, or finds it up.
///
/// # Errors
/// When kind or Docker isn't there, or kind fails.
pub(crate) async fn kind_up(name: &str, dir: &Path) -> Result<State> {
    if let Some(problem) = kind_problem().await {
        bail!("provider kind: {problem}");
    }
    let path = dir.join("kubeconfig");
    let cluster = kind_name(name);
    let exists = kind(&["get", "clusters"])
        .await?
        .lines()
        .any(|line| line == cluster);
    if exists {
        let content = kind(&["get", "kubeconfig", "--name", &cluster]).await?;
        super::state::write_atomically(&path, content.as_bytes(), 0o600)?;
    } else {
        eprintln!(
            "kind makes cluster {cluster} (about a minute; longer when its node image has to be pulled)"
        );
        let target = path.display().to_string();
        kind(&[
            "create",
            "cluster",
            "--name",
            &cluster,
            "--kubeconfig",
            &target,
            "--wait",
            "120s",
        ])
        .await?;
    }
    control_plane::check(&path).await?;
    Ok(State {
        provider: Provider::Kind,
        ..State::default()
    })
}

/// Deletes the kind cluster.
///
/// # Errors
/// When kind fails.
pub(crate) async fn kind_down(name: &str) -> Result<()> {
    kind(&["delete", "cluster", "--name", &kind_name(name)])
        .await
        .map(|_| ())
}

/// kind's name of the cluster `name`.
pub(crate) fn kind_name(name: &str) -> String {
    format!("gamekeeper-{name}")
}

/// Why kind can't be used; `None` when it can.
async fn kind_problem() -> Option<&'static str> {
    if Command::new("kind").arg("version").output().await.is_err() {
        return Some("install kind (https://kind.sigs.k8s.io), or use --provider local or kubeconfig");
    }
    let docker = Command::new("docker")
        .args(["info", "--format", "{{.ID}}"])
        .output()
        .await;
    if docker.is_ok_and(|output| output.status.success()) {
        None
    } else {
        Some("kind needs a running Docker: start it, or use --provider local or kubeconfig")
    }
}

async fn kind(args: &[&str]) -> Result<String> {
    let output = Command::new("kind")
        .args(args)
        .output()
        .await
        .context("can't run kind")?;
    if !output.status.success() {
        bail!(
            "kind {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_named_goes_before_what_is_found() {
        let named = Spec {
            provider: Some(Provider::Local),
            kubeconfig: Some("/k".into()),
            ..Spec::default()
        };
        assert_eq!(choose(&named, Some(Provider::Kind)).await, Provider::Local);
        let by_file = Spec {
            kubeconfig: Some("/k".into()),
            ..Spec::default()
        };
        assert_eq!(choose(&by_file, None).await, Provider::Kubeconfig);
        // A cluster that is there keeps its provider, even if kind was installed since.
        assert_eq!(
            choose(&Spec::default(), Some(Provider::Local)).await,
            Provider::Local
        );
        let nodes = Spec::new(
            "x",
            Nodes {
                kwok: 1,
                kubelet: false,
            },
        );
        assert_eq!(choose(&nodes, None).await, Provider::Local);
    }
}

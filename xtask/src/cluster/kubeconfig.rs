//! Kubeconfigs, and the client made from one.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;

use super::certs::Pair;
use super::state::write_atomically;

/// Writes a kubeconfig with embedded credentials: it works from any folder and can be copied as one file.
///
/// # Errors
/// When a certificate is missing or the folder can't be written.
pub(crate) fn write(path: &Path, cluster: &str, server: &str, ca: &Path, user: &Pair) -> Result<()> {
    let content = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": {"server": server, "certificate-authority-data": encoded(ca)?}}],
        "users": [{"name": cluster, "user": {
            "client-certificate-data": encoded(&user.cert)?,
            "client-key-data": encoded(&user.key)?,
        }}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": cluster}}],
        "current-context": cluster,
    });
    write_atomically(path, serde_yaml::to_string(&content)?.as_bytes(), 0o600)
}

fn encoded(path: &Path) -> Result<serde_json::Value> {
    let bytes = std::fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
    // ByteString is Kubernetes' base64 field type: no base64 crate needed.
    Ok(serde_json::to_value(k8s_openapi::ByteString(bytes))?)
}

/// A client for the kubeconfig at `path`.
///
/// # Errors
/// When the file can't be read or names no usable context.
pub(crate) async fn client(path: &Path) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(path).with_context(|| format!("can't read {}", path.display()))?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.connect_timeout = Some(Duration::from_secs(5));
    config.read_timeout = Some(Duration::from_secs(15));
    Ok(Client::try_from(config)?)
}

/// Whether the API server answers `/readyz` with "ok" now.
pub(crate) async fn is_ready(client: &Client) -> bool {
    let Ok(request) = http::Request::get("/readyz").body(Vec::new()) else {
        return false;
    };
    let answer = tokio::time::timeout(Duration::from_secs(5), client.request_text(request)).await;
    matches!(answer, Ok(Ok(text)) if text == "ok")
}

//! What an installation lays down: CRDs, namespace, ServiceAccounts and RBAC; and a kubeconfig per ServiceAccount.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::{Client, Config, ResourceExt};
use serde::Deserialize as _;

/// Namespace of the controllers' ServiceAccounts and Leases.
pub(crate) const SYSTEM_NAMESPACE: &str = "gamekeeper-system";
/// A token outlives any demo, trial or benchmark; the API server may shorten it.
const TOKEN_SECONDS: i64 = 24 * 3600;

/// A client for the kubeconfig at `path`, with the rights of whoever it names.
///
/// # Errors
/// When the file can't be read or names no usable context.
pub async fn client_for(path: &Path) -> Result<Client> {
    Ok(Client::try_from(config_for(path).await?)?)
}

/// The same, to which a refusal for now (429) is an answer, and nothing to ask again for.
///
/// # Errors
/// As [`client_for`].
pub async fn client_without_retries(path: &Path) -> Result<Client> {
    let mut config = config_for(path).await?;
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

async fn config_for(path: &Path) -> Result<Config> {
    let kubeconfig =
        Kubeconfig::read_from(path).with_context(|| format!("can't read kubeconfig {}", path.display()))?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.connect_timeout = Some(Duration::from_secs(5));
    Ok(config)
}

/// Applies the CRDs, then the namespace, ServiceAccounts and RBAC of every controller.
///
/// # Errors
/// When a file is missing or the API server refuses one of the objects.
pub async fn install(client: &Client, root: &Path) -> Result<()> {
    apply_directory(client, &root.join("crds")).await?;
    wait_for_crds(client).await?;
    ensure_namespace(client, SYSTEM_NAMESPACE).await?;
    apply_directory(client, &root.join("e2e/rbac")).await
}

async fn ensure_namespace(client: &Client, name: &str) -> Result<()> {
    apply_yaml(
        client,
        &format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n"),
        None,
    )
    .await
}

async fn apply_directory(client: &Client, directory: &Path) -> Result<()> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .with_context(|| format!("can't list {}", directory.display()))?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<std::io::Result<_>>()?;
    files.retain(|p| p.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    if files.is_empty() {
        bail!("no YAML in {}", directory.display());
    }
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        apply_yaml(client, &text, None)
            .await
            .with_context(|| format!("can't apply {}", file.display()))?;
    }
    Ok(())
}

/// Applies every document of `text` by server-side apply; `namespace` is used where a document names none.
///
/// # Errors
/// When a document isn't a Kubernetes object, its kind is unknown to the cluster, or the API server refuses it.
pub async fn apply_yaml(client: &Client, text: &str, namespace: Option<&str>) -> Result<()> {
    for document in serde_yaml::Deserializer::from_str(text) {
        let value = serde_json::Value::deserialize(document)?;
        if value.is_null() {
            continue;
        }
        let object: DynamicObject = serde_json::from_value(value)?;
        apply_object(client, object, namespace).await?;
    }
    Ok(())
}

async fn apply_object(client: &Client, object: DynamicObject, namespace: Option<&str>) -> Result<()> {
    let types = object
        .types
        .clone()
        .context("a document has no apiVersion and kind")?;
    let gvk = GroupVersionKind::try_from(&types)?;
    let (resource, capabilities) = kube::discovery::pinned_kind(client, &gvk).await?;
    let api: Api<DynamicObject> = if capabilities.scope == kube::discovery::Scope::Namespaced {
        let target = object
            .namespace()
            .or(namespace.map(str::to_owned))
            .unwrap_or_else(|| "default".into());
        Api::namespaced_with(client.clone(), &target, &resource)
    } else {
        Api::all_with(client.clone(), &resource)
    };
    let params = PatchParams::apply("gamekeeper-install").force();
    api.patch(&object.name_any(), &params, &Patch::Apply(&object))
        .await
        .with_context(|| format!("can't apply {} {}", types.kind, object.name_any()))?;
    Ok(())
}

/// Waits until the API server serves both kinds.
///
/// # Errors
/// After 60 s.
pub async fn wait_for_crds(client: &Client) -> Result<()> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    for kind in ["GameServerSet", "GameServer"] {
        let gvk = GroupVersionKind::gvk("game.kruise.io", "v1alpha1", kind);
        while kube::discovery::pinned_kind(client, &gvk).await.is_err() {
            if tokio::time::Instant::now() > deadline {
                bail!("the API server doesn't serve {kind} 60 s after its CRD was applied");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

/// Writes a kubeconfig for ServiceAccount `account`: the admin kubeconfig's cluster, a fresh token, nothing else.
///
/// # Errors
/// When the ServiceAccount is missing or no token is granted.
pub(crate) async fn service_account_kubeconfig(
    client: &Client,
    admin: &Path,
    account: &str,
    directory: &Path,
) -> Result<PathBuf> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let request = TokenRequest {
        spec: TokenRequestSpec {
            expiration_seconds: Some(TOKEN_SECONDS),
            ..Default::default()
        },
        ..Default::default()
    };
    let answer = accounts
        .create_token_request(account, &PostParams::default(), &request)
        .await
        .with_context(|| format!("no token for ServiceAccount {SYSTEM_NAMESPACE}/{account}"))?;
    let token = answer
        .status
        .context("the token request came back without a token")?
        .token;
    let mut kubeconfig: serde_json::Value = serde_yaml::from_str(&std::fs::read_to_string(admin)?)?;
    let user = serde_json::json!([{"name": account, "user": {"token": token}}]);
    let current = kubeconfig["current-context"].clone();
    let contexts = kubeconfig["contexts"]
        .as_array_mut()
        .context("the kubeconfig has no contexts")?;
    contexts.retain(|c| c["name"] == current || current.is_null());
    for context in contexts {
        context["context"]["user"] = account.into();
    }
    kubeconfig["users"] = user;
    let path = directory.join(format!("{account}.kubeconfig"));
    write_private(&path, &serde_yaml::to_string(&kubeconfig)?)?;
    Ok(path)
}

/// Writes the kubeconfig `account` to `path` with `address` in place of the API server: plain HTTP, on this machine only.
///
/// # Errors
/// When the first can't be read or the second not written.
pub(crate) fn routed_kubeconfig(account: &Path, address: SocketAddr, path: &Path) -> Result<()> {
    let mut kubeconfig: serde_json::Value = serde_yaml::from_str(&std::fs::read_to_string(account)?)?;
    let clusters = kubeconfig["clusters"].as_array_mut();
    for cluster in clusters.context("the kubeconfig has no clusters")? {
        cluster["cluster"] = serde_json::json!({"server": format!("http://{address}")});
    }
    write_private(path, &serde_yaml::to_string(&kubeconfig)?)
}

/// A kubeconfig holds a credential: readable by its owner alone.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    Ok(())
}

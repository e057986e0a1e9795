//! "Bare": the least that any program has to do so that opsState reaches the label. One watch, one patch a change, nothing else.
//!
//! It knows no resourceVersion, no owner, no shard and no other field, so it is wrong wherever two things happen at once. That is
//! what makes it a baseline: nothing correct can do less.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use api_types::{GameServer, keys};
use futures::{StreamExt as _, TryStreamExt as _};
use http::Request;
use kube::Client;
use kube::api::{Api, ListParams, WatchEvent};
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::fleet::client_for;

/// Flags of the hidden command that a measurement starts.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[arg(long)]
    kubeconfig: PathBuf,
    #[arg(long)]
    namespace: String,
}

/// What is read of a GameServer.
#[derive(Debug, Clone, Deserialize)]
struct Narrow {
    metadata: Named,
    spec: Spec,
}

#[derive(Debug, Clone, Deserialize)]
struct Named {
    name: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    ops_state: String,
}

const READY: &str = "watching";
/// Patches under way at once; the same as pod-sync's default.
const IN_FLIGHT: usize = 32;

/// Watches and patches until it is killed.
///
/// # Errors
/// When the API server can't be reached or the watch ends.
pub(in crate::bench) async fn run(options: Options) -> Result<()> {
    let client = client_for(&options.kubeconfig).await?;
    let api: Api<GameServer> = Api::namespaced(client.clone(), &options.namespace);
    let version = api
        .list_metadata(&ListParams::default())
        .await?
        .metadata
        .resource_version;
    let path = format!(
        "/apis/game.kruise.io/v1alpha1/namespaces/{}/gameservers?watch=1&timeoutSeconds=3600&resourceVersion={}",
        options.namespace,
        version.unwrap_or_default()
    );
    let request = Request::get(path).body(Vec::new())?;
    let events = client.request_events::<Narrow>(request).await?;
    println!("{READY}");
    let mut shown: HashMap<String, String> = HashMap::new();
    let changes = events.filter_map(|event| {
        let change = match event {
            Ok(WatchEvent::Added(server) | WatchEvent::Modified(server)) => {
                let (name, value) = (server.metadata.name, server.spec.ops_state);
                let before = shown.insert(name.clone(), value.clone());
                (before.as_ref() != Some(&value)).then_some(Ok((name, value)))
            }
            Ok(_) => None,
            Err(error) => Some(Err(anyhow::Error::from(error))),
        };
        std::future::ready(change)
    });
    changes
        .try_for_each_concurrent(IN_FLIGHT, |(name, value)| {
            show(client.clone(), &options.namespace, name, value)
        })
        .await?;
    bail!("the watch ended")
}

async fn show(client: Client, namespace: &str, name: String, value: String) -> Result<()> {
    let body = json!({"metadata": {"labels": {keys::label::GS_OPS_STATE: value}}});
    let request = Request::patch(format!("/api/v1/namespaces/{namespace}/pods/{name}"))
        .header(http::header::CONTENT_TYPE, "application/merge-patch+json")
        .header(
            http::header::ACCEPT,
            "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
        )
        .body(serde_json::to_vec(&body)?)?;
    if let Err(error) = client.request_text(request).await {
        eprintln!("bare: {name}: {error}");
    }
    Ok(())
}

/// A running bare, as a process of its own like the controllers; killed when dropped.
pub(super) struct Bare {
    child: Child,
}

impl Bare {
    pub(super) async fn start(kubeconfig: &Path, namespace: &str) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["bench", "bare", "--namespace", namespace, "--kubeconfig"])
            .arg(kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("can't start bare")?;
        let stdout = child.stdout.take().context("bare has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await??;
        if line.as_deref() != Some(READY) {
            bail!("bare didn't start: {line:?}");
        }
        Ok(Self { child })
    }

    pub(super) async fn stop(mut self) -> Result<()> {
        self.child.kill().await.context("bare ended by itself")
    }
}

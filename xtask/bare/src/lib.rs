//! "Bare": the least that any program has to do so that opsState reaches the label. One watch, one patch a change, nothing else.
//!
//! It knows no resourceVersion, no owner, no shard and no other field, so it is wrong wherever two things happen at once. That is
//! what makes it a baseline: nothing correct can do less.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use api_types::{GameServer, keys};
use controller_kit::client::load_config;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use http::Request;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::Client;
use kube::api::{Api, ListParams, WatchEvent};
use kube::client::{Body, ConfigExt as _};
use serde::Deserialize;
use serde_json::json;
use tower::{BoxError, ServiceBuilder};

/// Flags of the program that a measurement starts.
#[derive(Debug, clap::Parser)]
#[command(
    name = "bench-bare",
    version,
    about = "Carries opsState to the Pod label and does nothing else; for benchmarks"
)]
pub struct Options {
    /// Path of the kubeconfig.
    #[arg(long, value_name = "PATH")]
    kubeconfig: PathBuf,
    /// Namespace whose GameServers are followed.
    #[arg(long, value_name = "NAME")]
    namespace: String,
    /// What is done differently.
    #[arg(long, value_enum, default_value = "plain")]
    variant: Variant,
}

/// Bare with one thing done differently, to see what that costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Variant {
    /// As it is.
    Plain,
    /// Server-side apply in the place of a merge patch.
    Apply,
    /// A strategic merge patch in the place of a merge patch.
    Strategic,
    /// A watch with bookmarks.
    Bookmarks,
    /// Every GameServer decoded as a whole.
    Typed,
    /// The whole Pod in the answer to a patch, instead of its metadata.
    WholeAnswer,
    /// One HTTP/2 connection for everything in the place of a pool of HTTP/1.1 connections.
    Http2,
    /// A watch that begins with the objects there are (a streaming list) in the place of a list and a watch.
    StreamingList,
}

impl Variant {
    /// As `--variant` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Apply => "apply",
            Self::Strategic => "strategic",
            Self::Bookmarks => "bookmarks",
            Self::Typed => "typed",
            Self::WholeAnswer => "whole-answer",
            Self::Http2 => "http2",
            Self::StreamingList => "streaming-list",
        }
    }
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

/// Name of the program and its package.
pub const NAME: &str = "bench-bare";
/// What it says on its standard output once it watches.
pub const READY: &str = "watching";
/// Patches under way at once; the same as pod-sync's default.
const IN_FLIGHT: usize = 32;

/// Watches and patches until it is killed.
///
/// # Errors
/// When the API server can't be reached or the watch ends.
pub async fn run(options: Options) -> Result<()> {
    let client = if options.variant == Variant::Http2 {
        http2_client(&options.kubeconfig).await?
    } else {
        Client::try_from(load_config(Some(&options.kubeconfig)).await?)?
    };
    let from = beginning(&client, &options).await?;
    let path = format!(
        "/apis/game.kruise.io/v1alpha1/namespaces/{}/gameservers?watch=1&timeoutSeconds=3600&{from}",
        options.namespace,
    );
    let request = Request::get(path).body(Vec::new())?;
    if options.variant == Variant::Typed {
        let events = client.request_events::<GameServer>(request).await?;
        let read = |server: GameServer| {
            let value = server.spec.ops_state.unwrap_or_default();
            (server.metadata.name.unwrap_or_default(), value)
        };
        follow(&client, &options, events, read).await?;
    } else {
        let events = client.request_events::<Narrow>(request).await?;
        let read = |server: Narrow| (server.metadata.name, server.spec.ops_state);
        follow(&client, &options, events, read).await?;
    }
    bail!("the watch ended")
}

/// The parameters that say where a watch begins.
async fn beginning(client: &Client, options: &Options) -> Result<String> {
    if options.variant == Variant::StreamingList {
        return Ok(
            "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true".to_owned(),
        );
    }
    let api: Api<GameServer> = Api::namespaced(client.clone(), &options.namespace);
    let list = api.list_metadata(&ListParams::default()).await?;
    let version = list.metadata.resource_version.unwrap_or_default();
    let bookmarks = options.variant == Variant::Bookmarks;
    Ok(format!(
        "resourceVersion={version}&allowWatchBookmarks={bookmarks}"
    ))
}

/// A client whose requests, the watch among them, share one HTTP/2 connection.
async fn http2_client(kubeconfig: &Path) -> Result<Client> {
    let config = load_config(Some(kubeconfig)).await?;
    // Installing twice is an error that can be ignored: the provider is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let tls = HttpsConnectorBuilder::new()
        .with_tls_config(config.rustls_client_config()?)
        .https_only()
        .enable_http2()
        .wrap_connector(tcp);
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build::<_, Body>(tls);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace))
}

async fn follow<K: Clone>(
    client: &Client,
    options: &Options,
    events: impl Stream<Item = kube::Result<WatchEvent<K>>>,
    read: impl Fn(K) -> (String, String),
) -> Result<()> {
    println!("{READY}");
    let mut shown: HashMap<String, String> = HashMap::new();
    // What a streaming list begins with is no change; its end is a bookmark.
    let mut listing = options.variant == Variant::StreamingList;
    let changes = events.filter_map(|event| {
        let change = match event {
            Ok(WatchEvent::Added(server) | WatchEvent::Modified(server)) => {
                let (name, value) = read(server);
                let before = shown.insert(name.clone(), value.clone());
                (!listing && before.as_ref() != Some(&value)).then_some(Ok((name, value)))
            }
            Ok(WatchEvent::Bookmark(_)) => {
                listing = false;
                None
            }
            Ok(_) => None,
            Err(error) => Some(Err(anyhow::Error::from(error))),
        };
        std::future::ready(change)
    });
    changes
        .try_for_each_concurrent(IN_FLIGHT, |(name, value)| {
            show(client.clone(), options, name, value)
        })
        .await
}

async fn show(client: Client, options: &Options, name: String, value: String) -> Result<()> {
    let mut body = json!({"metadata": {"labels": {keys::label::GS_OPS_STATE: value}}});
    let mut path = format!("/api/v1/namespaces/{}/pods/{name}", options.namespace);
    let kind = match options.variant {
        Variant::Apply => {
            body["apiVersion"] = "v1".into();
            body["kind"] = "Pod".into();
            path += "?fieldManager=bare&force=true";
            "application/apply-patch+yaml"
        }
        Variant::Strategic => "application/strategic-merge-patch+json",
        _ => "application/merge-patch+json",
    };
    let answer = match options.variant {
        Variant::WholeAnswer => "application/json",
        _ => "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    };
    let request = Request::patch(path)
        .header(http::header::CONTENT_TYPE, kind)
        .header(http::header::ACCEPT, answer)
        .body(serde_json::to_vec(&body)?)?;
    if let Err(error) = client.request_text(request).await {
        eprintln!("bare: {name}: {error}");
    }
    Ok(())
}

//! `bench network`: from apply to all servers reachable, with each plugin, and what it costs in requests.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use api_types::{GameServer, GameServerSet};
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::runtime::watcher;
use kube::{Client, ResourceExt as _};
use serde::Serialize;
use serde_json::{Value, json};

use crate::fleet::{Controller, FleetOptions, Scrape};
use crate::trial::{Cloud, ID_ANNOTATION, Session, SessionOptions, write_json};

/// Flags of `bench network`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    session: SessionOptions,
    /// Game servers of each set.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    servers: u32,
    /// Seconds of rest in which writes are counted, after each plugin.
    #[arg(long, default_value_t = 5)]
    rest: u64,
}

#[derive(Debug, Serialize)]
struct Outcome {
    servers: u32,
    plugins: BTreeMap<&'static str, Figures>,
}

#[derive(Debug, Serialize)]
struct Figures {
    seconds_to_servers_ready: f64,
    seconds_to_networks_ready: f64,
    requests_per_server: f64,
    requests_by_kind: BTreeMap<String, f64>,
    writes_at_rest: f64,
    rss_bytes: u64,
}

const LIMIT: Duration = Duration::from_secs(300);
/// How late the cloud answers at most.
const CLOUD: Duration = Duration::from_millis(50);

/// A set's network: what it is called here, its type and its parameters.
type Case = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const CASES: [Case; 6] = [
    ("none", "", &[]),
    (
        "host port",
        "Kubernetes-HostPort",
        &[("ContainerPorts", "game:7777/UDP")],
    ),
    (
        "node port",
        "Kubernetes-NodePort",
        &[("PortProtocols", "7777/UDP")],
    ),
    (
        "ingress",
        "Kubernetes-Ingress",
        &[
            ("Host", "game<id>.example.org"),
            ("Path", "/"),
            ("PathType", "Prefix"),
            ("Port", "5000"),
        ],
    ),
    (
        "load balancer",
        "Kubernetes-LoadBalancer",
        &[("PortProtocols", "7777/UDP")],
    ),
    (
        "shared load balancer",
        "Kubernetes-LoadBalancer",
        &[
            ("PortProtocols", "7777/UDP"),
            ("LoadBalancerIds", "lb-a,lb-b"),
            ("IdAnnotation", ID_ANNOTATION),
            ("MinPort", "1000"),
            ("MaxPort", "4000"),
        ],
    ),
];

/// Runs the benchmark.
///
/// # Errors
/// When it can't run or something writes at rest.
pub(super) async fn run(options: Options) -> Result<()> {
    let fleet = FleetOptions {
        profile: options.session.profile,
        ..Default::default()
    };
    let session = Session::start("bench-network", &options.session, &fleet).await?;
    let outcome = measure(&session, &options).await;
    let stopped = session.stop().await;
    let outcome = outcome?;
    write_json(options.session.json.as_deref(), &outcome)?;
    stopped?;
    println!(
        "{} servers        servers Ready   networks Ready   requests/server",
        outcome.servers
    );
    for (name, figures) in &outcome.plugins {
        println!(
            "{name:<22} {:>8.1} s {:>14.1} s {:>14.2}",
            figures.seconds_to_servers_ready, figures.seconds_to_networks_ready, figures.requests_per_server
        );
    }
    let at_rest: f64 = outcome
        .plugins
        .values()
        .map(|figures| figures.writes_at_rest)
        .sum();
    if at_rest > 0.0 {
        bail!("{at_rest} writes of network-plugins at rest; there must be none");
    }
    Ok(())
}

async fn measure(session: &Session, options: &Options) -> Result<Outcome> {
    let _cloud = Cloud::start(&session.client, CLOUD);
    let mut plugins = BTreeMap::new();
    for case in CASES {
        let figures = one(session, options, case).await?;
        eprintln!("{}: {:.1} s", case.0, figures.seconds_to_networks_ready);
        plugins.insert(case.0, figures);
    }
    Ok(Outcome {
        servers: options.servers,
        plugins,
    })
}

async fn one(session: &Session, options: &Options, (_, type_, parameters): Case) -> Result<Figures> {
    let namespaces: Api<Namespace> = Api::all(session.client.clone());
    let wanted: Namespace = serde_json::from_value(json!({"metadata": {"generateName": "network-"}}))?;
    let namespace = namespaces
        .create(&PostParams::default(), &wanted)
        .await?
        .name_any();
    let before = scrape(session).await?;
    let begun = Instant::now();
    let sets: Api<GameServerSet> = Api::namespaced(session.client.clone(), &namespace);
    let set = serde_json::from_value(manifest(options.servers, type_, parameters))?;
    sets.create(&PostParams::default(), &set).await?;
    let servers: Api<GameServer> = Api::namespaced(session.client.clone(), &namespace);
    let seen = all_ready(servers, options.servers as usize, !type_.is_empty(), begun);
    let (ready, reachable) = tokio::time::timeout(LIMIT, seen).await??;
    // Trailing writes belong to creation.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = scrape(session).await?;
    tokio::time::sleep(Duration::from_secs(options.rest)).await;
    let rested = scrape(session).await?;
    sets.delete("arena", &DeleteParams::background()).await?;
    wait_empty(&session.client, &namespace).await?;
    namespaces.delete(&namespace, &DeleteParams::default()).await?;
    let servers = f64::from(options.servers);
    let old = before.writes_by_kind();
    let by_kind = after.writes_by_kind().into_iter().filter_map(|(kind, count)| {
        let more = (count - old.get(&kind).copied().unwrap_or(0.0)) / servers;
        (more > 0.0).then_some((kind, more))
    });
    Ok(Figures {
        seconds_to_servers_ready: ready,
        seconds_to_networks_ready: reachable,
        requests_per_server: (after.writes() - before.writes()) / servers,
        requests_by_kind: by_kind.collect(),
        writes_at_rest: rested.writes() - after.writes(),
        rss_bytes: after.usage().rss_bytes,
    })
}

fn manifest(servers: u32, type_: &str, parameters: &[(&str, &str)]) -> Value {
    let mut set = json!({
        "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "metadata": {"name": "arena"},
        "spec": {
            "replicas": servers,
            "gameServerTemplate": {"spec": {"terminationGracePeriodSeconds": 0,
                "containers": [{"name": "game", "image": "example.invalid/game:1"}]}},
        },
    });
    if !type_.is_empty() {
        let conf: Value = parameters
            .iter()
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect();
        set["spec"]["network"] = json!({"networkType": type_, "networkConf": conf});
    }
    set
}

/// Seconds until every server was Ready, and until every network was, where there is one.
async fn all_ready(
    servers: Api<GameServer>,
    expected: usize,
    network: bool,
    begun: Instant,
) -> Result<(f64, f64)> {
    let (mut ready, mut reachable) = (HashSet::new(), HashSet::new());
    let (mut all_ready, mut all_reachable) = (None, None);
    let mut events = Box::pin(watcher(servers, watcher::Config::default()));
    while let Some(event) = events.try_next().await? {
        let (watcher::Event::Apply(server) | watcher::Event::InitApply(server)) = event else {
            continue;
        };
        let status = server.status.as_ref();
        let state = status.and_then(|status| status.current_state.as_ref());
        if state.is_some_and(|state| state.as_str() == "Ready") {
            ready.insert(server.name_any());
        }
        let network_status = status.and_then(|status| status.network_status.as_ref());
        let reached = network_status.and_then(|network| network.current_network_state.as_deref());
        if !network || reached == Some("Ready") {
            reachable.insert(server.name_any());
        }
        let now = begun.elapsed().as_secs_f64();
        if ready.len() == expected {
            all_ready.get_or_insert(now);
        }
        if reachable.len() == expected {
            all_reachable.get_or_insert(now);
        }
        if let (Some(ready), Some(reachable)) = (all_ready, all_reachable) {
            return Ok((ready, reachable));
        }
    }
    bail!("the watch of the GameServers ended");
}

async fn scrape(session: &Session) -> Result<Scrape> {
    let mut all = session.fleet.scrape().await?.into_iter();
    all.find(|(controller, _)| *controller == Controller::NetworkPlugins)
        .map(|(_, scrape)| scrape)
        .ok_or_else(|| anyhow::anyhow!("no network-plugins is running"))
}

/// Waits until the Pods of the last measurement are gone, so that their deletion costs the next one nothing.
async fn wait_empty(client: &Client, namespace: &str) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let services: Api<k8s_openapi::api::core::v1::Service> = Api::namespaced(client.clone(), namespace);
    let one = ListParams::default().limit(1);
    loop {
        let left =
            pods.list_metadata(&one).await?.items.len() + services.list_metadata(&one).await?.items.len();
        if left == 0 {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!(
                "Pods or Services are still being deleted after {} s",
                LIMIT.as_secs()
            );
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

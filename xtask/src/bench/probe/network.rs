//! Many simulated servers whose probes go over the network: httpGet and tcpSocket, answered by one program on this machine.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use api_types::GameServer;
use axum::Router;
use axum::routing::get;
use kube::Client;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio::process::Command;
use tokio_util::task::AbortOnDropHandle;

use super::load::{self, Load};
use super::{SETTLE, apply};
use crate::cluster::{self, Cluster, Nodes};
use crate::fleet::{Fleet, FleetOptions, client_for};

const CLUSTER: &str = "bench-probe-network";
const NODES: u32 = 20;
/// Where the simulated nodes' Pods have their addresses; see `cluster::kwok`.
const PODS: &str = "10.212.0.0/16";
/// Where the servers are probed.
pub(crate) const PORT: u16 = 18_080;
/// Writes that belong to the servers' making may take so long.
const TRAILING: Duration = Duration::from_mins(12);
/// Connections that may wait to be accepted: a whole period's probes at once.
const BACKLOG: u32 = 4_096;

/// Measures the central prober with half of the servers probed by httpGet and half by tcpSocket, every three seconds each.
pub(super) async fn measure(servers: u32, seconds: u64, options: FleetOptions) -> Result<Load> {
    let nodes = Nodes {
        kwok: NODES,
        kubelet: false,
    };
    let running = cluster::up(&cluster::Spec::new(CLUSTER, nodes)).await?;
    let load = on(&running, servers, seconds, options).await;
    cluster::down(CLUSTER).await?;
    load
}

async fn on(running: &Cluster, servers: u32, seconds: u64, options: FleetOptions) -> Result<Load> {
    let _answering = answer(Router::new().route("/healthz", get(async || "ok")))?;
    let route = Route::add().await?;
    let load = probed(running, servers, seconds, options).await;
    route.remove().await?;
    load
}

async fn probed(running: &Cluster, servers: u32, seconds: u64, options: FleetOptions) -> Result<Load> {
    let client = client_for(&running.kubeconfig).await?;
    let options = FleetOptions {
        cluster_dir: Some(running.dir.clone()),
        central: true,
        ..options
    };
    let fleet = Fleet::start(&cluster::paths::repo_root(), &running.kubeconfig, &options).await?;
    let half = servers / 2;
    let http = json!({"httpGet": {"path": "/healthz", "port": PORT}});
    let tcp = json!({"tcpSocket": {"port": PORT}});
    apply(&client, set("by-http", servers - half, &http)).await?;
    apply(&client, set("by-tcp", half, &tcp)).await?;
    idle(&client, servers as usize).await?;
    fleet.come_to_rest(TRAILING).await?;
    let load = load::measure(&fleet, seconds).await?;
    fleet.stop().await?;
    Ok(load)
}

fn set(name: &str, replicas: u32, probe: &Value) -> Value {
    let mut quality = json!({"name": "answers", "permanent": false, "periodSeconds": 3,
        "serviceQualityAction": [{"state": true, "opsState": "None"}, {"state": false, "opsState": "Maintaining"}]});
    if let (Some(quality), Some(probe)) = (quality.as_object_mut(), probe.as_object()) {
        quality.extend(probe.clone());
    }
    json!({"apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "metadata": {"name": name},
        "spec": {"replicas": replicas, "serviceQualities": [quality],
            "gameServerTemplate": {"spec": {"containers": [{"name": "game", "image": "example.invalid/game:1"}]}}}})
}

/// Waits until every server's probe has succeeded once.
async fn idle(client: &Client, servers: usize) -> Result<()> {
    let api: Api<GameServer> = Api::default_namespaced(client.clone());
    let begun = Instant::now();
    loop {
        // From the watch cache: a list of 2,000 objects from etcd each second would be a load of its own.
        let list = api.list(&ListParams::default().match_any()).await?;
        let answered = list.iter().filter(|server| succeeded(server)).count();
        if answered == servers {
            return Ok(());
        }
        if begun.elapsed() > SETTLE * 3 {
            bail!(
                "after {:?} the probes of {answered} of {servers} servers succeeded",
                begun.elapsed()
            );
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

fn succeeded(server: &GameServer) -> bool {
    server.status.as_ref().is_some_and(|status| {
        let conditions = &status.service_qualities_conditions;
        !conditions.is_empty()
            && conditions
                .iter()
                .all(|condition| condition.status.as_deref() == Some("True"))
    })
}

/// Lets `app` answer every request at [`PORT`] of every address of this machine's own, and of nobody else's: only what comes in over loopback.
pub(crate) fn answer(app: Router) -> Result<AbortOnDropHandle<()>> {
    let socket = TcpSocket::new_v4()?;
    socket.bind_device(Some(b"lo"))?;
    socket.set_reuseaddr(true)?;
    socket
        .bind((Ipv4Addr::UNSPECIFIED, PORT).into())
        .with_context(|| format!("can't listen at port {PORT}"))?;
    let listener = socket.listen(BACKLOG)?;
    let serve = async move {
        if let Err(error) = axum::serve(listener, app).await {
            eprintln!("the answering program ended: {error}");
        }
    };
    Ok(AbortOnDropHandle::new(tokio::spawn(serve)))
}

/// The simulated Pods' addresses lead to this machine itself, over loopback, while this is there.
pub(crate) struct Route;

impl Route {
    pub(crate) async fn add() -> Result<Self> {
        ip("replace").await?;
        Ok(Self)
    }

    pub(crate) async fn remove(self) -> Result<()> {
        ip("del").await
    }
}

async fn ip(verb: &str) -> Result<()> {
    let status = Command::new("ip")
        .args(["route", verb, "local", PODS, "dev", "lo"])
        .status()
        .await
        .context("can't run ip(8)")?;
    ensure!(
        status.success(),
        "ip route {verb} local {PODS} dev lo failed: it needs root"
    );
    Ok(())
}

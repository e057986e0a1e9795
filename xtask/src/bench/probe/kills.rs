//! A process of a server is killed from outside the container, and its opsState is waited for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use api_types::GameServer;
use futures::{StreamExt as _, TryStreamExt as _};
use kube::Client;
use kube::ResourceExt as _;
use kube::api::Api;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::json;
use tokio::sync::watch;

use super::SETTLE;

/// `periodSeconds × failureThreshold` of the probe.
pub(super) const BOUND_MS: u64 = 2_000;
const SERVERS: u32 = 10;
const SET: &str = "killed";
const DOWN: &str = "GateMaintaining";

/// The gate is started again some time after its end, longer than it takes to be seen dead.
const KEEPER: &str = "echo 'while :; do sleep 1000; done' > /tmp/gate-$HOSTNAME.sh\n\
    while :; do sh /tmp/gate-$HOSTNAME.sh & echo $! > /tmp/pid; wait $!; sleep 6; done";

type States = BTreeMap<String, (String, Instant)>;

/// Milliseconds from each kill to the opsState on the GameServer.
pub(super) async fn measure(client: &Client, kills: u32) -> Result<Vec<f64>> {
    let container = json!({"name": "game", "image": "gamekeeper.local/demo/game:1", "imagePullPolicy": "Never",
        "command": ["sh", "-c", KEEPER]});
    let quality = json!({"name": "gate", "permanent": false, "exec": {"command": ["sh", "-c", "kill -0 $(cat /tmp/pid)"]},
        "initialDelaySeconds": 1, "periodSeconds": 1, "failureThreshold": 2,
        "serviceQualityAction": [{"state": true, "opsState": "None"}, {"state": false, "opsState": DOWN}]});
    let set = json!({"apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "metadata": {"name": SET},
        "spec": {"replicas": SERVERS, "serviceQualities": [quality],
            "gameServerTemplate": {"spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}}}});
    super::apply(client, set).await?;
    let (states, seen) = watch::channel(States::new());
    let followed = tokio::spawn(follow(client.clone(), states));
    let servers = (0..SERVERS).map(|id| one(format!("{SET}-{id}"), seen.clone(), kills.div_ceil(SERVERS)));
    let times = futures::future::try_join_all(servers).await;
    followed.abort();
    super::delete(client, SET).await?;
    Ok(times?.concat())
}

/// Keeps each server's opsState, with when it was first seen.
async fn follow(client: Client, states: watch::Sender<States>) -> Result<()> {
    let servers: Api<GameServer> = Api::default_namespaced(client);
    let mut changes = watcher(servers, watcher::Config::default())
        .applied_objects()
        .boxed();
    while let Some(server) = changes.try_next().await? {
        let said = server
            .status
            .as_ref()
            .is_some_and(|it| !it.service_qualities_conditions.is_empty());
        let state = server.spec.ops_state.clone().unwrap_or_default();
        // Before the first result the opsState says nothing.
        let state = if said { state } else { String::new() };
        states.send_if_modified(|states| {
            let known = states
                .get(&server.name_any())
                .is_some_and(|(known, _)| *known == state);
            if !known {
                states.insert(server.name_any(), (state, Instant::now()));
            }
            !known
        });
    }
    bail!("the watch ended")
}

async fn one(server: String, mut seen: watch::Receiver<States>, kills: u32) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for _ in 0..kills {
        reached(&mut seen, &server, "None").await?;
        // Anywhere between two probes.
        tokio::time::sleep(Duration::from_millis(1_000 + rand::random_range(0..1_000))).await;
        let killed = Instant::now();
        kill(&server).await?;
        let at = reached(&mut seen, &server, DOWN).await?;
        times.push(at.saturating_duration_since(killed).as_secs_f64() * 1_000.0);
    }
    Ok(times)
}

async fn reached(seen: &mut watch::Receiver<States>, server: &str, state: &str) -> Result<Instant> {
    let there = seen.wait_for(|states| states.get(server).is_some_and(|(known, _)| known == state));
    let states = tokio::time::timeout(SETTLE, there)
        .await
        .with_context(|| format!("{server} isn't {state} after {SETTLE:?}"))??;
    states.get(server).map(|(_, at)| *at).context("the state is gone")
}

/// Kills the server's gate, which this machine sees as any other process.
async fn kill(server: &str) -> Result<()> {
    let wanted = format!("sh\0/tmp/gate-{server}.sh\0");
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if command == wanted.as_bytes() {
            let pid = entry.file_name();
            let status = tokio::process::Command::new("kill")
                .arg("-9")
                .arg(&pid)
                .status()
                .await?;
            anyhow::ensure!(status.success(), "can't kill the gate of {server}");
            return Ok(());
        }
    }
    bail!("{server} has no gate")
}

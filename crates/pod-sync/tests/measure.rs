//! How fast, beside the least program that could do it. Ignored by default: it takes minutes and says something only on a
//! machine with nothing else to do. `cargo test --release -p pod-sync --test measure -- --ignored --nocapture`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod world;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use serde_json::json;
use world::{PodSync, PodWatch, World, eventually};

const SERVERS: usize = 100;
const SECONDS: u64 = 20;

/// What happens beside the changes.
#[derive(Clone, Copy)]
struct Load {
    changes_per_second: u64,
    /// Pod status writes that change no state, as of a busy kubelet or a prober.
    pod_writes_per_second: u64,
}

/// Both at the same time on servers of their own: whatever else the machine does, it does to both.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn ops_state_to_label_beside_bare() {
    for (name, changes_per_second, pod_writes_per_second) in
        [("5/s", 5, 0), ("25/s", 25, 0), ("25/s + 50 Pod writes/s", 25, 50)]
    {
        let load = Load {
            changes_per_second,
            pod_writes_per_second,
        };
        let (ours, least) = (prepared().await, prepared().await);
        let process = PodSync::start(&ours, &["--shards", "0"]).await;
        let bare = bare(&least).await;
        let (with_pod_sync, with_bare) = tokio::join!(latencies(&ours, load), latencies(&least, load));
        bare.abort();
        report("bare", name, &with_bare);
        report("pod-sync", name, &with_pod_sync);
        let mean = async |name: &str, labels: &str| {
            let sum = process.seconds(&format!("{name}_sum"), labels).await;
            1000.0 * sum / process.metric(&format!("{name}_count"), labels).await.max(1) as f64
        };
        println!(
            "{:>9} patches {} conflicts {}; mean ms: event to acknowledged {:.1}, queue {:.2}, request {:.1}",
            "",
            process
                .metric(
                    "gamekeeper_api_requests_total",
                    "verb=\"patch\",resource=\"pods\""
                )
                .await,
            process.metric("gamekeeper_pod_sync_conflicts_total", "").await,
            mean("gamekeeper_pod_sync_seconds", "gameserver").await,
            mean("gamekeeper_queue_wait_seconds", "").await,
            mean(
                "gamekeeper_api_request_duration_seconds",
                "verb=\"patch\",resource=\"pods\""
            )
            .await,
        );
    }
}

async fn prepared() -> World {
    let world = World::new().await;
    for i in 0..SERVERS {
        world.server(&format!("arena-{i}")).await;
        world.set_ready(&format!("arena-{i}"), true).await;
    }
    world
}

/// Watches GameServers and merge-patches one Pod label: nothing could do less.
async fn bare(world: &World) -> tokio::task::JoinHandle<kube::Result<()>> {
    let list = world.servers.list(&ListParams::default().limit(1)).await.unwrap();
    let version = list.metadata.resource_version.unwrap();
    let params = WatchParams::default().timeout(290).disable_bookmarks();
    let events = world.servers.watch(&params, &version).await.unwrap().boxed();
    let pods = world.pods.clone();
    tokio::spawn(events.try_for_each_concurrent(32, move |event| {
        let pods = pods.clone();
        async move {
            let WatchEvent::Modified(server) = event else {
                return Ok(());
            };
            let generation = server.metadata.generation.unwrap().to_string();
            let body = json!({"metadata": {
                "labels": {"game.kruise.io/gs-opsState": server.data["spec"]["opsState"]},
                "annotations": {"game.kruise.io/synced-generation": generation},
            }});
            let name = server.metadata.name.unwrap();
            // Lost, as in the simplest program; the next change of the server makes up for it.
            let _ = pods
                .patch(&name, &PatchParams::default(), &Patch::Merge(body))
                .await;
            Ok(())
        }
    }))
}

/// Makes the changes and returns, for each, the time from its acknowledgement to an independent watch seeing the label.
async fn latencies(world: &World, load: Load) -> Vec<Duration> {
    let watch = PodWatch::start(world).await;
    let acknowledged = Arc::new(Mutex::new(BTreeMap::new()));
    let noise = tokio::spawn(pod_writes(world.pods.clone(), load.pod_writes_per_second));
    let mut tick = tokio::time::interval(Duration::from_secs(1) / load.changes_per_second as u32);
    let mut changes = tokio::task::JoinSet::new();
    for n in 0..load.changes_per_second * SECONDS {
        tick.tick().await;
        let (servers, acknowledged) = (world.servers.clone(), Arc::clone(&acknowledged));
        let name = format!("arena-{}", n as usize % SERVERS);
        changes.spawn(async move {
            let patch = Patch::Merge(json!({"spec": {"opsState": format!("Match-{n}")}}));
            // A change the API server did not acknowledge has no latency.
            let Ok(server) = servers.patch(&name, &PatchParams::default(), &patch).await else {
                return;
            };
            acknowledged
                .lock()
                .unwrap()
                .insert((name, server.metadata.generation.unwrap()), Instant::now());
        });
    }
    while let Some(change) = changes.join_next().await {
        change.unwrap();
    }
    noise.abort();
    let acknowledged = acknowledged.lock().unwrap().clone();
    let seen = async || {
        let mut seen = BTreeMap::new();
        for revision in watch.revisions() {
            let name = revision.pod.metadata.name.clone().unwrap();
            seen.entry((name, revision.generation())).or_insert(revision.seen);
        }
        // A later generation shows an earlier one that was overtaken.
        let first = |(name, generation): &(String, i64)| {
            let range = seen.range((name.clone(), *generation)..=(name.clone(), i64::MAX));
            range.map(|(_, seen)| *seen).min()
        };
        acknowledged
            .iter()
            .filter_map(|(key, at)| Some(first(key)?.saturating_duration_since(*at)))
            .collect::<Vec<_>>()
    };
    let mut latencies = eventually(&format!("all labels in {}", world.namespace), seen, |all| {
        all.len() == acknowledged.len()
    })
    .await;
    latencies.sort();
    latencies
}

async fn pod_writes(pods: kube::Api<k8s_openapi::api::core::v1::Pod>, per_second: u64) {
    if per_second == 0 {
        return;
    }
    let mut tick = tokio::time::interval(Duration::from_secs(1) / per_second as u32);
    for n in 0_u64.. {
        tick.tick().await;
        let (pods, name) = (pods.clone(), format!("arena-{}", n as usize * 7 % SERVERS));
        tokio::spawn(async move {
            let status = json!({"status": {"conditions": [{"type": "game.kruise.io/players", "status": "True", "message": n.to_string()}]}});
            let _ = pods
                .patch_status(&name, &PatchParams::default(), &Patch::Strategic(status))
                .await;
        });
    }
}

fn report(who: &str, load: &str, latencies: &[Duration]) {
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    println!(
        "{who:>9} {load}: {} changes, p50 {:.1} p90 {:.1} p99 {:.1} max {:.1} ms",
        latencies.len(),
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0),
    );
}

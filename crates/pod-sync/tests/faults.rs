//! What goes wrong on the way to the Pod, and how soon after its end every label is right. None may ever go back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod world;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use kube::{
    api::{Patch, PatchParams},
    config::Kubeconfig,
};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use world::{PodSync, PodWatch, World, annotation, eventually, label};

const ALONE: &[&str] = &["--shards", "0"];
const SERVERS: usize = 10;
/// Tells what waits for a long backoff from what waits for a busy machine. How fast it is, `trial sync-faults` measures.
const SOON: Duration = Duration::from_secs(8);

/// Servers, what the last change of each was, and a witness of every version of their Pods.
struct Arena {
    world: World,
    expected: Vec<(i64, String)>,
    watch: PodWatch,
}

impl Arena {
    async fn new() -> Self {
        let world = World::new().await;
        for i in 0..SERVERS {
            world.server(&format!("arena-{i}")).await;
            world.set_ready(&format!("arena-{i}"), true).await;
        }
        Self {
            watch: PodWatch::start(&world).await,
            expected: vec![(0, String::new()); SERVERS],
            world,
        }
    }

    /// Changes every server once.
    async fn change_all(&mut self, round: &str) {
        for (i, expected) in self.expected.iter_mut().enumerate() {
            let generation = self.world.set_ops_state(&format!("arena-{i}"), round).await;
            *expected = (generation, round.to_owned());
        }
    }

    /// Waits until every Pod shows its last change.
    async fn settled(&self) {
        let pods = &self.world.pods;
        let read = async || pods.list(&kube::api::ListParams::default()).await.unwrap().items;
        let right = |pods: &Vec<k8s_openapi::api::core::v1::Pod>| {
            self.expected.iter().enumerate().all(|(i, (generation, state))| {
                let name = format!("arena-{i}");
                let pod = pods.iter().find(|pod| pod.metadata.name.as_ref() == Some(&name));
                pod.is_some_and(|pod| {
                    let shown = annotation(pod, "synced-generation").and_then(|text| text.parse().ok());
                    shown == Some(*generation) && label(pod, "gs-opsState") == Some(state)
                })
            })
        };
        eventually("all labels", read, right).await;
    }

    /// Waits until every Pod is right, which it must be soon, and that no version of any went back.
    async fn settled_soon(&self) {
        let healed = Instant::now();
        self.settled().await;
        let took = healed.elapsed();
        assert!(
            took < SOON,
            "all labels were right only {took:?} after the end of the fault"
        );
        self.watch.assert_never_back();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_frozen_is_up_to_date_soon_after_it_goes_on() {
    let mut arena = Arena::new().await;
    let process = PodSync::start(&arena.world, ALONE).await;
    arena.change_all("Before").await;
    arena.settled().await;
    process.signal("STOP");
    // Ten seconds of changes: events pile up in its sockets, its cache is as old as the freeze.
    let frozen = Instant::now();
    let mut round = 0;
    while frozen.elapsed() < Duration::from_secs(10) {
        round += 1;
        arena.change_all(&format!("Frozen-{round}")).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    process.signal("CONT");
    arena.settled_soon().await;
}

/// The other replica takes the shards over; the one that wakes up must not write what it remembers.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_replica_loses_its_shards_and_takes_nothing_back_when_it_wakes() {
    let mut arena = Arena::new().await;
    let namespace = arena.world.namespace.clone();
    let start = async |identity| {
        let flags = [
            "--shards=4",
            "--lease-duration=4s",
            "--renew-deadline=3s",
            "--retry-period=500ms",
            "--lease-identity",
            identity,
            "--lease-namespace",
            &namespace,
        ];
        PodSync::start(&arena.world, &flags).await
    };
    let (first, second) = (start("first").await, start("second").await);
    let owned = async || {
        let shards = async |process: &PodSync| process.metric("gamekeeper_pod_sync_owned_shards", &[]).await;
        (shards(&first).await, shards(&second).await)
    };
    eventually("two shards each", owned, |owned| *owned == (2, 2)).await;
    first.signal("STOP");
    arena.change_all("Frozen").await;
    let all = async || second.metric("gamekeeper_pod_sync_owned_shards", &[]).await;
    eventually("all shards", all, |shards| *shards == 4).await;
    arena.settled().await;
    arena.change_all("TakenOver").await;
    first.signal("CONT");
    arena.change_all("Awake").await;
    arena.settled_soon().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_conflicts_delays_a_label_no_longer_than_it_lasts() {
    let mut arena = Arena::new().await;
    let process = PodSync::start(&arena.world, ALONE).await;
    let storm = Arc::new(AtomicBool::new(true));
    let mut writers = JoinSet::new();
    for i in 0..SERVERS {
        let (pods, storm) = (arena.world.pods.clone(), Arc::clone(&storm));
        writers.spawn(async move {
            let mut beat = 0;
            while storm.load(Ordering::Relaxed) {
                beat += 1;
                let patch = Patch::Merge(json!({"metadata": {"annotations": {"beat": beat.to_string()}}}));
                pods.patch(&format!("arena-{i}"), &PatchParams::default(), &patch)
                    .await
                    .unwrap();
            }
        });
    }
    for round in 0..4 {
        arena.change_all(&format!("Storm-{round}")).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    arena.change_all("Last").await;
    storm.store(false, Ordering::Relaxed);
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    arena.settled_soon().await;
    let conflicts = process.metric("gamekeeper_pod_sync_conflicts_total", &[]).await;
    assert!(conflicts > 0, "there was no storm");
}

/// As a restart of the API server looks from here: every connection is cut, none is taken for a while, then all is well.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_was_away_is_caught_up_with_soon() {
    let mut arena = Arena::new().await;
    let proxy = Proxy::start(&arena.world).await;
    let _process = PodSync::start_as(&arena.world, &proxy.kubeconfig, ALONE).await;
    arena.change_all("Before").await;
    arena.settled().await;
    proxy.cut.store(true, Ordering::Relaxed);
    // Long enough for every backoff to have grown to what it is held to.
    let away = Instant::now();
    let mut round = 0;
    while away.elapsed() < Duration::from_secs(14) {
        round += 1;
        arena.change_all(&format!("Away-{round}")).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    proxy.cut.store(false, Ordering::Relaxed);
    arena.settled_soon().await;
}

/// A TCP proxy in front of the API server; TLS goes through it.
struct Proxy {
    kubeconfig: PathBuf,
    cut: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    async fn start(world: &World) -> Self {
        let mut file = Kubeconfig::read_from(&world.kubeconfig).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front = format!("https://{}", listener.local_addr().unwrap());
        let cluster = file.clusters[0].cluster.as_mut().unwrap();
        let server = cluster.server.replace(front).unwrap();
        let target = server
            .trim_start_matches("https://")
            .trim_end_matches('/')
            .to_owned();
        let kubeconfig = std::env::temp_dir().join(format!("{}.kubeconfig", world.namespace));
        std::fs::write(&kubeconfig, serde_yaml::to_string(&file).unwrap()).unwrap();
        let cut = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(Self::serve(listener, target, Arc::clone(&cut)));
        Self {
            kubeconfig,
            cut,
            task,
        }
    }

    async fn serve(listener: TcpListener, target: String, cut: Arc<AtomicBool>) {
        let mut connections = JoinSet::new();
        let mut look = tokio::time::interval(Duration::from_millis(20));
        loop {
            tokio::select! {
                _ = look.tick() => if cut.load(Ordering::Relaxed) { connections.abort_all() },
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => {
                    let Ok((mut client, _)) = accepted else { continue };
                    if cut.load(Ordering::Relaxed) {
                        continue;
                    }
                    let target = target.clone();
                    connections.spawn(async move {
                        if let Ok(mut server) = TcpStream::connect(&target).await {
                            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                        }
                    });
                }
            }
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.kubeconfig);
    }
}

//! What happens while the sync is timed: an allocator, and whatever else is asked for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use api_types::{GameServer, GameServerSet};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::json;
use tokio::time::MissedTickBehavior;
use tokio_util::task::AbortOnDropHandle;

use super::seen::Ledger;

/// Requests of the allocator under way at once: the rate holds though single requests are slow.
const IN_FLIGHT: usize = 256;

/// An allocator: patches opsState and a match id together, as matchmakers do, each server in turn.
pub(crate) struct Allocator {
    servers: Api<GameServer>,
    ledger: Ledger,
    turn: VecDeque<String>,
    matches: u64,
}

impl Allocator {
    pub(crate) fn new(client: &Client, namespace: &str, ledger: &Ledger, seed: u64) -> Self {
        let mut names = ledger.names();
        names.shuffle(&mut StdRng::seed_from_u64(seed));
        Self {
            servers: Api::namespaced(client.clone(), namespace),
            ledger: ledger.clone(),
            turn: names.into(),
            matches: 0,
        }
    }

    /// Changes `rate` servers a second for `time`; ends when every request has its answer.
    pub(crate) async fn run(&mut self, rate: f64, time: Duration) {
        self.run_until(rate, tokio::time::sleep(time)).await;
    }

    /// Changes `rate` servers a second until `end`, whose result it gives when every request has its answer.
    pub(crate) async fn run_until<T>(&mut self, rate: f64, end: impl Future<Output = T>) -> T {
        let mut end = std::pin::pin!(end);
        let mut ended = None;
        let mut tick = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut running = FuturesUnordered::new();
        loop {
            if running.is_empty()
                && let Some(result) = ended
            {
                return result;
            }
            tokio::select! {
                Some(()) = running.next() => {}
                result = &mut end, if ended.is_none() => ended = Some(result),
                _ = tick.tick(), if ended.is_none() => if running.len() < IN_FLIGHT
                    && let Some(change) = self.next() {
                    running.push(change);
                },
            }
        }
    }

    /// Changes `count` servers at once.
    pub(super) async fn burst(&mut self, count: usize) {
        let changes: Vec<_> = (0..count).filter_map(|_| self.next()).collect();
        futures::stream::iter(changes)
            .buffer_unordered(IN_FLIGHT)
            .collect::<Vec<()>>()
            .await;
    }

    /// The next server in turn that has no change on its way, booked for one.
    fn free_server(&mut self) -> Option<(String, &'static str)> {
        for _ in 0..self.turn.len() {
            let name = self.turn.pop_front()?;
            self.turn.push_back(name.clone());
            if let Some(value) = self.ledger.sending(&name) {
                return Some((name, value));
            }
        }
        None
    }

    fn next(&mut self) -> Option<impl Future<Output = ()> + use<>> {
        let (name, value) = self.free_server()?;
        self.matches += 1;
        let (servers, ledger, number) = (self.servers.clone(), self.ledger.clone(), self.matches);
        Some(async move {
            let patch = json!({
                "metadata": {"annotations": {"gs-sync/match-id": format!("match-{number}")}},
                "spec": {"opsState": value},
            });
            match servers
                .patch_metadata(&name, &PatchParams::default(), &Patch::Merge(&patch))
                .await
            {
                Ok(_) => ledger.acknowledged(&name),
                Err(_) => ledger.refused(&name),
            }
        })
    }
}

/// Changes of node conditions, `rate` a second over all nodes in turn: each flips the status of one condition.
pub(crate) async fn churn_nodes(client: &Client, rate: f64) -> Result<AbortOnDropHandle<()>> {
    let nodes: Api<Node> = Api::all(client.clone());
    let names = node_names(&nodes).await?;
    Ok(every(rate, move |turn| {
        let nodes = nodes.clone();
        let name = names[turn % names.len()].clone();
        let pressed = (turn / names.len()).is_multiple_of(2);
        async move {
            let _ = press(&nodes, &name, pressed).await;
        }
    }))
}

/// Ends what [`churn_nodes`] left: all nodes are well.
pub(super) async fn calm_nodes(client: &Client) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    for name in node_names(&nodes).await? {
        press(&nodes, &name, false).await?;
    }
    Ok(())
}

async fn node_names(nodes: &Api<Node>) -> Result<Vec<String>> {
    let listed = nodes.list_metadata(&ListParams::default()).await?.items;
    Ok(listed.iter().map(ResourceExt::name_any).collect())
}

async fn press(nodes: &Api<Node>, name: &str, pressed: bool) -> kube::Result<Node> {
    let status = if pressed { "True" } else { "False" };
    let condition = json!({"type": "BenchPressure", "status": status, "reason": "Bench",
        "lastTransitionTime": jiff::Timestamp::now().strftime("%FT%TZ").to_string()});
    let patch = Patch::Strategic(json!({"status": {"conditions": [condition]}}));
    nodes.patch_status(name, &PatchParams::default(), &patch).await
}

/// Changes of Pod statuses, `rate` a second at random: a condition as a probe writes it.
pub(super) fn churn_pods(
    client: &Client,
    namespace: &str,
    names: Vec<String>,
    rate: f64,
) -> AbortOnDropHandle<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    every(rate, move |turn| {
        let pods = pods.clone();
        let name = names[rand::rng().random_range(0..names.len())].clone();
        async move {
            let condition =
                json!({"type": "game.kruise.io/bench", "status": "True", "message": turn.to_string()});
            let patch = json!({"status": {"conditions": [condition]}});
            let _ = pods
                .patch_status(&name, &PatchParams::default(), &Patch::Strategic(&patch))
                .await;
        }
    })
}

/// A set that goes between 0 and `replicas` every five seconds.
pub(super) fn scale_to_and_fro(
    client: &Client,
    namespace: &str,
    set: &'static str,
    replicas: u32,
) -> AbortOnDropHandle<()> {
    let sets: Api<GameServerSet> = Api::namespaced(client.clone(), namespace);
    every(0.2, move |turn| {
        let sets = sets.clone();
        async move {
            let patch = json!({"spec": {"replicas": if turn.is_multiple_of(2) { replicas } else { 0 }}});
            let _ = sets
                .patch(set, &PatchParams::default(), &Patch::Merge(&patch))
                .await;
        }
    })
}

/// Starts `work` `rate` times a second until the handle is dropped; at most 64 are under way.
fn every<F>(rate: f64, work: impl Fn(usize) -> F + Send + 'static) -> AbortOnDropHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let room = Arc::new(tokio::sync::Semaphore::new(64));
        for turn in 0.. {
            tick.tick().await;
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            let work = work(turn);
            tokio::spawn(async move {
                work.await;
                drop(permit);
            });
        }
    }))
}

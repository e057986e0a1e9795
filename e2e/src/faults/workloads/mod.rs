//! What users do to a set, each in a few steps that end at rest.

mod updates;
mod volumes;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use api_types::keys;
use futures::future::BoxFuture;
use rand::seq::SliceRandom as _;
use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};

use super::history::{CLAIM, POD, SET};
use super::rest::{Rest, owner, uid};
use super::stage::{GAME, Stage};

/// One workload.
#[derive(Clone, Copy)]
pub struct Workload {
    /// As `--workload` takes it.
    pub name: &'static str,
    /// Whether which servers are chosen is up to a race with an allocator.
    pub racy: bool,
    /// What it holds every revision to, beyond what holds for all.
    pub max_unavailable: Option<usize>,
    steps: for<'a> fn(&'a Stage) -> BoxFuture<'a, Result<()>>,
}

impl std::fmt::Debug for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// All workloads.
pub const ALL: &[Workload] = &[
    workload("scale-up", |stage| Box::pin(scale_up(stage))),
    Workload {
        racy: true,
        ..workload("scale-down", |stage| Box::pin(scale_down(stage)))
    },
    workload("reserve-ids", |stage| Box::pin(reserve_ids(stage))),
    workload("kill", |stage| Box::pin(kill(stage))),
    workload("set-deletion", |stage| Box::pin(set_deletion(stage))),
    workload("pre-delete-hook", |stage| Box::pin(pre_delete_hook(stage))),
    workload("failed-pods", |stage| Box::pin(failed_pods(stage))),
    update("update-recreate", |stage| Box::pin(updates::recreate(stage))),
    update("update-in-place", |stage| Box::pin(updates::in_place(stage))),
    update("paused", |stage| Box::pin(updates::paused(stage))),
    update("partition", |stage| Box::pin(updates::partition(stage))),
    workload("volumes", |stage| Box::pin(volumes::volumes(stage))),
];

const fn update(name: &'static str, steps: for<'a> fn(&'a Stage) -> BoxFuture<'a, Result<()>>) -> Workload {
    Workload {
        max_unavailable: Some(updates::MAX_UNAVAILABLE),
        ..workload(name, steps)
    }
}

const fn workload(name: &'static str, steps: for<'a> fn(&'a Stage) -> BoxFuture<'a, Result<()>>) -> Workload {
    Workload {
        name,
        racy: false,
        max_unavailable: None,
        steps,
    }
}

/// The workload of this name.
pub fn find(name: &str) -> Option<Workload> {
    ALL.iter().copied().find(|workload| workload.name == name)
}

impl Workload {
    /// Runs the steps, and waits for the quiet after them.
    ///
    /// # Errors
    /// [`NotInTime`](super::stage::NotInTime) when a step did not come to rest; others when the plan could not be tried.
    pub async fn run(&self, stage: &Stage) -> Result<()> {
        (self.steps)(stage).await?;
        stage.quiet().await
    }
}

async fn scale_up(stage: &Stage) -> Result<()> {
    stage.create(3, &json!({})).await?;
    stage.settle(&Rest::ids(&[0, 1, 2])).await?;
    stage.scale(6).await?;
    stage.settle(&Rest::ids(&[0, 1, 2, 3, 4, 5])).await
}

/// Shrinks under an allocator that takes whatever it can get: what it got must stay.
async fn scale_down(stage: &Stage) -> Result<()> {
    stage
        .create(6, &json!({"scaleStrategy": {"protectAllocated": true}}))
        .await?;
    stage.settle(&Rest::ids(&[0, 1, 2, 3, 4, 5])).await?;
    stage.allocate("game-5").await?;
    stage.scale(2).await?;
    let mut order: Vec<u32> = (0..6).collect();
    order.shuffle(&mut StdRng::seed_from_u64(stage.seed));
    for id in order.into_iter().take(4) {
        stage.allocate(&format!("{GAME}-{id}")).await?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let held = stage.allocations.names().len();
    stage.settle(&Rest::of(held.max(2))).await?;
    let broken = stage.see(|history| Some(stage.allocations.broken(history)));
    if let Some(broken) = broken.filter(|broken| !broken.is_empty()) {
        return Err(super::Lost(broken).into());
    }
    for name in stage.allocations.names() {
        stage.release(&name).await?;
    }
    stage.settle(&Rest::of(2)).await
}

async fn reserve_ids(stage: &Stage) -> Result<()> {
    let spec = json!({"reserveGameServerIds": [1], "scaleStrategy": {"scaleDownStrategyType": "ReserveIds"}});
    stage.create(4, &spec).await?;
    stage.settle(&Rest::ids(&[0, 2, 3, 4])).await?;
    stage.patch_set(&json!({"reserveGameServerIds": [1, 2]})).await?;
    stage.settle(&Rest::ids(&[0, 3, 4, 5])).await?;
    stage.scale(2).await?;
    stage
        .until("the ids given up are not reserved", |history| {
            let reserved = &history.get(SET, GAME)?["spec"]["reserveGameServerIds"];
            (reserved.as_array().map_or(0, Vec::len) < 2 || reserved == &json!([1, 2]))
                .then(|| reserved.to_string())
        })
        .await?;
    stage.settle(&Rest::of(2)).await?;
    stage.scale(4).await?;
    stage.settle(&Rest::of(4)).await
}

async fn kill(stage: &Stage) -> Result<()> {
    let spec = json!({"gameServerTemplate": {"reclaimPolicy": "Delete"}});
    stage.create(5, &spec).await?;
    stage.settle(&Rest::ids(&[0, 1, 2, 3, 4])).await?;
    let kill = json!({"opsState": "Kill"});
    stage.patch_server("game-1", &kill).await?;
    stage.patch_server("game-3", &kill).await?;
    stage.settle(&Rest::ids(&[0, 2, 4])).await?;
    stage.evict("game-2").await?;
    replaced(stage, "game-2", &Rest::ids(&[0, 2, 4])).await?;
    stage.scale(4).await?;
    stage.settle(&Rest::of(4)).await
}

/// Waits until the server's second Pod is at rest.
async fn replaced(stage: &Stage, name: &str, rest: &Rest) -> Result<()> {
    stage
        .until("the Pod is not replaced", |history| {
            let made = history.events.iter().filter(|e| e.kind == POD && e.name == name);
            let uids: BTreeSet<&str> = made.map(|event| uid(&event.object)).collect();
            let missing = (uids.len() < 2).then(|| format!("{name} is its first Pod still"));
            missing.or_else(|| rest.difference(GAME, history))
        })
        .await
}

async fn set_deletion(stage: &Stage) -> Result<()> {
    stage.create(3, &json!({})).await?;
    stage.settle(&Rest::ids(&[0, 1, 2])).await?;
    stage.delete_set().await?;
    all_gone(stage).await?;
    stage.create(2, &json!({})).await?;
    stage.settle(&Rest::ids(&[0, 1])).await
}

/// Waits until nothing of the set is left but its claims.
async fn all_gone(stage: &Stage) -> Result<()> {
    stage
        .until("not all is gone", |history| {
            let now = history.now.iter();
            let left = now.filter(|((kind, _), object)| *kind != CLAIM && is_of_game(object));
            let left = left.count();
            (left > 0).then(|| format!("{left} objects left"))
        })
        .await
}

fn is_of_game(object: &Value) -> bool {
    owner(object) == GAME || object["kind"] == "GameServerSet"
}

/// The games say when they may go, one of them late.
async fn pre_delete_hook(stage: &Stage) -> Result<()> {
    let hold = "faults.gamekeeper.local/hold";
    let spec = json!({
        "lifecycle": {"preDelete": {"labelsHandler": {hold: "true"}}},
        "gameServerTemplate": {"metadata": {"labels": {hold: "true"}}},
    });
    stage.create(4, &spec).await?;
    stage.settle(&Rest::ids(&[0, 1, 2, 3])).await?;
    stage.scale(2).await?;
    for name in stage.in_lifecycle(keys::lifecycle::PREPARING_DELETE, 2).await? {
        let patch = json!({"metadata": {"labels": {hold: "false"}}});
        stage.patch_pod(&name, None, &patch).await?;
    }
    stage.settle(&Rest::ids(&[0, 1])).await?;
    stage.scale(3).await?;
    stage.settle(&Rest::ids(&[0, 1, 2])).await
}

/// Pods end by themselves, one well and one badly.
async fn failed_pods(stage: &Stage) -> Result<()> {
    stage.create(4, &json!({})).await?;
    let rest = Rest::ids(&[0, 1, 2, 3]);
    stage.settle(&rest).await?;
    for (name, phase) in [("game-1", "Failed"), ("game-3", "Succeeded")] {
        let ended = json!({"status": {"phase": phase}});
        stage.patch_pod(name, Some("status"), &ended).await?;
    }
    replaced(stage, "game-1", &rest).await?;
    replaced(stage, "game-3", &rest).await?;
    stage.scale(2).await?;
    stage.settle(&Rest::ids(&[0, 1])).await
}

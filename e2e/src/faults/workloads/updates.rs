//! Changes of the template: by new Pods, in place, paused, up to a partition.

use anyhow::Result;
use serde_json::{Value, json};

use super::replaced;
use crate::faults::Lost;
use crate::faults::history::{POD, SET};
use crate::faults::rest::{Rest, label};
use crate::faults::stage::{GAME, Stage};

/// How many servers may be out of service in all of these.
pub(super) const MAX_UNAVAILABLE: usize = 2;

/// The image of the container, by tag. A set is created with tag 1.
fn image(tag: u32) -> String {
    format!("gamekeeper.local/demo/game:{tag}")
}

fn template(tag: u32) -> Value {
    json!({"gameServerTemplate": {"spec": {"containers": [{"name": "game", "image": image(tag)}]}}})
}

/// Settings of `rollingUpdate` beside the budget.
fn rolling(more: &Value) -> Value {
    let mut rolling = json!({"maxUnavailable": MAX_UNAVAILABLE});
    for (name, value) in more.as_object().into_iter().flatten() {
        rolling[name] = value.clone();
    }
    json!({"updateStrategy": {"rollingUpdate": rolling}, "scaleStrategy": {"protectAllocated": true}})
}

/// The servers with these ids, all of them and the set's status at the newest revision, with this tag.
fn updated(ids: &[u32], tag: u32) -> Rest {
    Rest::ids(ids).with_image(&image(tag), ids.len()).updated()
}

/// A server with players stays until they have left.
pub(super) async fn recreate(stage: &Stage) -> Result<()> {
    let ids = [0, 1, 2, 3, 4];
    stage.create(5, &rolling(&json!({}))).await?;
    stage.settle(&Rest::ids(&ids)).await?;
    all_but_one(stage, "game-2", &ids, 2).await
}

/// The Pods stay the same ones; new labels do not even take them out of service.
pub(super) async fn in_place(stage: &Stage) -> Result<()> {
    let ids = [0, 1, 2, 3, 4];
    stage
        .create(5, &rolling(&json!({"podUpdatePolicy": "InPlaceIfPossible"})))
        .await?;
    stage.settle(&Rest::ids(&ids)).await?;
    all_but_one(stage, "game-1", &ids, 2).await?;
    let season = json!({"gameServerTemplate": {"metadata": {"labels": {"season": "two"}}}});
    stage.patch_set(&season).await?;
    stage
        .until("the label is not everywhere", |history| {
            let without = history.of(POD).filter(|(_, pod)| label(pod, "season") != "two");
            let without: Vec<&str> = without.map(|(name, _)| name).collect();
            (!without.is_empty()).then(|| without.join(", "))
        })
        .await?;
    stage.settle(&updated(&ids, 2)).await
}

/// Updates to `tag` with players on server `name`, who leave when all others are updated.
async fn all_but_one(stage: &Stage, name: &str, ids: &[u32], tag: u32) -> Result<()> {
    stage.allocate_surely(name).await?;
    stage.patch_set(&template(tag)).await?;
    let others = Rest::ids(ids).with_image(&image(tag), ids.len() - 1);
    stage.settle(&others).await?;
    let broken = stage.see(|history| Some(stage.allocations.broken(history)));
    if let Some(broken) = broken.filter(|broken| !broken.is_empty()) {
        return Err(Lost(broken).into());
    }
    stage.release(name).await?;
    stage.settle(&updated(ids, tag)).await
}

/// Paused before it begins, and once in the middle.
pub(super) async fn paused(stage: &Stage) -> Result<()> {
    let in_place = json!({"podUpdatePolicy": "InPlaceIfPossible", "paused": true});
    stage.create(4, &rolling(&in_place)).await?;
    stage.settle(&Rest::ids(&[0, 1, 2, 3])).await?;
    stage.patch_set(&template(2)).await?;
    stage
        .settle(&Rest::ids(&[0, 1, 2, 3]).with_image(&image(1), 4))
        .await?;
    // What is made while it is paused is made as wanted.
    stage.scale(5).await?;
    let ids = [0, 1, 2, 3, 4];
    stage.settle(&Rest::ids(&ids).with_image(&image(2), 1)).await?;
    pause(stage, false).await?;
    stage
        .until("nothing is updated", |history| {
            let running = history
                .of(POD)
                .filter(|(_, pod)| pod["spec"]["containers"][0]["image"] == image(2));
            (running.count() < 2).then(|| "none but the new one".to_owned())
        })
        .await?;
    pause(stage, true).await?;
    stage.settle(&Rest::ids(&ids)).await?;
    pause(stage, false).await?;
    stage.settle(&updated(&ids, 2)).await
}

async fn pause(stage: &Stage, paused: bool) -> Result<()> {
    stage
        .patch_set(&json!({"updateStrategy": {"rollingUpdate": {"paused": paused}}}))
        .await?;
    stage
        .until("the set does not know that it is paused or not", |history| {
            let set = history.get(SET, GAME)?;
            let (seen, is) = (
                &set["status"]["observedGeneration"],
                &set["metadata"]["generation"],
            );
            (seen != is).then(|| format!("generation {seen} of {is}"))
        })
        .await
}

/// Held-back servers stay as they are, and come back as they were.
pub(super) async fn partition(stage: &Stage) -> Result<()> {
    let ids = [0, 1, 2, 3, 4];
    let partition = |kept: u32| json!({"updateStrategy": {"rollingUpdate": {"partition": kept}}});
    stage.create(5, &rolling(&json!({"partition": 3}))).await?;
    stage.settle(&Rest::ids(&ids)).await?;
    stage.patch_set(&template(2)).await?;
    let two = Rest::ids(&ids).with_image(&image(2), 2);
    stage.settle(&two).await?;
    stage.evict("game-1").await?;
    replaced(stage, "game-1", &two).await?;
    stage.patch_set(&partition(1)).await?;
    stage.settle(&Rest::ids(&ids).with_image(&image(2), 4)).await?;
    stage.patch_set(&partition(0)).await?;
    stage.settle(&updated(&ids, 2)).await
}

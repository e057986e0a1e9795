//! Servers with volume claims: what they keep when they are replaced, scaled in, or their set is deleted.

use anyhow::Result;
use serde_json::{Value, json};

use super::{all_gone, replaced};
use crate::faults::history::{CLAIM, History};
use crate::faults::rest::{Rest, uid};
use crate::faults::stage::Stage;

const CLASS: &str = "by-hand";

fn retention(deleted: &str, scaled: &str) -> Value {
    json!({"persistentVolumeClaimRetentionPolicy": {"whenDeleted": deleted, "whenScaled": scaled}})
}

fn saving(tag: u32) -> Value {
    let claim = json!({
        "metadata": {"name": "save"},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": CLASS,
            "resources": {"requests": {"storage": "1Mi"}},
        },
    });
    let container = json!({"name": "game", "image": format!("gamekeeper.local/demo/game:{tag}")});
    json!({"volumeClaimTemplates": [claim], "spec": {"containers": [container]}})
}

/// The claim of a server.
fn claim(id: u32) -> String {
    format!("save-game-{id}")
}

pub(super) async fn volumes(stage: &Stage) -> Result<()> {
    // Without a provisioner, each claim needs a volume that waits for it. A claim that is made twice takes another one.
    for (id, volumes) in [(0, 1), (1, 1), (2, 2)] {
        for nth in 0..volumes {
            stage.volume(CLASS, &claim(id), nth).await?;
        }
    }
    let mut spec = retention("Retain", "Delete");
    spec["gameServerTemplate"] = saving(1);
    stage.create(3, &spec).await?;
    let three = Rest::ids(&[0, 1, 2]);
    stage.settle(&three).await?;
    let first = claims(stage);
    stage.evict("game-1").await?;
    replaced(stage, "game-1", &three).await?;
    stage.patch_set(&json!({"gameServerTemplate": saving(2)})).await?;
    stage
        .settle(
            &three
                .clone()
                .with_image("gamekeeper.local/demo/game:2", 3)
                .updated(),
        )
        .await?;
    kept(stage, &first, &[0, 1, 2]).await?;
    // Whoever is scaled in leaves nothing behind, and starts with nothing when it comes back.
    stage.scale(2).await?;
    stage.settle(&Rest::ids(&[0, 1])).await?;
    stage
        .until("the claim is still there", |history| {
            history.get(CLAIM, &claim(2)).map(|_| claim(2))
        })
        .await?;
    stage.scale(3).await?;
    stage.settle(&three).await?;
    // From here on everything stays, without its Pod and without its set.
    let second = claims(stage);
    stage.patch_set(&retention("Retain", "Retain")).await?;
    stage.scale(1).await?;
    stage.settle(&Rest::ids(&[0])).await?;
    kept(stage, &second, &[0, 1, 2]).await?;
    stage.delete_set().await?;
    all_gone(stage).await?;
    spec["persistentVolumeClaimRetentionPolicy"]["whenScaled"] = json!("Retain");
    stage.create(3, &spec).await?;
    stage.settle(&three).await?;
    kept(stage, &second, &[0, 1, 2]).await
}

/// Name and UID of every claim.
type Claims = Vec<(String, String)>;

fn claims(stage: &Stage) -> Claims {
    let all = |history: &History| -> Option<Claims> {
        Some(
            history
                .of(CLAIM)
                .map(|(name, claim)| (name.to_owned(), uid(claim).to_owned()))
                .collect(),
        )
    };
    stage.see(all).unwrap_or_default()
}

/// Waits until the claims of these servers are the ones they were.
async fn kept(stage: &Stage, before: &Claims, ids: &[u32]) -> Result<()> {
    stage
        .until("a claim is not what it was", |history| {
            ids.iter().find_map(|id| {
                let name = claim(*id);
                let was = before.iter().find(|(found, _)| *found == name);
                let same = was
                    .is_some_and(|(_, was)| history.get(CLAIM, &name).is_some_and(|claim| uid(claim) == was));
                (!same).then_some(name)
            })
        })
        .await
}

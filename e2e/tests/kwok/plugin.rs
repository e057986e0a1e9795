//! `kubectl gs` beside the controllers: what they do, in its words.

use anyhow::{Context as _, Result, ensure};
use api_types::keys::claim_reason;
use e2e::{World, cluster, in_namespace};
use kube::api::{EvictParams, Patch, PatchParams};
use serde_json::json;

/// What the plugin prints, where it succeeds.
async fn gs(world: &World, line: &str) -> Result<String> {
    let words: Vec<&str> = ["-n", &world.namespace]
        .into_iter()
        .chain(line.split(' '))
        .collect();
    let done = cluster::kubectl_gs(&words).await?;
    ensure!(done.success, "{line}: {}", done.output);
    Ok(done.output)
}

async fn says(world: &World, line: &str, words: &[&str]) -> Result<()> {
    let said = gs(world, line).await?;
    for word in words {
        ensure!(said.contains(word), "{line} does not say {word:?}:\n{said}");
    }
    Ok(())
}

/// Reports players of a server, as game-api does for the Pod that is there.
async fn report(world: &World, name: &str, players: u32) -> Result<()> {
    let pod = world.pods().get(name).await?;
    let uid = pod.metadata.uid.context("a Pod without UID")?;
    let status = json!({"status": {"players": {"count": players}, "reported": {"podUID": uid}}});
    world
        .servers()
        .patch_status(name, &PatchParams::default(), &Patch::Merge(status))
        .await?;
    Ok(())
}

async fn is_claimed(world: &World, name: &str, reason: &str) -> Result<()> {
    world
        .until("it is claimed", |s| {
            let claim = s.status(name).and_then(|status| status.deletion_claim.as_ref());
            claim.is_some_and(|claim| claim.reason == reason)
        })
        .await
}

#[tokio::test]
async fn a_drain_is_told_from_its_mark_to_its_end() -> Result<()> {
    in_namespace(async |world| {
        world
            .settled_set("a", 2, &json!({"players": {"capacity": 8}}))
            .await?;
        report(world, "a-1", 2).await?;
        says(
            world,
            "drain a-1",
            &["a-1 marked for deletion: goes when its 2 players have left"],
        )
        .await?;
        is_claimed(world, "a-1", claim_reason::DRAINING).await?;
        says(
            world,
            "why a-1",
            &["2 players are on it", "claimed for deletion (Draining)"],
        )
        .await?;
        says(
            world,
            "describe a-1",
            &["claimed for deletion: Draining", "can't be allocated any more"],
        )
        .await?;
        world
            .until("another server has its place", |s| s.ids("a") == [0, 1, 2].into())
            .await?;
        let wait = gs(world, "drain a-1 --wait");
        let (told, reported) = tokio::join!(wait, report(world, "a-1", 0));
        reported?;
        ensure!(told?.contains("a-1 gone"));
        world.at_rest("a", &[0, 2]).await?;
        says(
            world,
            "why gss/a",
            &["it has the 2 servers that are wanted", "no condition says"],
        )
        .await
    })
    .await
}

#[tokio::test]
async fn who_takes_a_server_is_told() -> Result<()> {
    in_namespace(async |world| {
        world
            .settled_set("a", 2, &json!({"eviction": {"safe": "Always"}}))
            .await?;
        for (server, reason) in [("a-0", claim_reason::EVICTED), ("a-1", claim_reason::DELETED)] {
            world.hold(server).await?;
            if reason == claim_reason::EVICTED {
                world.pods().evict(server, &EvictParams::default()).await?;
            } else {
                world.delete_pod(server).await?;
            }
            is_claimed(world, server, reason).await?;
        }
        says(
            world,
            "why a-0",
            &["it is evicted, by a node drain", "held by finalizers"],
        )
        .await?;
        says(
            world,
            "why a-1",
            &["somebody deleted its Pod", "held by finalizers"],
        )
        .await?;
        for server in ["a-0", "a-1"] {
            world.release(server).await?;
        }
        world.at_rest("a", &[0, 1]).await
    })
    .await
}

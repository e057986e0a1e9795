//! Replicas that follow the players.

use anyhow::{Context as _, Result};
use e2e::{World, in_namespace};
use kube::api::{Patch, PatchParams};
use serde_json::json;

/// Reports players of a server, as game-api does for the Pod that is there.
async fn report(world: &World, name: &str, players: u32) -> Result<()> {
    let pod = world.pods().get(name).await?;
    let uid = pod.metadata.uid.context("a Pod without UID")?;
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let status =
        json!({"status": {"players": {"count": players, "reportedAt": now}, "reported": {"podUID": uid}}});
    world
        .servers()
        .patch_status(name, &PatchParams::default(), &Patch::Merge(status))
        .await?;
    Ok(())
}

#[tokio::test]
async fn replicas_follow_the_players_out_and_in_over_a_cooldown() -> Result<()> {
    in_namespace(async |world| {
        let spec = json!({"players": {"capacity": 10}, "playerAutoscaling": {"enabled": true, "minReplicas": 1, "maxReplicas": 3,
            "scaleOutThreshold": 80, "scaleInThreshold": 60, "cooldownSeconds": 2}});
        world.settled_set("a", 1, &spec).await?;
        report(world, "a-0", 10).await?;
        world.at_rest("a", &[0, 1]).await?;
        report(world, "a-1", 9).await?;
        world.at_rest("a", &[0, 1, 2]).await?;
        // Three are the most.
        report(world, "a-2", 10).await?;
        let reason = |s: &e2e::Snapshot| {
            let status = s.sets.get("a")?.status.as_ref()?;
            Some(status.player_autoscaling.as_ref()?.reason.clone())
        };
        world
            .until("the most are there", |s| reason(s).as_deref() == Some("AtMaximum"))
            .await?;
        for name in ["a-1", "a-2"] {
            report(world, name, 0).await?;
        }
        world.at_rest("a", &[0, 1]).await?;
        // Ten players on two servers: on one they would be too many, so they stay.
        world
            .until("nobody is taken away for nothing", |s| {
                reason(s).as_deref() == Some("ScaleInWouldOverload")
            })
            .await?;
        report(world, "a-0", 7).await?;
        world.at_rest("a", &[0]).await
    })
    .await
}

//! A server that is being taken away can't be allocated any more, and Kill takes exactly the one it names.

use anyhow::{Context as _, Result};
use api_types::keys::{claim_reason, label};
use e2e::act::refusal;
use e2e::{World, in_namespace};
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::json;

/// A set of three, scaled to two, its last server claimed and its Pod held terminating.
async fn claimed(world: &World) -> Result<()> {
    world.settled_set("a", 3, &json!({})).await?;
    world.hold("a-2").await?;
    let uid = world.pod_uid("a-2")?;
    world.scale("a", 2).await?;
    world
        .until("a-2 is terminating", |s| s.ids("a") == [0, 1].into())
        .await?;
    let claim = world
        .find("a-2 is claimed", |s| {
            s.status("a-2").and_then(|status| status.deletion_claim.clone())
        })
        .await?;
    assert_eq!(
        (claim.pod_uid, claim.reason.as_str()),
        (uid, claim_reason::SCALE_IN)
    );
    Ok(())
}

#[tokio::test]
async fn a_claimed_server_can_no_longer_be_allocated() -> Result<()> {
    in_namespace(async |world| {
        claimed(world).await?;
        let patch = Patch::Merge(json!({"spec": {"opsState": "Allocated"}}));
        let refused = refusal(
            world
                .servers()
                .patch("a-2", &PatchParams::default(), &patch)
                .await,
        )?;
        let message = "this game server is being deleted and can no longer be allocated";
        assert!(
            refused.starts_with("422 ") && refused.contains(message),
            "{refused}"
        );
        // Anything else about it can still be said, and shown.
        world.set_ops_state("a-2", "Maintaining").await?;
        world
            .until("the label follows", |s| {
                s.pod_label("a-2", label::GS_OPS_STATE) == Some("Maintaining")
            })
            .await?;
        world
            .until("it shows Deleting", |s| {
                s.pod_label("a-2", label::GS_STATE) == Some("Deleting")
            })
            .await?;
        world.release("a-2").await?;
        world.at_rest("a", &[0, 1]).await
    })
    .await
}

#[tokio::test]
async fn the_claim_comes_before_the_pod_is_deleted() -> Result<()> {
    in_namespace(async |world| {
        claimed(world).await?;
        let now = world.now();
        let claim = now
            .status("a-2")
            .and_then(|status| status.deletion_claim.clone())
            .context("no claim")?;
        let claimed: jiff::Timestamp = claim.time.parse()?;
        let deleted = now.pods["a-2"]
            .metadata
            .deletion_timestamp
            .clone()
            .context("not deleted")?
            .0;
        let grace = now.pods["a-2"]
            .metadata
            .deletion_grace_period_seconds
            .unwrap_or_default();
        let asked = deleted - jiff::SignedDuration::from_secs(grace);
        // The API server's times have whole seconds.
        assert!(
            claimed - jiff::SignedDuration::from_secs(1) <= asked,
            "claimed {claimed}, deleted {asked}"
        );
        world.release("a-2").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_claimed_server_wanted_again_comes_back_as_a_new_one() -> Result<()> {
    in_namespace(async |world| {
        claimed(world).await?;
        let old = world.pod_uid("a-2")?;
        world.scale("a", 3).await?;
        world.release("a-2").await?;
        world.at_rest("a", &[0, 1, 2]).await?;
        let now = world.now();
        assert_ne!(now.pods["a-2"].uid(), Some(old));
        assert_eq!(
            now.status("a-2").and_then(|status| status.deletion_claim.clone()),
            None
        );
        world.set_ops_state("a-2", "Allocated").await?;
        world
            .until("it can be allocated", |s| {
                s.pod_label("a-2", label::GS_OPS_STATE) == Some("Allocated")
            })
            .await
    })
    .await
}

#[tokio::test]
async fn kill_lowers_replicas_and_takes_exactly_that_server() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 4, &json!({})).await?;
        world.set_ops_state("a-3", "WaitToBeDeleted").await?;
        world.set_ops_state("a-2", "Allocated").await?;
        let before = world.now().uids("a");
        world.set_ops_state("a-1", "Kill").await?;
        world
            .until("three are wanted", |s| s.sets["a"].spec.replicas == 3)
            .await?;
        world.at_rest("a", &[0, 2, 3]).await?;
        world.fence().await?;
        let now = world.now();
        assert_eq!(now.sets["a"].spec.replicas, 3);
        assert!(now.uids("a").iter().all(|(id, uid)| before.get(id) == Some(uid)));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn several_killed_at_once_are_each_counted_once() -> Result<()> {
    in_namespace(async |world| {
        world
            .settled_set("a", 6, &json!({"scaleStrategy": {"protectAllocated": true}}))
            .await?;
        world.set_ops_state("a-1", "Allocated").await?;
        for name in ["a-0", "a-1", "a-4"] {
            world.set_ops_state(name, "Kill").await?;
        }
        world
            .until("three are wanted", |s| s.sets["a"].spec.replicas == 3)
            .await?;
        world.at_rest("a", &[2, 3, 5]).await?;
        world.fence().await?;
        assert!(world.now().at_rest("a", &[2, 3, 5]));
        Ok(())
    })
    .await
}

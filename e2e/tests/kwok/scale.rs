//! Growing and shrinking: who goes first, and who never goes.

use anyhow::{Context as _, Result};
use api_types::keys;
use e2e::{Snapshot, in_namespace};
use kube::api::{Patch, PatchParams};
use serde_json::json;

#[tokio::test]
async fn idle_servers_go_before_allocated_ones_even_when_just_allocated() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 5, &json!({})).await?;
        // No wait between the acknowledged allocations and the scale-in: what the controller has seen must not matter.
        for name in ["a-3", "a-4"] {
            let patch = Patch::Merge(json!({"spec": {"opsState": "Allocated"}}));
            world
                .servers()
                .patch(name, &PatchParams::default(), &patch)
                .await?;
        }
        let before = world.now().uids("a");
        world.scale("a", 3).await?;
        world.at_rest("a", &[0, 3, 4]).await?;
        let after = world.now().uids("a");
        assert!(
            after.iter().all(|(id, uid)| before.get(id) == Some(uid)),
            "{before:?} {after:?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn those_waiting_to_be_deleted_go_first_and_maintained_ones_last() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 5, &json!({})).await?;
        for (name, state) in [
            ("a-0", "WaitToBeDeleted"),
            ("a-3", "Allocated"),
            ("a-4", "Maintaining"),
        ] {
            world.set_ops_state(name, state).await?;
        }
        world
            .until("both are counted", |s| counted(s) == Some((1, 1)))
            .await?;
        world.scale("a", 4).await?;
        world.at_rest("a", &[1, 2, 3, 4]).await?;
        world.scale("a", 2).await?;
        world.at_rest("a", &[3, 4]).await?;
        world.scale("a", 1).await?;
        world.at_rest("a", &[4]).await
    })
    .await
}

/// Waiting and maintained servers of set `a` as its status counts them: it has seen their opsState then.
fn counted(s: &Snapshot) -> Option<(i32, i32)> {
    let status = s.sets.get("a")?.status.as_ref()?;
    Some((status.wait_to_be_deleted_replicas?, status.maintaining_replicas?))
}

#[tokio::test]
async fn higher_deletion_priority_goes_first_then_the_higher_ordinal() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 5, &json!({})).await?;
        for (name, priority) in [("a-1", json!(10)), ("a-2", json!("20"))] {
            world
                .patch_server(name, &json!({"spec": {"deletionPriority": priority}}))
                .await?;
        }
        let shown = |s: &Snapshot, name: &str, wanted: &str| {
            let priority = s
                .status(name)
                .and_then(|status| status.deletion_priority.as_ref());
            priority.is_some_and(|priority| priority.to_label_string() == wanted)
        };
        world
            .until("the priorities are shown", |s| {
                shown(s, "a-1", "10") && shown(s, "a-2", "20")
            })
            .await?;
        world.scale("a", 4).await?;
        world.at_rest("a", &[0, 1, 3, 4]).await?;
        world.scale("a", 2).await?;
        world.at_rest("a", &[0, 3]).await
    })
    .await
}

#[tokio::test]
async fn protected_servers_block_the_scale_in_until_they_are_released() -> Result<()> {
    in_namespace(async |world| {
        world
            .settled_set("a", 3, &json!({"scaleStrategy": {"protectAllocated": true}}))
            .await?;
        for name in ["a-0", "a-1", "a-2"] {
            world.set_ops_state(name, "Allocated").await?;
        }
        world.scale("a", 1).await?;
        let blocked = |s: &Snapshot| {
            let condition = s.condition("a", keys::condition::SCALE_IN_BLOCKED);
            condition.is_some_and(|c| {
                c.status == "True" && c.observed_generation == s.sets["a"].metadata.generation
            })
        };
        world.until("ScaleInBlocked", blocked).await?;
        world.fence().await?;
        assert_eq!(world.now().ids("a"), [0, 1, 2].into());
        world.set_ops_state("a-1", "None").await?;
        world
            .until("the released one goes", |s| s.ids("a") == [0, 2].into())
            .await?;
        assert!(blocked(&world.now()), "two are left and one is wanted");
        world.set_ops_state("a-2", "WaitToBeDeleted").await?;
        world.at_rest("a", &[0]).await?;
        world.until("no longer blocked", |s| !blocked(s)).await
    })
    .await
}

#[tokio::test]
async fn the_scale_subresource_scales_and_reports() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 2, &json!({})).await?;
        let patch = Patch::Merge(json!({"spec": {"replicas": 4}}));
        world
            .sets()
            .patch_scale("a", &PatchParams::default(), &patch)
            .await?;
        world.at_rest("a", &[0, 1, 2, 3]).await?;
        let scale = world.sets().get_scale("a").await?;
        let status = scale.status.context("no status")?;
        assert_eq!(
            (scale.spec.and_then(|spec| spec.replicas), status.replicas),
            (Some(4), 4)
        );
        assert_eq!(status.selector.as_deref(), Some("game.kruise.io/owner-gss=a"));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_scale_in_taken_back_leaves_the_set_whole() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 6, &json!({})).await?;
        for replicas in [2, 5, 1, 6] {
            world.scale("a", replicas).await?;
        }
        world.at_rest("a", &[0, 1, 2, 3, 4, 5]).await
    })
    .await
}

#[tokio::test]
async fn a_set_of_a_hundred_comes_up_while_another_scales() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("small", 3, &json!({})).await?;
        world.apply(&e2e::act::set("large", 100)).await?;
        for replicas in [6, 2, 4] {
            world.scale("small", replicas).await?;
            world.at_rest("small", &(0..replicas).collect::<Vec<_>>()).await?;
        }
        world.at_rest("large", &(0..100).collect::<Vec<_>>()).await?;
        world.scale("large", 0).await?;
        world.at_rest("large", &[]).await?;
        assert!(world.now().at_rest("small", &[0, 1, 2, 3]));
        Ok(())
    })
    .await
}

//! Deleting a set, or its whole namespace.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result};
use api_types::keys::label;
use e2e::{Snapshot, World, in_namespace};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::DeleteParams;
use kube::runtime::{conditions, wait::await_condition};
use kube::{Api, ResourceExt as _};
use serde_json::json;

/// A set under each reclaim policy, of three servers each.
async fn two_sets(world: &World) -> Result<()> {
    world
        .settled_set(
            "brief",
            3,
            &json!({"gameServerTemplate": {"reclaimPolicy": "Cascade"}}),
        )
        .await?;
    world
        .settled_set(
            "kept",
            3,
            &json!({"gameServerTemplate": {"reclaimPolicy": "Delete"}}),
        )
        .await
}

fn empty(s: &Snapshot) -> bool {
    s.pods.is_empty() && s.servers.is_empty() && s.sets.is_empty()
}

/// UIDs of all Pods there ever were.
fn pods_ever(s: &Snapshot) -> BTreeSet<String> {
    s.pod_history.iter().filter_map(|pod| pod.uid()).collect()
}

async fn leaves_nothing(how: DeleteParams) -> Result<()> {
    in_namespace(async |world| {
        two_sets(world).await?;
        for set in ["brief", "kept"] {
            world.sets().delete(set, &how).await?;
        }
        world.until("nothing is left", empty).await?;
        assert_eq!(
            pods_ever(&world.now()).len(),
            6,
            "no Pod was made for a set that was going"
        );
        world.fence().await?;
        assert!(empty(&world.now()));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_set_deleted_in_the_background_leaves_nothing() -> Result<()> {
    leaves_nothing(DeleteParams::background()).await
}

#[tokio::test]
async fn a_set_deleted_in_the_foreground_leaves_nothing() -> Result<()> {
    leaves_nothing(DeleteParams::foreground()).await
}

#[tokio::test]
async fn a_deleted_set_makes_no_pod_while_it_waits_for_one() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 3, &json!({})).await?;
        world.hold("a-1").await?;
        world.sets().delete("a", &DeleteParams::foreground()).await?;
        world
            .until("the held one is left", |s| s.uids("a").keys().eq([&1]))
            .await?;
        world.fence().await?;
        let now = world.now();
        assert!(
            now.sets.contains_key("a") && now.uids("a").keys().eq([&1]),
            "{:?}",
            now.uids("a")
        );
        world.release("a-1").await?;
        world.until("nothing is left", empty).await
    })
    .await
}

#[tokio::test]
async fn a_set_deleted_with_orphans_leaves_its_pods_running() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 3, &json!({})).await?;
        let before = world.now().uids("a");
        world.sets().delete("a", &DeleteParams::orphan()).await?;
        let orphaned = |s: &Snapshot| s.pods_of("a").all(|pod| pod.owner_references().is_empty());
        world
            .until("the set is gone", |s| !s.sets.contains_key("a") && orphaned(s))
            .await?;
        world.fence().await?;
        world.set_ops_state("a-0", "Allocated").await?;
        world
            .until("its server still works", |s| {
                s.pod_label("a-0", label::GS_OPS_STATE) == Some("Allocated")
            })
            .await?;
        let now = world.now();
        assert_eq!((now.uids("a"), now.ids("a")), (before, [0, 1, 2].into()));
        assert_eq!(now.servers_of("a").count(), 3);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_deleted_namespace_ends_clean() -> Result<()> {
    in_namespace(async |world| {
        two_sets(world).await?;
        world.set_ops_state("kept-0", "Allocated").await?;
        let namespaces: Api<Namespace> = Api::all(world.client.clone());
        let namespace = namespaces.get(&world.namespace).await?;
        namespaces
            .delete(&world.namespace, &DeleteParams::default())
            .await?;
        let uid = namespace.uid().context("no UID")?;
        let gone = await_condition(namespaces, &world.namespace, conditions::is_deleted(&uid));
        tokio::time::timeout(Duration::from_secs(120), gone)
            .await
            .context("the namespace is stuck")??;
        world.until("nothing is left", empty).await
    })
    .await
}

//! Lifecycle hooks with all controllers: what a game or its operator says on the GameServer decides when a Pod goes.

use anyhow::Result;
use api_types::keys::label;
use e2e::{World, in_namespace};
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use serde_json::{Value, json};

const BLOCK: &str = "gs-sync/delete-block";

fn blocking() -> Value {
    json!({
        "lifecycle": {"preDelete": {"labelsHandler": {BLOCK: "true"}}},
        "gameServerTemplate": {"metadata": {"labels": {BLOCK: "true"}}},
    })
}

async fn let_go(world: &World, server: &str) -> Result<()> {
    let patch = json!({"metadata": {"labels": {BLOCK: "false"}}});
    world.patch_server(server, &patch).await.map(drop)
}

async fn is_held(world: &World, server: &str) -> Result<()> {
    world
        .until(&format!("{server} is in PreDelete"), |s| {
            s.pod_label(server, label::GS_STATE) == Some("PreDelete")
                && s.status(server)
                    .is_some_and(|status| status.current_state.as_deref() == Some("PreDelete"))
        })
        .await
}

#[tokio::test]
async fn a_server_drains_before_it_goes_and_its_id_waits_for_it() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 3, &blocking()).await?;
        let before = world.pod_uid("a-2")?;
        world.scale("a", 2).await?;
        is_held(world, "a-2").await?;
        let refused = world.set_ops_state("a-2", "Allocated").await;
        assert!(
            refused.is_err(),
            "a server that waits for its end can't be allocated"
        );
        world.scale("a", 3).await?;
        world
            .until("another id is used", |s| {
                s.servers.get("a-3").is_some_and(|server| s.is_ready(server))
            })
            .await?;
        assert_eq!(world.pod_uid("a-2")?, before);
        let_go(world, "a-2").await?;
        world.at_rest("a", &[0, 1, 3]).await
    })
    .await
}

#[tokio::test]
async fn a_set_that_is_deleted_does_not_ask_its_hook() -> Result<()> {
    in_namespace(async |world| {
        for how in [DeleteParams::background(), DeleteParams::foreground()] {
            world.settled_set("a", 2, &blocking()).await?;
            world.scale("a", 1).await?;
            is_held(world, "a-1").await?;
            world.sets().delete("a", &how).await?;
            world
                .until("nothing is left", |s| {
                    s.pods.is_empty() && s.servers.is_empty() && s.sets.is_empty()
                })
                .await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn orphaned_pods_stay_as_they_are() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 2, &blocking()).await?;
        let before = world.now().uids("a");
        world.sets().delete("a", &DeleteParams::orphan()).await?;
        world
            .until("the set is gone and owns nothing", |s| {
                s.sets.is_empty() && s.pods.values().all(|pod| pod.owner_references().is_empty())
            })
            .await?;
        world.fence().await?;
        let now = world.now();
        let left: Vec<_> = now.pods.values().filter_map(|pod| pod.uid()).collect();
        assert_eq!(left, before.into_values().collect::<Vec<_>>());
        Ok(())
    })
    .await
}

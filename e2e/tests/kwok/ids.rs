//! Which ids exist: reserves, ranges and holes.

use anyhow::Result;
use api_types::IntOrString;
use e2e::act::set_with;
use e2e::{Snapshot, in_namespace};
use serde_json::json;

#[tokio::test]
async fn a_chosen_server_is_taken_offline_and_no_other() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 3, &json!({})).await?;
        let before = world.now().uids("a");
        world
            .patch_set("a", &json!({"replicas": 2, "reserveGameServerIds": [1]}))
            .await?;
        world.at_rest("a", &[0, 2]).await?;
        let after = world.now().uids("a");
        assert_eq!((after.get(&0), after.get(&2)), (before.get(&0), before.get(&2)));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn reserving_without_lowering_replicas_moves_the_server() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 3, &json!({})).await?;
        world
            .patch_set("a", &json!({"reserveGameServerIds": [0]}))
            .await?;
        world.at_rest("a", &[1, 2, 3]).await
    })
    .await
}

#[tokio::test]
async fn ids_and_ranges_reserved_from_the_start_never_exist() -> Result<()> {
    in_namespace(async |world| {
        world
            .apply(&set_with("a", 3, &json!({"reserveGameServerIds": ["1-3", 5]})))
            .await?;
        world.at_rest("a", &[0, 4, 6]).await?;
        world.scale("a", 5).await?;
        world.at_rest("a", &[0, 4, 6, 7, 8]).await?;
        let reserved = |name: &str| ["a-1", "a-2", "a-3", "a-5"].contains(&name);
        let now = world.now();
        assert!(
            !now.pod_history
                .iter()
                .any(|pod| reserved(pod.metadata.name.as_deref().unwrap_or_default()))
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_hole_left_by_a_lifted_reserve_is_filled_by_the_next_growth_only() -> Result<()> {
    in_namespace(async |world| {
        world
            .apply(&set_with("a", 3, &json!({"reserveGameServerIds": [1]})))
            .await?;
        world.at_rest("a", &[0, 2, 3]).await?;
        world
            .patch_set("a", &json!({"reserveGameServerIds": null}))
            .await?;
        world.at_rest("a", &[0, 2, 3]).await?;
        world.fence().await?;
        assert!(world.now().at_rest("a", &[0, 2, 3]));
        world.scale("a", 4).await?;
        world.at_rest("a", &[0, 1, 2, 3]).await
    })
    .await
}

#[tokio::test]
async fn a_hole_left_by_scale_in_is_filled_first() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 4, &json!({})).await?;
        world.set_ops_state("a-1", "WaitToBeDeleted").await?;
        let counted = |s: &Snapshot| {
            s.sets["a"]
                .status
                .as_ref()
                .and_then(|status| status.wait_to_be_deleted_replicas)
        };
        world.until("the set knows", |s| counted(s) == Some(1)).await?;
        world.scale("a", 3).await?;
        world.at_rest("a", &[0, 2, 3]).await?;
        world.scale("a", 5).await?;
        world.at_rest("a", &[0, 1, 2, 3, 4]).await?;
        assert_eq!(
            world.now().servers["a-1"].spec.ops_state.as_deref(),
            Some("None"),
            "a new server, not the old one"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn strategy_reserve_ids_writes_the_given_up_ids_to_the_spec() -> Result<()> {
    in_namespace(async |world| {
        world
            .settled_set(
                "a",
                5,
                &json!({"scaleStrategy": {"scaleDownStrategyType": "ReserveIds"}}),
            )
            .await?;
        world.scale("a", 2).await?;
        world.at_rest("a", &[0, 1]).await?;
        let reserved = |s: &Snapshot| s.sets["a"].spec.reserve_game_server_ids.clone();
        world
            .until("the ids are reserved", |s| {
                reserved(s) == [IntOrString::String("2-4".into())]
            })
            .await?;
        world.scale("a", 3).await?;
        world.at_rest("a", &[0, 1, 5]).await?;
        // Given back by the user, they are free again.
        world
            .patch_set("a", &json!({"replicas": 4, "reserveGameServerIds": [3, 4]}))
            .await?;
        world.at_rest("a", &[0, 1, 2, 5]).await
    })
    .await
}

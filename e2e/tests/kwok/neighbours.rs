//! What is wrong with one object is nobody else's problem.

use anyhow::Result;
use api_types::keys::label;
use e2e::act::{refusal, set, set_with};
use e2e::{Snapshot, in_namespace};
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

#[tokio::test]
async fn sets_whose_names_begin_alike_leave_each_other_alone() -> Result<()> {
    in_namespace(async |world| {
        // Set a's second server has the name of the other set.
        world.settled_set("a", 3, &json!({})).await?;
        world.settled_set("a-1", 3, &json!({})).await?;
        let others = world.now().uids("a-1");
        world.set_ops_state("a-1", "WaitToBeDeleted").await?;
        let counted = |s: &Snapshot| {
            s.sets["a"]
                .status
                .as_ref()
                .and_then(|status| status.wait_to_be_deleted_replicas)
        };
        world.until("the set knows", |s| counted(s) == Some(1)).await?;
        world.scale("a", 2).await?;
        world.at_rest("a", &[0, 2]).await?;
        assert!(world.now().at_rest("a-1", &[0, 1, 2]));
        world.sets().delete("a", &DeleteParams::background()).await?;
        world
            .until("a is gone", |s| {
                s.pods_of("a").count() == 0 && s.servers_of("a").count() == 0
            })
            .await?;
        world.fence().await?;
        assert!(world.now().at_rest("a-1", &[0, 1, 2]));
        assert_eq!(world.now().uids("a-1"), others);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_image_no_pod_takes_harms_neither_its_own_ops_state_nor_another_server() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 2, &json!({})).await?;
        let containers = json!([{"name": "game", "image": " spaces around "}]);
        world
            .patch_server("a-0", &json!({"spec": {"containers": containers}}))
            .await?;
        for name in ["a-0", "a-1"] {
            world.set_ops_state(name, "Allocated").await?;
        }
        let allocated = |s: &Snapshot, name| s.pod_label(name, label::GS_OPS_STATE) == Some("Allocated");
        world
            .until("both are shown", |s| allocated(s, "a-0") && allocated(s, "a-1"))
            .await?;
        assert!(
            !world.now().is_synced("a-0"),
            "its image isn't shown, and it doesn't say it is"
        );
        world.event("a-0", "PodPatchRefused").await?;
        let containers = json!([{"name": "game", "image": "gamekeeper.local/demo/game:2"}]);
        world
            .patch_server("a-0", &json!({"spec": {"containers": containers}}))
            .await?;
        world
            .until("the corrected image is shown", |s| s.is_synced("a-0"))
            .await
    })
    .await
}

#[tokio::test]
async fn a_template_no_pod_can_be_made_of_says_so_and_stops_nobody() -> Result<()> {
    in_namespace(async |world| {
        // The PodSpec is Kubernetes' to judge: only a create finds this out.
        let broken = json!({"gameServerTemplate": {"spec": {"dnsPolicy": "Nowhere"}}});
        world.apply(&set_with("broken", 2, &broken)).await?;
        world.settled_set("sound", 2, &json!({})).await?;
        let event = world.event("broken", "FailedCreate").await?;
        assert!(event.message.unwrap_or_default().contains("dnsPolicy"));
        world
            .until("its status says so", |s| {
                s.condition("broken", "Ready")
                    .is_some_and(|c| c.status == "False")
            })
            .await?;
        world
            .patch_set(
                "broken",
                &json!({"gameServerTemplate": {"spec": {"dnsPolicy": null}}}),
            )
            .await?;
        world.at_rest("broken", &[0, 1]).await
    })
    .await
}

#[tokio::test]
async fn a_foreign_pod_under_a_servers_name_is_reported_and_the_others_are_made() -> Result<()> {
    in_namespace(async |world| {
        let spec = json!({"containers": [{"name": "other", "image": "gamekeeper.local/demo/game:1"}]});
        let foreign = serde_json::from_value(json!({"metadata": {"name": "a-0"}, "spec": spec}))?;
        let foreign = world.pods().create(&PostParams::default(), &foreign).await?;
        world.apply(&set("a", 3)).await?;
        world
            .until("the others are made", |s| s.ids("a") == [1, 2].into())
            .await?;
        let event = world.event("a", "FailedCreate").await?;
        assert!(event.message.unwrap_or_default().contains("a-0"));
        world.fence().await?;
        let now = world.now();
        assert_eq!(now.pods["a-0"].uid(), foreign.uid());
        assert!(now.pods["a-0"].labels().is_empty() && !now.servers.contains_key("a-0"));
        world.delete_pod("a-0").await?;
        world.at_rest("a", &[0, 1, 2]).await
    })
    .await
}

#[tokio::test]
async fn a_set_that_could_never_work_is_refused_when_it_is_applied() -> Result<()> {
    in_namespace(async |world| {
        let misspelt = world.apply(&set_with("a", 1, &json!({"replica": 3}))).await;
        assert!(format!("{:#}", misspelt.unwrap_err()).contains("replica"));
        let backwards = set_with("a", 1, &json!({"reserveGameServerIds": ["7-3"]}));
        let backwards = world.apply(&backwards).await;
        assert!(format!("{:#}", backwards.unwrap_err()).contains("write \"3-7\", not \"7-3\""));
        world.settled_set("a", 1, &json!({})).await?;
        let negative = Patch::Merge(json!({"spec": {"replicas": -1}}));
        let refused = refusal(world.sets().patch("a", &PatchParams::default(), &negative).await)?;
        assert!(refused.starts_with("422 "), "{refused}");
        Ok(())
    })
    .await
}

//! How long a GameServer lives beside its Pod, and what replaces what.

use anyhow::{Context as _, Result};
use api_types::keys::label;
use e2e::snapshot::label as pod_label;
use e2e::{Snapshot, World, in_namespace};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

fn delete_policy() -> serde_json::Value {
    json!({"gameServerTemplate": {"reclaimPolicy": "Delete"}})
}

/// Waits for another Pod than `old` under this name to be Ready, and gives its first version.
async fn successor(world: &World, name: &str, old: &str) -> Result<Pod> {
    let is_new = |pod: &Pod| pod.name_any() == name && pod.uid().as_deref() != Some(old);
    world
        .until(&format!("another Ready {name}"), |s| {
            s.pods.get(name).is_some_and(|pod| is_new(pod))
                && s.servers.get(name).is_some_and(|gs| s.is_ready(gs))
        })
        .await?;
    let history = world.now().pod_history;
    history
        .iter()
        .find(|pod| is_new(pod))
        .map(|pod| Pod::clone(pod))
        .context("never seen")
}

#[tokio::test]
async fn under_policy_delete_the_server_outlives_its_pod_and_marks_the_next_one_at_birth() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 2, &delete_policy()).await?;
        let spec = json!({"opsState": "Maintaining", "deletionPriority": 5});
        let patch = json!({"metadata": {"labels": {"gs-sync/realm": "north"}}, "spec": spec});
        let server = world.patch_server("a-0", &patch).await?;
        world.until("the Pod shows it", |s| s.is_synced("a-0")).await?;
        let old = world.pod_uid("a-0")?;
        world.delete_pod("a-0").await?;
        let born = successor(world, "a-0", &old).await?;
        assert_eq!(pod_label(&born, label::GS_OPS_STATE), Some("Maintaining"));
        assert_eq!(pod_label(&born, label::GS_DELETE_PRIORITY), Some("5"));
        assert_eq!(pod_label(&born, "gs-sync/realm"), Some("north"));
        let now = world.now();
        assert_eq!(now.servers["a-0"].uid(), server.uid());
        assert_eq!(now.servers["a-0"].spec.ops_state.as_deref(), Some("Maintaining"));
        world.at_rest("a", &[0, 1]).await
    })
    .await
}

#[tokio::test]
async fn under_policy_delete_scale_in_removes_the_server_and_growth_makes_a_fresh_one() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 3, &delete_policy()).await?;
        let old = world.set_ops_state("a-2", "WaitToBeDeleted").await?;
        world.until("the Pod shows it", |s| s.is_synced("a-2")).await?;
        world.scale("a", 2).await?;
        world.at_rest("a", &[0, 1]).await?;
        world.scale("a", 3).await?;
        world.at_rest("a", &[0, 1, 2]).await?;
        let now = world.now();
        assert_ne!(now.servers["a-2"].uid(), old.uid());
        assert_eq!(now.servers["a-2"].spec.ops_state.as_deref(), Some("None"));
        assert_eq!(now.pod_label("a-2", label::GS_OPS_STATE), Some("None"));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn under_policy_cascade_a_recreated_pod_gets_a_fresh_server() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 2, &json!({})).await?;
        let old_server = world.set_ops_state("a-0", "Allocated").await?;
        world.until("the Pod shows it", |s| s.is_synced("a-0")).await?;
        let old = world.pod_uid("a-0")?;
        world.delete_pod("a-0").await?;
        let born = successor(world, "a-0", &old).await?;
        assert_eq!(
            pod_label(&born, label::GS_OPS_STATE),
            Some("None"),
            "born without its predecessor's players"
        );
        world.at_rest("a", &[0, 1]).await?;
        let now = world.now();
        assert_ne!(now.servers["a-0"].uid(), old_server.uid());
        assert_eq!(now.servers["a-0"].spec.ops_state.as_deref(), Some("None"));
        let of_new = |pod: &Pod| pod.name_any() == "a-0" && pod.uid().as_deref() != Some(&old);
        let states = now.pod_history.iter().filter(|pod| of_new(pod));
        assert!(
            states
                .map(|pod| pod_label(pod, label::GS_OPS_STATE))
                .all(|state| state == Some("None"))
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_server_deleted_by_accident_costs_no_pod() -> Result<()> {
    for spec in [json!({}), delete_policy()] {
        in_namespace(async |world| {
            world.settled_set("a", 2, &spec).await?;
            let old = world.set_ops_state("a-1", "Maintaining").await?;
            world.until("the Pod shows it", |s| s.is_synced("a-1")).await?;
            let pods = world.now().uids("a");
            world.servers().delete("a-1", &DeleteParams::default()).await?;
            world
                .until("another GameServer, shown by the Pod", |s| {
                    let again = s
                        .servers
                        .get("a-1")
                        .is_some_and(|gs| gs.uid() != old.uid() && s.is_ready(gs));
                    again && s.pod_label("a-1", label::GS_OPS_STATE) == Some("None")
                })
                .await?;
            world.set_ops_state("a-1", "Allocated").await?;
            world
                .until("it works on", |s| {
                    s.pod_label("a-1", label::GS_OPS_STATE) == Some("Allocated")
                })
                .await?;
            let now = world.now();
            assert_eq!((now.ids("a"), now.uids("a")), ([0, 1].into(), pods));
            Ok(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_failed_pod_is_replaced_under_its_own_id() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 3, &json!({})).await?;
        let before = world.now().uids("a");
        let failed = Patch::Merge(json!({"status": {"phase": "Failed", "reason": "Evicted"}}));
        world
            .pods()
            .patch_status("a-1", &PatchParams::default(), &failed)
            .await?;
        successor(world, "a-1", &before[&1]).await?;
        world.at_rest("a", &[0, 1, 2]).await?;
        let after = world.now().uids("a");
        assert_eq!((after.get(&0), after.get(&2)), (before.get(&0), before.get(&2)));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_pod_that_takes_its_time_to_go_keeps_its_id() -> Result<()> {
    in_namespace(async |world| {
        world.settled_set("a", 3, &json!({})).await?;
        world.hold("a-0").await?;
        world.delete_pod("a-0").await?;
        let deleting = |s: &Snapshot| s.pod_label("a-0", label::GS_STATE) == Some("Deleting");
        world.until("it shows Deleting", deleting).await?;
        world.scale("a", 4).await?;
        world
            .until("the fourth is there", |s| s.ids("a") == [1, 2, 3].into())
            .await?;
        world.fence().await?;
        assert_eq!(world.now().ids("a"), [1, 2, 3].into(), "nobody takes its place");
        world.release("a-0").await?;
        world.at_rest("a", &[0, 1, 2, 3]).await
    })
    .await
}

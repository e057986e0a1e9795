//! The way back, and once more forwards.

use anyhow::{Context as _, Result};
use e2e::in_namespace;
use e2e::okg::Estate;
use kube::ResourceExt as _;
use migrate::plan::State;
use migrate::rollback;
use serde_json::json;

use crate::controllers;
use crate::tools::{NO_FORCE, WORKLOAD, apply, facts, no_managers, take_over, verified};

#[tokio::test]
async fn a_set_goes_back_with_the_ids_of_today_and_can_be_taken_over_again() -> Result<()> {
    let _managers = no_managers().await;
    in_namespace(async |world| {
        world.install_kruise_crds().await?;
        let estate = Estate::new("a", "Delete");
        estate.lay_down(world).await?;
        assert_eq!(take_over(world, "a").await?.state, State::Done);
        // Ids change under our controllers, which are still there on the way back.
        let gss = controllers::start(world, "gss-controller").await?;
        let gs = controllers::start(world, "gs-controller").await?;
        let sync = controllers::start(world, "pod-sync").await?;
        world.scale("a", 3).await?;
        world.at_rest("a", &[0, 2, 5]).await?;
        let before = world.now().uids("a");

        let (_, found) = facts(world, "a").await?;
        let end = apply(world).finish(&found, |cluster, set| rollback::plan(cluster, set, NO_FORCE)).await?;
        assert_eq!(end.state, State::Done, "{:?}", end.obstacles);
        let workload = world.objects(WORKLOAD)?.get("a").await?;
        let uid = workload.uid().context("no UID")?;
        assert_eq!(workload.data["spec"]["replicas"], 3);
        assert_eq!(workload.data["spec"]["reserveOrdinals"], json!([1, 3, 4]));
        assert_eq!(workload.owner_references()[0].kind, "GameServerSet");
        world
            .until("all Pods belong to it", |s| {
                s.pods_of("a").all(|pod| pod.owner_references().iter().all(|owner| owner.uid == uid))
            })
            .await?;
        for claim in world.objects("v1/PersistentVolumeClaim")?.list(&kube::api::ListParams::default()).await?.items {
            assert_eq!(claim.owner_references()[0].uid, uid, "{}", claim.name_any());
            assert_eq!(claim.owner_references()[0].controller, None);
        }
        assert!(world.objects("apps.kruise.io/v1alpha1/PodProbeMarker")?.get_opt("a").await?.is_some());
        let waits = |s: &e2e::Snapshot| s.condition("a", "Degraded").is_some_and(|found| found.reason == "AwaitingTakeOver");
        world.until("gss-controller lets go", waits).await?;
        assert_eq!(world.now().uids("a"), before);
        drop((gss, gs, sync));

        // OpenKruise, were it here, would report this.
        let status = json!({"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "currentRevision": "r", "updateRevision": "r"});
        world.patch_status_of(&workload, &status).await?;
        let end = take_over(world, "a").await?;
        assert_eq!(end.state, State::Done, "{:?}", end.obstacles);
        let verified = verified(world, "a").await?;
        assert!(verified.ok, "{verified:#?}");
        assert_eq!(world.now().uids("a"), before);
        Ok(())
    })
    .await
}

//! The whole way: plan, run, verify, then our controllers.

use anyhow::Result;
use e2e::okg::Estate;
use e2e::{World, in_namespace};
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt as _};
use migrate::plan::State;
use serde_json::json;
use test_bed::Process;

use crate::controllers;
use crate::tools::{WORKLOAD, command, kubeconfig, no_managers, planned, verified, versions};

const IDS: [u32; 4] = [0, 2, 4, 5];

#[tokio::test]
async fn nothing_restarts_and_our_controllers_go_on_with_the_same_ids() -> Result<()> {
    let _managers = no_managers().await;
    for policy in ["Cascade", "Delete"] {
        in_namespace(async |world| {
            world.install_kruise_crds().await?;
            let estate = Estate::new("arena", policy);
            estate.lay_down(world).await?;
            let before = world.now().uids("arena");
            let gss = the_controller_waits_until_it_is_its_turn(world).await?;

            let found = planned(world, "arena").await?;
            assert_eq!(
                (found.state, &*found.ids, &*found.holes),
                (State::Ready, "0,2,4,5", "1,3")
            );
            let untouched = versions(world).await?;
            let config = kubeconfig()?;
            command(world, &config, &[]).await?;
            command(world, &config, &["run", "arena"]).await?;
            assert_eq!(versions(world).await?, untouched, "a plan changes nothing");

            command(world, &config, &["run", "arena", "--yes"]).await?;
            let verified = verified(world, "arena").await?;
            assert!(verified.ok, "{verified:#?}");
            assert_eq!(planned(world, "arena").await?.state, State::Done);
            let others = [
                controllers::start(world, "gs-controller").await?,
                controllers::start(world, "pod-sync").await?,
            ];
            world.at_rest("arena", &IDS).await?;
            let mut writes = vec![gss.writes_by_kind().await];
            for controller in &others {
                writes.push(controller.writes_by_kind().await);
            }
            println!("writes after the take-over of 4 servers, {policy}: {writes:?}");
            kept(world, &estate, &before);
            scales(world, &before).await
        })
        .await?;
    }
    Ok(())
}

/// gss-controller runs before the take-over: it must see that the set is not its own yet.
async fn the_controller_waits_until_it_is_its_turn(world: &World) -> Result<Process> {
    let gss = controllers::start(world, "gss-controller").await?;
    let waits = |s: &e2e::Snapshot| {
        let found = s.condition("arena", "Degraded").map(|found| found.reason.clone());
        found.as_deref() == Some("AwaitingTakeOver")
    };
    world.until("gss-controller says that it waits", waits).await?;
    let said: Vec<_> = gss.writes_by_kind().await.into_keys().collect();
    assert_eq!(said, ["patch gameserversets status"], "it only says so");
    Ok(gss)
}

/// The Pods are the ones they were, and no label was rewritten.
fn kept(world: &World, estate: &Estate, before: &std::collections::BTreeMap<u32, String>) {
    let now = world.now();
    assert_eq!(&now.uids("arena"), before);
    for pod in now.pods_of("arena") {
        assert_eq!(pod.labels()["controller-revision-hash"], estate.revision_name());
        assert_eq!(pod.labels()["lifecycle.apps.kruise.io/state"], "Normal");
        let owners: Vec<_> = pod
            .owner_references()
            .iter()
            .map(|owner| owner.kind.as_str())
            .collect();
        assert_eq!(owners, ["GameServerSet"]);
    }
    let server = &now.servers["arena-5"];
    assert_eq!(server.spec.ops_state.as_deref(), Some("Allocated"));
    let status = now.sets["arena"].status.clone().unwrap_or_default();
    assert_eq!(status.ready_replicas, 4, "{status:?}");
}

async fn scales(world: &World, before: &std::collections::BTreeMap<u32, String>) -> Result<()> {
    let volumes: Api<PersistentVolume> = Api::all(world.client.clone());
    // New servers have claims of their own, and a Pod starts when its claim is bound.
    for id in [3, 6] {
        let volume = json!({
            "metadata": {"name": format!("{}-{id}", world.namespace)},
            "spec": {
                "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/tmp"},
                "persistentVolumeReclaimPolicy": "Retain",
                "claimRef": {"namespace": world.namespace, "name": format!("data-arena-{id}")},
            },
        });
        volumes
            .create(&PostParams::default(), &serde_json::from_value(volume)?)
            .await?;
    }
    // The hole is filled first, the reserved id never.
    world.scale("arena", 6).await?;
    world.at_rest("arena", &[0, 2, 3, 4, 5, 6]).await?;
    // The allocated server outlives the others though its id is higher.
    world.scale("arena", 3).await?;
    world.at_rest("arena", &[0, 2, 5]).await?;
    let after = world.now().uids("arena");
    for id in [0, 2, 5] {
        assert_eq!(after.get(&id), before.get(&id));
    }
    for id in [3, 6] {
        volumes
            .delete(&format!("{}-{id}", world.namespace), &DeleteParams::default())
            .await?;
    }
    assert!(world.objects(WORKLOAD)?.get_opt("arena").await?.is_none());
    Ok(())
}

//! Volume claims with the garbage collector and the volume controllers at work. There is no provisioner: what is bound is bound to a
//! volume that the test made.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, bail};
use e2e::{World, in_namespace};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

fn saving(deleted: &str, scaled: &str) -> Value {
    let claim = json!({
        "metadata": {"name": "save"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "by-hand", "resources": {"requests": {"storage": "1Mi"}}},
    });
    json!({
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": deleted, "whenScaled": scaled},
        "gameServerTemplate": {"volumeClaimTemplates": [claim]},
    })
}

/// Volumes for these servers' claims, each for its own.
async fn volumes(world: &World, servers: u32) -> Result<Vec<String>> {
    let api: Api<PersistentVolume> = Api::all(world.client.clone());
    let mut names = Vec::new();
    for id in 0..servers {
        let name = format!("{}-{id}", world.namespace);
        let volume = json!({
            "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": "1Mi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "by-hand",
                "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": "/tmp"},
                "claimRef": {"namespace": world.namespace, "name": format!("save-a-{id}")},
            },
        });
        api.create(&PostParams::default(), &serde_json::from_value(volume)?)
            .await?;
        names.push(name);
    }
    Ok(names)
}

async fn claims_become(world: &World, wanted: &[&str]) -> Result<()> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(world.client.clone(), &world.namespace);
    let wanted: BTreeSet<String> = wanted.iter().map(ToString::to_string).collect();
    let mut last = BTreeSet::new();
    for _ in 0..200 {
        let found = api.list(&ListParams::default()).await?.items;
        last = found.iter().map(ResourceExt::name_any).collect();
        if last == wanted {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("claims {last:?} instead of {wanted:?}")
}

async fn with_volumes(world: &World, servers: u32, test: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
    let made = volumes(world, servers).await?;
    let passed = test().await;
    let api: Api<PersistentVolume> = Api::all(world.client.clone());
    for name in made {
        api.delete(&name, &DeleteParams::default()).await?;
    }
    passed
}

#[tokio::test]
async fn a_server_keeps_its_volume_until_it_is_scaled_in() -> Result<()> {
    in_namespace(async |world| {
        with_volumes(world, 2, async || {
            world.settled_set("a", 2, &saving("Delete", "Delete")).await?;
            claims_become(world, &["save-a-0", "save-a-1"]).await?;
            // A replaced Pod has the same claim; that its Pod is gone takes nothing away.
            let old = world.pod_uid("a-0")?;
            world.delete_pod("a-0").await?;
            world
                .until("another a-0", |s| {
                    s.pods
                        .get("a-0")
                        .is_some_and(|pod| pod.uid().as_deref() != Some(old.as_str()))
                })
                .await?;
            world.at_rest("a", &[0, 1]).await?;
            world.scale("a", 1).await?;
            claims_become(world, &["save-a-0"]).await?;
            world.sets().delete("a", &DeleteParams::background()).await?;
            claims_become(world, &[]).await
        })
        .await
    })
    .await
}

#[tokio::test]
async fn retained_volumes_outlive_scale_in_and_set() -> Result<()> {
    in_namespace(async |world| {
        with_volumes(world, 2, async || {
            world.settled_set("a", 2, &saving("Retain", "Retain")).await?;
            world.scale("a", 1).await?;
            world.at_rest("a", &[0]).await?;
            world.sets().delete("a", &DeleteParams::foreground()).await?;
            world
                .until("the set is gone", |s| s.sets.is_empty() && s.pods.is_empty())
                .await?;
            world.fence().await?;
            claims_become(world, &["save-a-0", "save-a-1"]).await
        })
        .await
    })
    .await
}

#[tokio::test]
async fn a_volume_that_never_comes_keeps_one_server_waiting() -> Result<()> {
    in_namespace(async |world| {
        with_volumes(world, 1, async || {
            world
                .apply(&e2e::act::set_with("a", 2, &saving("Retain", "Retain")))
                .await?;
            world
                .until("the set says which claim is unbound", |s| {
                    s.condition("a", "VolumeBlocked").is_some_and(|found| {
                        found.reason == "ClaimUnbound" && found.message.contains("save-a-1")
                    })
                })
                .await?;
            let now = world.now();
            assert!(now.is_ready(&now.servers["a-0"]), "the other one runs");
            Ok(())
        })
        .await
    })
    .await
}

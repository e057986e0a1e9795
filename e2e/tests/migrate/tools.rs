//! What the tests of this file share.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use e2e::World;
use kube::ResourceExt as _;
use kube::api::ListParams;
use migrate::apply::Apply;
use migrate::cli::Cli;
use migrate::facts::{ClusterFacts, SetFacts};
use migrate::observe::{self, Scope};
use migrate::plan::{Force, SetPlan, plan};
use migrate::verify::{Verification, verify};
use tokio::sync::{RwLock, RwLockReadGuard};

/// Whether an OpenKruiseGame manager runs concerns the whole cluster: the test that starts one has it to itself.
pub(crate) static MANAGERS: RwLock<()> = RwLock::const_new(());

pub(crate) async fn no_managers() -> RwLockReadGuard<'static, ()> {
    MANAGERS.read().await
}

pub(crate) const NO_FORCE: Force = Force {
    okg_running: false,
    webhooks: false,
    mixed_revisions: false,
    set_behind: false,
};

pub(crate) const WORKLOAD: &str = "apps.kruise.io/v1beta1/StatefulSet";

pub(crate) fn apply(world: &World) -> Apply {
    Apply::new(world.client.clone())
}

pub(crate) async fn facts(world: &World, set: &str) -> Result<(ClusterFacts, SetFacts)> {
    let scope = Scope {
        namespace: world.namespace.clone(),
        names: vec![set.to_owned()],
    };
    let found = observe::sets(&world.client, &scope)
        .await?
        .pop()
        .context("no such set")?;
    Ok((observe::cluster(&world.client).await?, found))
}

pub(crate) async fn planned(world: &World, set: &str) -> Result<SetPlan> {
    let (cluster, found) = facts(world, set).await?;
    Ok(plan(&cluster, &found, NO_FORCE))
}

pub(crate) async fn take_over(world: &World, set: &str) -> Result<SetPlan> {
    let (_, found) = facts(world, set).await?;
    Ok(apply(world)
        .finish(&found, |cluster, set| plan(cluster, set, NO_FORCE))
        .await?)
}

pub(crate) async fn verified(world: &World, set: &str) -> Result<Verification> {
    let (_, found) = facts(world, set).await?;
    let old = found
        .snapshot
        .as_ref()
        .map(|stored| stored.content.workload_uid.clone())
        .unwrap_or_default();
    let owned = observe::owned_by(&world.client, &world.namespace, &old).await?;
    Ok(verify(&found, &owned))
}

/// Runs the command as a user does.
pub(crate) async fn command(world: &World, kubeconfig: &str, arguments: &[&str]) -> Result<ExitCode> {
    let line = [
        "gamekeeper-migrate",
        "--kubeconfig",
        kubeconfig,
        "-n",
        &world.namespace,
    ];
    migrate::run(Cli::try_parse_from(line.iter().chain(arguments))?).await
}

pub(crate) fn kubeconfig() -> Result<String> {
    std::env::var("GAMEKEEPER_TEST_KUBECONFIG").context("GAMEKEEPER_TEST_KUBECONFIG names the cluster")
}

/// Every object of a kind in the namespace, with its version: equal before and after when nothing was written.
pub(crate) async fn versions(world: &World) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for kind in [
        "v1/Pod",
        "v1/PersistentVolumeClaim",
        "v1/ConfigMap",
        "apps/v1/ControllerRevision",
        "game.kruise.io/v1alpha1/GameServerSet",
        WORKLOAD,
        "apps.kruise.io/v1alpha1/PodProbeMarker",
    ] {
        for object in world.objects(kind)?.list(&ListParams::default()).await?.items {
            // The cluster makes this one, at some time.
            if object.name_any() != "kube-root-ca.crt" {
                all.push(format!(
                    "{kind} {} {:?}",
                    object.name_any(),
                    object.resource_version()
                ));
            }
        }
    }
    Ok(all)
}

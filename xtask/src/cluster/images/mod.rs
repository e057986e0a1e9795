//! Test images, made from recipes in `e2e/images` without a registry and imported under any name.
//!
//! A manifest that names a registry nobody can reach runs unmodified: the caller imports a recipe under the very reference it
//! found there, and the default pull policy takes what is on the node (for every tag but `latest`).

pub(crate) mod archive;
pub(crate) mod layer;
mod program;
mod recipe;
pub(crate) mod reference;

use std::path::Path;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use super::spec::Provider;
use super::{Cluster, containerd, foreign, host, paths};

pub use recipe::Recipe;

/// The recipe that stands for the image `reference`: the one of its name, where there is one.
pub fn recipe_for(reference: &str) -> String {
    let name = reference.rsplit('/').next().unwrap_or(reference);
    let name = name.split([':', '@']).next().unwrap_or(name);
    let recipe = paths::repo_root()
        .join("e2e/images")
        .join(name)
        .join("image.yaml");
    if recipe.exists() { name } else { "rich-container" }.to_owned()
}

/// Makes the image of `e2e/images/RECIPE` available to the cluster's real nodes under `reference`. A cluster of simulated nodes
/// needs no images, so there nothing is done.
///
/// # Errors
/// When the recipe is wrong, or the node's container runtime refuses the image.
pub async fn import(cluster: &Cluster, recipe: &str, reference: &str) -> Result<()> {
    match cluster.provider {
        Provider::Local if cluster.nodes.kubelet => {
            import_into(
                &containerd::socket(&paths::run_dir(&cluster.dir)),
                recipe,
                reference,
            )
            .await
        }
        Provider::Local => Ok(()),
        Provider::Kind => import_into_kind(&cluster.name, recipe, reference).await,
        Provider::Kubeconfig => {
            bail!("images can't be put into a cluster of provider kubeconfig: push them yourself")
        }
    }
}

/// Makes the image archive `file` available to the real node of a local cluster.
///
/// # Errors
/// When the cluster has none, or its container runtime refuses the image.
pub(crate) async fn import_archive(cluster: &Cluster, file: &Path) -> Result<()> {
    if cluster.provider != Provider::Local || !cluster.nodes.kubelet {
        bail!("cluster {} has no real node", cluster.name);
    }
    containerd::import(&containerd::socket(&paths::run_dir(&cluster.dir)), file)
        .await
        .with_context(|| format!("can't import {}", file.display()))
}

/// The same under a second name: two tags of one image.
///
/// # Errors
/// As [`import`].
pub async fn import_twice(cluster: &Cluster, recipe: &str, reference: &str, other: &str) -> Result<()> {
    import(cluster, recipe, reference).await?;
    if cluster.provider != Provider::Local || !cluster.nodes.kubelet {
        return Ok(());
    }
    let file = archive_file(recipe, reference, other).await?;
    containerd::import(&containerd::socket(&paths::run_dir(&cluster.dir)), file.path())
        .await
        .with_context(|| format!("can't import {recipe} as {other}"))
}

/// Imports the image of `recipe` as `reference` into the containerd at `socket`.
pub(crate) async fn import_into(socket: &Path, recipe: &str, reference: &str) -> Result<()> {
    let file = archive_file(recipe, reference, reference).await?;
    containerd::import(socket, file.path())
        .await
        .with_context(|| format!("can't import {recipe} as {reference}"))
}

async fn import_into_kind(name: &str, recipe: &str, reference: &str) -> Result<()> {
    let file = archive_file(recipe, reference, reference).await?;
    let mut command = Command::new("kind");
    command
        .args(["load", "image-archive", "--name", &foreign::kind_name(name)])
        .arg(file.path());
    let output = command.output().await.context("can't run kind")?;
    if !output.status.success() {
        bail!(
            "kind load image-archive: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

/// The image that `recipe` makes for `reference`, to be known as `name`.
async fn archive_file(recipe: &str, reference: &str, name: &str) -> Result<tempfile::NamedTempFile> {
    let recipe = Recipe::read(&paths::repo_root().join("e2e/images"), recipe)?;
    let (reference, name) = (reference::normalise(reference)?, reference::normalise(name)?);
    let layer = recipe.layer(Path::new(host::BUSYBOX), &recipe.gather().await?)?;
    let file = tempfile::Builder::new()
        .prefix("gamekeeper-image-")
        .suffix(".tar")
        .tempfile()?;
    let identity = archive::Identity {
        reference: &reference,
        name: &name,
        architecture: archive::architecture(std::env::consts::ARCH),
    };
    let layer = layer::Layer::plain(layer);
    archive::write(file.as_file(), identity, &layer, &recipe.image_config())?;
    Ok(file)
}

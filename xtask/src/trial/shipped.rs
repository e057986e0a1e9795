//! What trials of the image and the chart share: the real Helm, the image's archive, and a cluster with a real node.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use super::write_json;
use crate::chart::Helm;
use crate::cluster::images::archive;
use crate::cluster::{self, Cluster, Nodes};
use crate::image;

/// The image, as the chart names it.
pub(super) const REPOSITORY: &str = "gamekeeper.local/gamekeeper";
/// Its tag.
pub(super) const TAG: &str = "trial";
/// Name under which Pods know the API server: one that its certificate has.
pub(super) const API_SERVER: &str = "kubernetes.default.svc";

/// Flags of these trials.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Take this archive, which `cargo xtask image --reference gamekeeper.local/gamekeeper:trial` wrote, instead of building one.
    #[arg(long, value_name = "FILE.tar")]
    image: Option<PathBuf>,
    /// Write the result as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Leave the cluster running afterwards.
    #[arg(long)]
    keep: bool,
}

/// Runs `story` in the cluster `name`, with Helm, the archive and a folder for its files, and writes what comes of it.
///
/// # Errors
/// When it can't run here, or the story's own.
pub(super) async fn run<T: Serialize>(
    name: &str,
    options: &Options,
    story: impl AsyncFnOnce(&Cluster, &Helm, &Path, &Path) -> Result<T>,
) -> Result<T> {
    if let Some(reason) = cluster::kubelet_unavailable() {
        bail!("{reason}");
    }
    let helm = Helm::build().await?;
    let folder = tempfile::tempdir()?;
    let archive = archive(options.image.as_deref(), folder.path()).await?;
    let nodes = Nodes {
        kwok: 0,
        kubelet: true,
    };
    let running = cluster::up(&cluster::Spec::new(name, nodes)).await?;
    let outcome = Box::pin(story(&running, &helm, &archive, folder.path())).await;
    if !options.keep {
        cluster::down(name).await?;
    }
    let outcome = outcome?;
    write_json(options.json.as_deref(), &outcome)?;
    Ok(outcome)
}

/// The image's archive: `ready`, or built into `folder`.
///
/// # Errors
/// When it can't be built, or is known by another name than the chart is told.
async fn archive(ready: Option<&Path>, folder: &Path) -> Result<PathBuf> {
    let wanted = format!("{REPOSITORY}:{TAG}");
    if let Some(image) = ready {
        let shown = image.display();
        let file = File::open(image).with_context(|| format!("can't open {shown}"))?;
        let name = archive::name(BufReader::new(file)).with_context(|| format!("can't read {shown}"))?;
        ensure!(
            name == wanted,
            "{shown} is {name}: write it with `cargo xtask image --reference {wanted}`"
        );
        return Ok(image.to_owned());
    }
    let archive = folder.join("image.tar");
    image::build(&wanted, &archive).await?;
    Ok(archive)
}

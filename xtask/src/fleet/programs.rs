//! The programs that a [`Fleet`](super::Fleet) runs.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::options::{FleetOptions, Profile};
use super::process::Controller;
use crate::image;

/// What is started.
pub(super) enum Programs {
    /// A program for each controller, in this folder.
    Each(PathBuf),
    /// One that is told which controller it is.
    One(PathBuf),
}

impl Programs {
    /// Builds what `options` ask for, where it isn't given.
    ///
    /// # Errors
    /// When cargo fails.
    pub(super) async fn build(root: &Path, options: &FleetOptions) -> Result<Self> {
        Ok(match options.profile {
            Profile::Image => Self::One(image::program(image::PACKAGE).await?),
            profile => Self::Each(build_controllers(root, profile).await?),
        })
    }

    /// The file, and the first argument where it needs one.
    pub(super) fn of(&self, controller: Controller) -> (PathBuf, Option<&'static str>) {
        match self {
            Self::Each(folder) => (folder.join(controller.binary()), None),
            Self::One(program) => (program.clone(), Some(controller.binary())),
        }
    }
}

/// Builds the controllers and gives the folder of their binaries. Cargo's own progress goes to stderr.
///
/// # Errors
/// When cargo fails.
pub async fn build_controllers(root: &Path, profile: Profile) -> Result<PathBuf> {
    let mut command = crate::cargo::command(root);
    // The whole workspace: one package alone would build its dependencies again with fewer features.
    command.args(["build", "--workspace", "--bins", "--message-format", "short"]);
    if profile != Profile::Dev {
        command.arg("--release");
    }
    if !command.status().await.context("can't run cargo")?.success() {
        bail!("cargo build of the controllers failed");
    }
    Ok(programs_dir(root, profile))
}

/// Builds the program of another package of the workspace as the controllers are built, and gives its file.
///
/// # Errors
/// When cargo fails.
pub async fn build_beside(root: &Path, profile: Profile, package: &str) -> Result<PathBuf> {
    match profile {
        Profile::Image => image::program(package).await,
        // Every program of the workspace is built with them.
        profile => Ok(build_controllers(root, profile).await?.join(package)),
    }
}

/// Where [`build_controllers`] leaves the programs.
fn programs_dir(root: &Path, profile: Profile) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    target.join(if profile == Profile::Dev {
        "debug"
    } else {
        "release"
    })
}

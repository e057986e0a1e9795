//! Our controllers as processes, for one namespace.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use e2e::World;
use test_bed::Process;

use crate::tools::kubeconfig;

/// Starts `program` for the world's namespace and waits until it is ready.
pub(crate) async fn start(world: &World, program: &str) -> Result<Process> {
    let alone = if program == "pod-sync" {
        "--shards=0"
    } else {
        "--leader-elect=false"
    };
    let file = directory()?.join(program);
    let file = file.to_str().context("not UTF-8")?;
    let kubeconfig = kubeconfig()?;
    Ok(Process::start(file, Path::new(&kubeconfig), &world.namespace, &[alone]).await)
}

/// The folder this test was built into has the programs of the same build.
fn directory() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let profile = test
        .parent()
        .and_then(|deps| deps.parent())
        .context("not in a target folder")?;
    Ok(profile.to_path_buf())
}

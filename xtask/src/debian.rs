//! Programs of Debian packages, unpacked into the cache: nothing is installed, and none is needed but for what it is asked for.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::cluster::paths::cache_dir;

/// The program at `path` in Debian's `package`, downloaded the first time.
///
/// # Errors
/// Where there is no apt-get or no package of this name can be had.
pub(crate) async fn program(package: &str, path: &str) -> Result<PathBuf> {
    let home = cache_dir()?.join("tools/debian").join(package);
    let program = home.join(path);
    if program.exists() {
        return Ok(program);
    }
    let parent = home.parent().context("the cache has no folder")?;
    std::fs::create_dir_all(parent)?;
    let fresh = tempfile::Builder::new().prefix(".new-").tempdir_in(parent)?;
    eprintln!("downloading Debian's {package} once, into {}", home.display());
    if download(package, fresh.path()).await.is_err() {
        // A fresh machine has no package lists yet.
        run(Command::new("apt-get").arg("update")).await?;
        download(package, fresh.path()).await?;
    }
    let archive = std::fs::read_dir(fresh.path())?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"));
    let archive = archive.with_context(|| format!("apt-get left no package of {package}"))?;
    let unpacked = fresh.path().join("unpacked");
    run(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&unpacked)).await?;
    std::fs::rename(&unpacked, &home)?;
    if !program.exists() {
        bail!("Debian's {package} has no {path}");
    }
    Ok(program)
}

async fn download(package: &str, into: &Path) -> Result<()> {
    run(Command::new("apt-get")
        .args(["download", package])
        .current_dir(into))
    .await
}

async fn run(command: &mut Command) -> Result<()> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .await
        .with_context(|| format!("can't run {name}"))?;
    if !output.status.success() {
        bail!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

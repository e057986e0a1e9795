//! Building the program of the image.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::process::Command;

use super::{elf, sbom};

/// The package and its program.
const PACKAGE: &str = "gamekeeper";

/// A built program and what it consists of.
#[derive(Debug)]
pub(super) struct Built {
    /// Its bytes.
    pub(super) program: Vec<u8>,
    /// Where cargo left it.
    pub(super) path: PathBuf,
    /// What it was built for.
    pub(super) target: String,
    /// What it consists of.
    pub(super) sbom: Value,
}

/// Builds the static program for `target`, or for this machine.
///
/// # Errors
/// When the build fails, or what it makes isn't static.
pub(super) async fn program(root: &Path, target: Option<&str>) -> Result<Built> {
    let version = output(Command::new("rustc").arg("-vV")).await?;
    let target = match target {
        Some(target) => target.to_owned(),
        None => line(&version, "host: ")?,
    };
    // With --target, so that the flags are those of the program and not of build scripts and macros, which can't be static.
    let mut command = crate::cargo::command(root);
    command
        .args([
            "build",
            "--locked",
            "--profile",
            "image",
            "--package",
            PACKAGE,
            "--target",
            &target,
        ])
        .env("RUSTFLAGS", rust_flags(root))
        .env("CARGO_INCREMENTAL", "0");
    ensure!(
        command.status().await.context("can't run cargo")?.success(),
        "cargo build failed"
    );
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let path = folder.join(&target).join("image").join(PACKAGE);
    let program = std::fs::read(&path).with_context(|| format!("can't read {}", path.display()))?;
    if let Some(loader) = elf::loader(&program).with_context(|| path.display().to_string())? {
        bail!("{} isn't static: it asks for {loader}", path.display());
    }
    let sbom = bill(root, &target, &line(&version, "release: ")?).await?;
    Ok(Built {
        program,
        path,
        target,
        sbom,
    })
}

/// Static, and without the places of this machine: the same sources give the same program wherever they are.
fn rust_flags(root: &Path) -> String {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    let cargo = home.map(|home| format!(" --remap-path-prefix={}=/cargo", home.display()));
    format!(
        "-Ctarget-feature=+crt-static --remap-path-prefix={}=/gamekeeper{}",
        root.display(),
        cargo.unwrap_or_default()
    )
}

async fn bill(root: &Path, target: &str, rust: &str) -> Result<Value> {
    let mut command = crate::cargo::command(root);
    command.args([
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--filter-platform",
        target,
    ]);
    let metadata = serde_json::from_str(&output(&mut command).await?)?;
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).context("can't read Cargo.lock")?;
    let mut linked = vec![("rust-std", rust.to_owned())];
    if target.ends_with("-gnu") {
        // "glibc 2.36"
        let said = output(Command::new("getconf").arg("GNU_LIBC_VERSION")).await?;
        linked.push(("glibc", said.trim().trim_start_matches("glibc ").to_owned()));
    }
    sbom::of(&metadata, &lock, PACKAGE, &linked)
}

fn line(text: &str, start: &str) -> Result<String> {
    let found = text.lines().find_map(|line| line.strip_prefix(start));
    Ok(found
        .with_context(|| format!("rustc -vV says no {start:?}"))?
        .to_owned())
}

async fn output(command: &mut Command) -> Result<String> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .await
        .with_context(|| format!("can't run {program}"))?;
    if !output.status.success() {
        bail!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

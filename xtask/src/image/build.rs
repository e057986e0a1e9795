//! Building the program of the image.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::process::Command;

use super::{elf, sbom};

/// The image's package and its program.
pub(crate) const PACKAGE: &str = "gamekeeper";

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

/// Where a build is done. None of it is in what is built.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The checkout.
    pub(super) root: PathBuf,
    /// What cargo makes.
    pub(super) target: PathBuf,
    /// What cargo downloads.
    pub(super) cargo_home: Option<PathBuf>,
}

impl Place {
    /// The checkout at `root`, with cargo's folders as they are set.
    pub(super) fn of(root: &Path) -> Self {
        let set = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let home = || set("HOME").map(|home| home.join(".cargo"));
        Self {
            root: root.to_owned(),
            target: set("CARGO_TARGET_DIR").unwrap_or_else(|| root.join("target")),
            cargo_home: set("CARGO_HOME").or_else(home),
        }
    }

    /// Static, and without the places of this machine: the same sources give the same program wherever they are.
    fn rust_flags(&self) -> String {
        let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
        let mut flags = vec![
            "-Ctarget-feature=+crt-static".to_owned(),
            remap(&self.root, "/gamekeeper"),
        ];
        flags.extend(self.cargo_home.iter().map(|home| remap(home, "/cargo")));
        // The last that fits counts, and cargo's folder may be in the checkout.
        flags.push(remap(&self.target, "/target"));
        // Unlike in RUSTFLAGS, a flag may have spaces.
        flags.join("\u{1f}")
    }
}

/// Builds the image's program for `target`, or for this machine.
///
/// # Errors
/// When the build fails, or what it makes isn't static.
pub(super) async fn program(place: &Place, target: Option<&str>) -> Result<Built> {
    let version = output(Command::new("rustc").arg("-vV")).await?;
    let target = match target {
        Some(target) => target.to_owned(),
        None => line(&version, "host: ")?,
    };
    let path = compile(place, PACKAGE, &target).await?;
    let program = std::fs::read(&path).with_context(|| format!("can't read {}", path.display()))?;
    if let Some(loader) = elf::loader(&program).with_context(|| path.display().to_string())? {
        bail!("{} isn't static: it asks for {loader}", path.display());
    }
    let sbom = bill(&place.root, &target, &line(&version, "release: ")?).await?;
    Ok(Built {
        program,
        path,
        target,
        sbom,
    })
}

/// Builds the program of `package` for this machine as that of the image is built, and gives its file.
///
/// # Errors
/// When the build fails.
pub(super) async fn alike(place: &Place, package: &str) -> Result<PathBuf> {
    let version = output(Command::new("rustc").arg("-vV")).await?;
    compile(place, package, &line(&version, "host: ")?).await
}

async fn compile(place: &Place, package: &str, target: &str) -> Result<PathBuf> {
    // With --target, so that the flags are those of the program and not of build scripts and macros, which can't be static.
    let mut command = crate::cargo::command(&place.root);
    command
        .args(["build", "--locked", "--profile", "image"])
        .args(["--package", package, "--target", target])
        .env("CARGO_ENCODED_RUSTFLAGS", place.rust_flags())
        .env("CARGO_INCREMENTAL", "0")
        // The time of its own build is in mimalloc's C. One other string there moves half of the program's strings: the linker
        // places them by hash.
        .env("SOURCE_DATE_EPOCH", "0")
        .env("CARGO_TARGET_DIR", &place.target);
    if let Some(home) = &place.cargo_home {
        command.env("CARGO_HOME", home);
    }
    ensure!(
        command.status().await.context("can't run cargo")?.success(),
        "cargo build failed"
    );
    Ok(place.target.join(target).join("image").join(package))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_the_checkout_is_mapped_as_itself() {
        let place = Place {
            root: "/src/a checkout".into(),
            target: "/src/a checkout/target".into(),
            cargo_home: Some("/home/me/.cargo".into()),
        };
        let flags = place.rust_flags();
        let flags: Vec<&str> = flags.split('\u{1f}').collect();
        assert_eq!(flags[1], "--remap-path-prefix=/src/a checkout=/gamekeeper");
        assert_eq!(
            flags.last(),
            Some(&"--remap-path-prefix=/src/a checkout/target=/target")
        );
    }
}

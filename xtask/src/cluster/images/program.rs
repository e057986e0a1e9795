//! Programs in images: this machine's, and this workspace's, each with the shared libraries it needs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::super::host;
use super::super::paths::repo_root;
use crate::fleet::{Profile, build_controllers};

/// A program of a Debian package.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PackagedProgram {
    /// Absolute path in the image.
    path: String,
    /// Absolute path on this machine.
    from: PathBuf,
    /// Debian package that has it; installed when it is missing.
    package: String,
}

/// A program of this workspace.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct OwnBinary {
    /// Absolute path in the image.
    path: String,
    /// Name of the binary.
    name: String,
}

/// A program that is there to be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    /// Absolute path in the image.
    pub(super) path: String,
    /// Absolute path on this machine.
    pub(super) from: PathBuf,
}

/// Installs what is missing and builds what is ours.
///
/// # Errors
/// When either isn't possible here.
pub(super) async fn gather(packaged: &[PackagedProgram], own: &[OwnBinary]) -> Result<Vec<Program>> {
    let mut programs = Vec::new();
    for program in packaged {
        host::ensure_package(&program.package, &program.from).await?;
        let (path, from) = (program.path.clone(), program.from.clone());
        programs.push(Program { path, from });
    }
    if own.is_empty() {
        return Ok(programs);
    }
    let built = build_controllers(&repo_root(), Profile::Dev).await?;
    programs.extend(own.iter().map(|binary| Program {
        path: binary.path.clone(),
        from: built.join(&binary.name),
    }));
    Ok(programs)
}

/// The shared libraries that a program needs, its loader included, where the loader looks for them.
///
/// # Errors
/// When ldd can't be run or misses one.
pub(super) fn libraries(program: &Path) -> Result<BTreeSet<PathBuf>> {
    let output = Command::new("ldd")
        .arg(program)
        .output()
        .context("can't run ldd")?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        if said.contains("not a dynamic executable") || complaint.contains("not a dynamic executable") {
            return Ok(BTreeSet::new());
        }
        bail!("ldd {}: {}", program.display(), complaint.trim());
    }
    named_by(&said).with_context(|| format!("ldd {}", program.display()))
}

fn named_by(listing: &str) -> Result<BTreeSet<PathBuf>> {
    if let Some(missing) = listing.lines().find(|line| line.contains("not found")) {
        bail!("{}", missing.trim());
    }
    let files = listing.lines().filter_map(|line| {
        let place = line.split_once("=>").map_or(line, |(_, place)| place).trim();
        let file = place.split(" (").next()?;
        file.starts_with('/').then(|| PathBuf::from(file))
    });
    Ok(files.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_what_ldd_says() {
        let listing = "\tlinux-vdso.so.1 (0x00007ffd5)\n\
            \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f1)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f2)\n\tstatically linked\n";
        let files = named_by(listing).unwrap();
        let expected = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(files, expected.map(PathBuf::from).into());
        let message = named_by("\tlibx.so.1 => not found\n").unwrap_err().to_string();
        assert!(message.contains("libx.so.1"), "{message}");
    }
}

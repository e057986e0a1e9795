//! Files that are written by a generator and checked against it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// What a generator would write, by path from the root of the checkout.
#[derive(Debug, Default)]
pub(crate) struct Files {
    contents: BTreeMap<PathBuf, String>,
    folders: Vec<PathBuf>,
}

impl Files {
    /// Adds a file.
    pub(crate) fn add(&mut self, path: impl Into<PathBuf>, content: String) {
        self.contents.insert(path.into(), content);
    }

    /// Says that nothing else belongs into `folder`: what is left of an earlier run there is stale too.
    pub(crate) fn only_in(&mut self, folder: impl Into<PathBuf>) {
        self.folders.push(folder.into());
    }

    /// Writes them below `root`, or with `check` says which is not what would be written.
    ///
    /// # Errors
    /// With `check`, when a file differs, is missing, or is there and should not be; else when one can't be written.
    pub(crate) fn write_or_check(&self, root: &Path, check: bool, command: &str) -> Result<()> {
        for (path, content) in &self.contents {
            let file = root.join(path);
            if !check {
                let folder = file.parent().unwrap_or(root);
                std::fs::create_dir_all(folder)
                    .with_context(|| format!("can't make {}", folder.display()))?;
                std::fs::write(&file, content).with_context(|| format!("can't write {}", file.display()))?;
            } else if !std::fs::read_to_string(&file).is_ok_and(|present| present == *content) {
                bail!(
                    "{} is stale: run `cargo xtask {command}` and commit the result",
                    path.display()
                );
            }
        }
        for path in self.strays(root) {
            if check {
                bail!(
                    "{} is stale: run `cargo xtask {command}` and commit the result",
                    path.display()
                );
            }
            let file = root.join(path);
            std::fs::remove_file(&file).with_context(|| format!("can't remove {}", file.display()))?;
        }
        Ok(())
    }

    fn strays(&self, root: &Path) -> Vec<PathBuf> {
        let mut strays = Vec::new();
        for folder in &self.folders {
            let entries = std::fs::read_dir(root.join(folder))
                .into_iter()
                .flatten()
                .flatten();
            let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
            let paths = files.map(|entry| folder.join(entry.file_name()));
            strays.extend(paths.filter(|path| !self.contents.contains_key(path)));
        }
        strays.sort();
        strays
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        let mut files = Files::default();
        files.add("a/one.yaml", "one\n".into());
        files.only_in("a");
        files
    }

    fn said(root: &Path) -> String {
        let error = files().write_or_check(root, true, "gen-it").unwrap_err();
        format!("{error:#}")
    }

    #[test]
    fn what_was_written_is_current_until_somebody_changes_it() {
        let root = tempfile::tempdir().unwrap();
        assert!(said(root.path()).contains("a/one.yaml is stale: run `cargo xtask gen-it`"));
        files().write_or_check(root.path(), false, "gen-it").unwrap();
        files().write_or_check(root.path(), true, "gen-it").unwrap();
        std::fs::write(root.path().join("a/one.yaml"), "other").unwrap();
        assert!(said(root.path()).contains("a/one.yaml"));
    }

    #[test]
    fn what_is_left_over_is_found_and_removed() {
        let root = tempfile::tempdir().unwrap();
        files().write_or_check(root.path(), false, "gen-it").unwrap();
        let stray = root.path().join("a/two.yaml");
        std::fs::write(&stray, "two").unwrap();
        assert!(said(root.path()).contains("a/two.yaml"));
        files().write_or_check(root.path(), false, "gen-it").unwrap();
        assert!(!stray.exists());
    }
}

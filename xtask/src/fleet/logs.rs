//! Where the controllers of a fleet log. A folder outlives its fleet, because whoever looks for the reason of a failure comes
//! later; the oldest go when a new one is made.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use crate::cluster::paths::cache_dir;

/// Folders of earlier fleets that stay.
const KEPT: usize = 20;
/// One that was written to so recently may belong to a fleet that runs.
const IN_USE: Duration = Duration::from_hours(6);

/// A new folder, in `logs` of the cache.
///
/// # Errors
/// When it can't be made.
pub(super) fn folder() -> Result<PathBuf> {
    let all = cache_dir()?.join("logs");
    std::fs::create_dir_all(&all).with_context(|| format!("can't make {}", all.display()))?;
    prune(&all, SystemTime::now())?;
    Ok(tempfile::Builder::new().prefix("fleet-").tempdir_in(&all)?.keep())
}

fn prune(all: &Path, now: SystemTime) -> Result<()> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(all)?.flatten() {
        // Another process may have removed it by now.
        let Ok(about) = entry.metadata() else { continue };
        if about.is_dir() {
            folders.push((about.modified()?, entry.path()));
        }
    }
    folders.sort_unstable();
    folders.reverse();
    for (modified, folder) in folders.into_iter().skip(KEPT) {
        if now.duration_since(modified).is_ok_and(|age| age > IN_USE) {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_and_those_in_use_stay() {
        let all = tempfile::tempdir().unwrap();
        for number in 0..KEPT + 3 {
            std::fs::create_dir(all.path().join(number.to_string())).unwrap();
        }
        let count = || std::fs::read_dir(all.path()).unwrap().count();
        prune(all.path(), SystemTime::now()).unwrap();
        assert_eq!(count(), KEPT + 3);
        prune(all.path(), SystemTime::now() + 2 * IN_USE).unwrap();
        assert_eq!(count(), KEPT);
    }
}

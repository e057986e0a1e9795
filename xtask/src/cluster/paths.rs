//! Where everything lives: one folder per cluster and one for the binaries, both outside the checkout.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::digest::sha256_hex;

/// Longest cluster name; the bridge, the node and socket paths are derived from it and have limits of their own.
const NAME_MAX: usize = 32;

/// `$GAMEKEEPER_CACHE`, else `$XDG_CACHE_HOME/gamekeeper`, else `~/.cache/gamekeeper`.
///
/// # Errors
/// When none of the three variables is set.
pub fn cache_dir() -> Result<PathBuf> {
    let from = |key: &str| {
        std::env::var_os(key)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    from("GAMEKEEPER_CACHE")
        .or_else(|| from("XDG_CACHE_HOME").map(|dir| dir.join("gamekeeper")))
        .or_else(|| from("HOME").map(|dir| dir.join(".cache/gamekeeper")))
        .context("set GAMEKEEPER_CACHE: neither XDG_CACHE_HOME nor HOME says where the cache is")
}

/// Folder of the cluster `name`, whether it exists or not.
///
/// # Errors
/// When the name can't be a folder, host and interface name at once.
pub fn cluster_dir(name: &str) -> Result<PathBuf> {
    check_name(name)?;
    Ok(cache_dir()?.join("clusters").join(name))
}

/// Folder of binaries built from `e2e/local`.
///
/// # Errors
/// As [`cache_dir`].
pub fn local_bin_dir() -> Result<PathBuf> {
    Ok(cache_dir()?.join("local/bin"))
}

/// Root of the checkout that this tool was built from.
pub fn repo_root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// A memory-backed folder for the cluster whose folder is `dir`; `None` where the system has no `/dev/shm`.
pub fn memory_dir(dir: &Path) -> Option<PathBuf> {
    let shared = Path::new("/dev/shm");
    let writable = rustix::fs::access(shared, rustix::fs::Access::WRITE_OK).is_ok();
    writable.then(|| shared.join(format!("gamekeeper-{}", short_hash(dir))))
}

/// The folder for sockets and the running containers' state of the cluster whose folder is `dir`. Short, because a socket's path may
/// have no more than 107 bytes.
pub fn run_dir(dir: &Path) -> PathBuf {
    Path::new("/run").join(format!("gamekeeper-{}", short_hash(dir)))
}

/// Eight hex digits that differ for clusters of the same name in different caches.
pub fn short_hash(dir: &Path) -> String {
    let mut digest = sha256_hex(dir.as_os_str().as_encoded_bytes());
    digest.truncate(8);
    digest
}

fn check_name(name: &str) -> Result<()> {
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(valid) || name.starts_with('-') {
        bail!("cluster name {name:?}: use 1 to {NAME_MAX} lower-case letters, digits and '-'");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_never_leave_the_clusters_folder() {
        for bad in ["", "..", "a/b", "Dev", "-x", "a b", &"x".repeat(33)] {
            assert!(check_name(bad).is_err(), "{bad:?} was accepted");
        }
        for good in ["dev", "t-1", &"x".repeat(32)] {
            assert!(check_name(good).is_ok(), "{good:?} was refused");
        }
    }

    #[test]
    fn same_name_in_two_caches_differs() {
        assert_ne!(
            short_hash(Path::new("/a/clusters/dev")),
            short_hash(Path::new("/b/clusters/dev"))
        );
    }
}

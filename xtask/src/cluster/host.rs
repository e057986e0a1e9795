//! What a real node needs of the machine: root, Debian packages, and mounts that must be undone.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::mount::{UnmountFlags, unmount};
use tokio::process::Command;

/// Debian package and the file that tells whether it is installed.
const PACKAGES: [(&str, &str); 5] = [
    ("containerd", "/usr/bin/containerd"),
    ("runc", "/usr/sbin/runc"),
    ("containernetworking-plugins", "/usr/lib/cni/bridge"),
    ("busybox-static", "/bin/busybox"),
    ("iproute2", "/sbin/ip"),
];

/// Folder of Debian's CNI plugins.
pub(crate) const CNI_PLUGINS: &str = "/usr/lib/cni";
/// A statically linked busybox, which test images are made of.
pub(crate) const BUSYBOX: &str = "/bin/busybox";

/// Why this machine can't be a real node; `None` when it can.
pub fn kubelet_unavailable() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("a real node needs Linux".into());
    }
    if !rustix::process::geteuid().is_root() {
        return Some("a real node needs root (containers, network interfaces)".into());
    }
    if !missing().is_empty() && !Path::new("/usr/bin/apt-get").exists() {
        return Some(format!(
            "install {} (only Debian's apt-get is known here)",
            missing().join(", ")
        ));
    }
    None
}

fn missing() -> Vec<&'static str> {
    PACKAGES
        .iter()
        .filter(|(_, file)| !Path::new(file).exists())
        .map(|(package, _)| *package)
        .collect()
}

/// Installs the packages that are missing.
///
/// # Errors
/// With one line saying what to install, when that isn't possible here.
pub(crate) async fn ensure_packages() -> Result<()> {
    if let Some(reason) = kubelet_unavailable() {
        bail!("{reason}");
    }
    let missing = missing();
    if !missing.is_empty() {
        install(&missing).await?;
    }
    check_static(Path::new(BUSYBOX))
}

/// Installs Debian's `package` unless the `file` it has is there.
///
/// # Errors
/// When that isn't possible here.
pub(crate) async fn ensure_package(package: &str, file: &Path) -> Result<()> {
    if file.exists() {
        return Ok(());
    }
    install(&[package]).await
}

async fn install(missing: &[&str]) -> Result<()> {
    eprintln!("installing {}", missing.join(" "));
    let mut output = apt_get(missing).await?;
    if !output.status.success() {
        // A fresh machine has no package lists yet.
        Command::new("apt-get")
            .arg("update")
            .output()
            .await
            .context("can't run apt-get")?;
        output = apt_get(missing).await?;
    }
    if !output.status.success() {
        bail!(
            "apt-get can't install {}: {}",
            missing.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

async fn apt_get(packages: &[&str]) -> Result<std::process::Output> {
    Command::new("apt-get")
        .args(["install", "--yes", "--no-install-recommends"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output()
        .await
        .context("can't run apt-get")
}

/// A dynamically linked busybox would start in no image made from it.
fn check_static(busybox: &Path) -> Result<()> {
    let content = std::fs::read(busybox).with_context(|| format!("can't read {}", busybox.display()))?;
    let dynamic = [&b"/ld-linux"[..], b"/ld-musl"]
        .iter()
        .any(|loader| content.windows(loader.len()).any(|window| window == *loader));
    if dynamic {
        bail!(
            "{} is dynamically linked: install the package busybox-static",
            busybox.display()
        );
    }
    Ok(())
}

/// Unmounts everything below the given folders, innermost first.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn unmount_below(folders: &[&Path]) -> Result<()> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for point in mount_points(&table, folders) {
        // Detached: a process that is just ending may still hold a file open.
        unmount(&point, UnmountFlags::DETACH)
            .with_context(|| format!("can't unmount {}", point.display()))?;
    }
    Ok(())
}

/// Removes the cgroups of the containers called `ids`. They must be empty of processes.
///
/// # Errors
/// When one is still in use after 5 s.
pub(crate) async fn remove_cgroups(ids: &[String]) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(5);
    for parent in container_cgroups() {
        for id in ids {
            let cgroup = parent.join(id);
            // The kernel takes a moment to see that the last process is gone.
            while let Err(error) = remove_cgroup(&cgroup) {
                if Instant::now() > end {
                    return Err(error).with_context(|| format!("can't remove cgroup {}", cgroup.display()));
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        // Only if no other containerd's containers are left in it.
        let _ = std::fs::remove_dir(&parent);
    }
    Ok(())
}

/// containerd's folder `k8s.io`: one with cgroup v2, one in each controller's hierarchy with v1.
fn container_cgroups() -> Vec<PathBuf> {
    let root = PathBuf::from("/sys/fs/cgroup");
    let hierarchies = std::fs::read_dir(&root)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    hierarchies
        .chain([root])
        .map(|path| path.join("k8s.io"))
        .filter(|path| path.is_dir())
        .collect()
}

/// Only folders can and need be removed; the files in them are the kernel's.
fn remove_cgroup(cgroup: &Path) -> std::io::Result<()> {
    if !cgroup.exists() {
        return Ok(());
    }
    for entry in std::fs::read_dir(cgroup)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&entry.path())?;
        }
    }
    std::fs::remove_dir(cgroup)
}

/// Removes kubelet's links to the logs of the cluster whose folder is `dir`.
///
/// # Errors
/// When the folder of links can't be written.
pub(crate) fn remove_log_links(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir("/var/log/containers")
        .into_iter()
        .flatten()
        .flatten()
    {
        if std::fs::read_link(entry.path()).is_ok_and(|target| target.starts_with(dir)) {
            std::fs::remove_file(entry.path())
                .with_context(|| format!("can't remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}

fn mount_points(table: &str, folders: &[&Path]) -> Vec<PathBuf> {
    let points = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|path| PathBuf::from(unescape(path)));
    let mut below: Vec<PathBuf> = points
        .filter(|point| folders.iter().any(|dir| point.starts_with(dir)))
        .collect();
    // The table is in mount order, so a later entry may cover an earlier one but never the reverse.
    below.reverse();
    below
}

/// proc(5) writes blank, tab, newline and backslash in octal.
fn unescape(path: &str) -> String {
    path.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mounts_below_the_folder_are_undone_and_inner_ones_first() {
        let table = "22 1 8:1 / / rw - ext4 a rw\n\
            30 22 0:9 / /c/dev rw shared:1 - tmpfs t rw\n\
            31 30 0:9 / /c/dev/a\\040b rw - tmpfs t rw\n\
            32 22 0:9 / /c/dev2 rw - tmpfs t rw\n";
        let points = mount_points(table, &[Path::new("/c/dev")]);
        assert_eq!(points, [PathBuf::from("/c/dev/a b"), PathBuf::from("/c/dev")]);
    }
}

//! The bridge of a real node, and the node's name in /etc/hosts.

use std::path::Path;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use super::paths::short_hash;
use super::state::Network;

const HOSTS: &str = "/etc/hosts";
/// Where CNI keeps results; the folder can't be configured through containerd.
const CNI_RESULTS: &str = "/var/lib/cni/results";

/// Chooses a bridge and a subnet that nothing on this machine uses.
///
/// # Errors
/// When all 256 subnets are in use, or ip(8) can't be run.
pub(crate) async fn choose(dir: &Path) -> Result<Network> {
    let used = format!(
        "{}{}",
        ip(&["-4", "-o", "addr"]).await?,
        ip(&["-4", "route"]).await?
    );
    let hash = short_hash(dir);
    let start = u8::from_str_radix(&hash[..2], 16)?;
    let octet = free_octet(&used, start).context("all of 10.213.0.0/16 is in use on this machine")?;
    // An interface name has at most 15 characters.
    Ok(Network {
        bridge: format!("gk-{hash}"),
        octet,
    })
}

fn free_octet(used: &str, start: u8) -> Option<u8> {
    (0..=u8::MAX)
        .map(|step| start.wrapping_add(step))
        .find(|octet| !used.contains(&format!(" 10.213.{octet}.")))
}

/// Makes the bridge unless it is there.
///
/// # Errors
/// When the kernel refuses.
pub(crate) async fn ensure(network: &Network) -> Result<()> {
    let name = network.bridge.as_str();
    if !Path::new("/sys/class/net").join(name).exists() {
        ip(&["link", "add", name, "type", "bridge"]).await?;
    }
    ip(&[
        "addr",
        "replace",
        &format!("{}/24", network.gateway()),
        "dev",
        name,
    ])
    .await?;
    ip(&["link", "set", name, "up"]).await?;
    Ok(())
}

/// Removes the bridge.
///
/// # Errors
/// When the kernel refuses.
pub(crate) async fn remove(network: &Network) -> Result<()> {
    if Path::new("/sys/class/net").join(&network.bridge).exists() {
        ip(&["link", "delete", &network.bridge]).await?;
    }
    let cached = std::fs::read_dir(CNI_RESULTS).into_iter().flatten().flatten();
    let names: Vec<String> = cached
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    for name in results_of(&names, &network.bridge) {
        // Gone already is as good as removed.
        let _ = std::fs::remove_file(Path::new(CNI_RESULTS).join(name));
    }
    Ok(())
}

/// The results that the plugins keep of the sandboxes on `bridge`, of the loopback network as well.
fn results_of<'a>(names: &'a [String], bridge: &str) -> Vec<&'a str> {
    let sandbox = |name: &'a str| {
        name.strip_prefix(bridge)?
            .strip_prefix('-')?
            .strip_suffix("-eth0")
    };
    let sandboxes: Vec<&str> = names.iter().filter_map(|name| sandbox(name)).collect();
    let is_ours = |name: &&str| sandboxes.iter().any(|sandbox| name.contains(sandbox));
    names.iter().map(String::as_str).filter(is_ours).collect()
}

async fn ip(args: &[&str]) -> Result<String> {
    let output = Command::new("ip")
        .args(args)
        .output()
        .await
        .context("can't run ip (package iproute2)")?;
    if !output.status.success() {
        bail!(
            "ip {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Makes the API server find the node by its name.
///
/// # Errors
/// When /etc/hosts can't be written.
pub(crate) fn add_host(node: &str, network: &Network, dir: &Path) -> Result<()> {
    edit_hosts(|text| with_host(text, Some((node, &network.gateway())), dir))
}

/// Takes this cluster's entry out of /etc/hosts again.
///
/// # Errors
/// When /etc/hosts can't be written.
pub(crate) fn remove_host(dir: &Path) -> Result<()> {
    edit_hosts(|text| with_host(text, None, dir))
}

/// In place, not by rename: in a container /etc/hosts is often a mount of its own.
fn edit_hosts(edit: impl FnOnce(&str) -> String) -> Result<()> {
    let text = std::fs::read_to_string(HOSTS).unwrap_or_default();
    let edited = edit(&text);
    if edited != text {
        std::fs::write(HOSTS, edited).with_context(|| format!("can't write {HOSTS}"))?;
    }
    Ok(())
}

fn with_host(text: &str, entry: Option<(&str, &str)>, dir: &Path) -> String {
    let mark = format!("# gamekeeper cluster {}", dir.display());
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| !line.ends_with(&mark))
        .map(str::to_owned)
        .collect();
    if let Some((name, address)) = entry {
        lines.push(format!("{address} {name} {mark}"));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_in_use_is_passed_over() {
        let used = "2: gk-1 inet 10.213.7.1/24 scope global\n9: x inet 10.213.8.1/24\n";
        assert_eq!(free_octet(used, 7), Some(9));
        assert_eq!(free_octet(used, 255), Some(255));
        let all: Vec<String> = (0..=255).map(|octet| format!(" 10.213.{octet}.1/24")).collect();
        assert_eq!(free_octet(&all.concat(), 7), None);
    }

    #[test]
    fn results_of_other_bridges_stay() {
        let names = [
            "gk-1-aa-eth0",
            "cni-loopback-aa-lo",
            "gk-2-bb-eth0",
            "cni-loopback-bb-lo",
            "x",
        ];
        let names = names.map(str::to_owned);
        assert_eq!(results_of(&names, "gk-1"), ["gk-1-aa-eth0", "cni-loopback-aa-lo"]);
        assert!(results_of(&names, "gk-").is_empty());
    }

    #[test]
    fn only_the_clusters_own_line_is_touched() {
        let before = "127.0.0.1 localhost\n10.213.1.1 gk-other # gamekeeper cluster /c/other\n";
        let dir = Path::new("/c/dev");
        let added = with_host(before, Some(("gk-dev", "10.213.2.1")), dir);
        assert!(
            added.starts_with(before) && added.contains("10.213.2.1 gk-dev # gamekeeper cluster /c/dev\n")
        );
        let moved = with_host(&added, Some(("gk-dev", "10.213.3.1")), dir);
        assert!(!moved.contains("10.213.2.1"));
        assert_eq!(with_host(&moved, None, dir), before);
    }
}

//! A containerd of the cluster's own, beside any that the machine runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use super::host::CNI_PLUGINS;
use super::images;
use super::local::Local;
use super::state::Network;

/// Name under which containerd finds the image of Pod sandboxes.
const PAUSE: &str = "gamekeeper.local/pause:1";
const START_LIMIT: Duration = Duration::from_secs(30);

/// Starts containerd and gives it the pause image.
///
/// # Errors
/// When it doesn't start.
pub(crate) async fn ensure_running(local: &mut Local, network: &Network) -> Result<()> {
    let run = local.run_dir();
    let networks = local.dir.join("cni");
    std::fs::create_dir_all(&networks)?;
    std::fs::create_dir_all(&run).with_context(|| format!("can't make {}", run.display()))?;
    let addresses = local.dir.join("cni-addresses");
    std::fs::write(
        networks.join("10-gamekeeper.conflist"),
        network_config(network, &addresses),
    )?;
    let config = local.dir.join("containerd.toml");
    std::fs::write(&config, configuration(&local.dir, &run))?;
    let args = vec![
        format!("--config={}", config.display()),
        "--log-level=warn".into(),
    ];
    let launch = local.launch("containerd", "/usr/bin/containerd".into(), args);
    local.ensure_started(launch).await?;
    let socket = socket(&run);
    local
        .wait("containerd answers", &["containerd"], START_LIMIT, || {
            answers(&socket)
        })
        .await?;
    images::import_into(&socket, "pause", PAUSE).await
}

/// The socket that kubelet and ctr use.
pub(crate) fn socket(run: &Path) -> PathBuf {
    run.join("containerd.sock")
}

/// ctr on the images and containers of Kubernetes.
pub(crate) fn ctr(socket: &Path) -> Command {
    let mut command = Command::new("ctr");
    command
        .arg("--address")
        .arg(socket)
        .args(["--namespace", "k8s.io"]);
    command
}

async fn answers(socket: &Path) -> bool {
    ctr(socket)
        .arg("version")
        .output()
        .await
        .is_ok_and(|output| output.status.success())
}

/// Imports the image archive at `archive`.
///
/// # Errors
/// With ctr's message.
pub(crate) async fn import(socket: &Path, archive: &Path) -> Result<()> {
    let mut command = ctr(socket);
    command
        .args(["images", "import", "--snapshotter", "native"])
        .arg(archive);
    let output = command
        .output()
        .await
        .context("can't run ctr (package containerd)")?;
    if !output.status.success() {
        bail!(
            "ctr images import: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

/// Every container and Pod sandbox that the cluster's containerd knows, running or not.
pub(crate) fn container_ids(dir: &Path) -> Vec<String> {
    let plugin = dir.join("containerd/io.containerd.grpc.v1.cri");
    let folders = ["sandboxes", "containers"].map(|folder| std::fs::read_dir(plugin.join(folder)));
    let entries = folders.into_iter().flatten().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// `native` snapshots are plain copies: overlayfs doesn't work where the root is an overlay itself, as in most CI.
fn configuration(dir: &Path, run: &Path) -> String {
    format!(
        r#"version = 2
root = "{root}"
state = "{state}"

[grpc]
address = "{socket}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
# Raising a process's OOM score needs a capability that containers lack.
restrict_oom_score_adj = true
# So that taking the cluster down finds them.
netns_mounts_under_state_dir = true

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{CNI_PLUGINS}"
conf_dir = "{networks}"

[plugins."io.containerd.internal.v1.opt"]
path = "{opt}"
"#,
        root = dir.join("containerd").display(),
        state = run.join("containerd").display(),
        socket = socket(run).display(),
        networks = dir.join("cni").display(),
        opt = dir.join("containerd-opt").display(),
    )
}

/// The bridge has its address already, so the plugin needn't be the gateway; else it would switch IP forwarding on.
fn network_config(network: &Network, addresses: &Path) -> String {
    serde_json::json!({
        "cniVersion": "0.4.0",
        "name": network.bridge,
        "plugins": [{
            "type": "bridge",
            "bridge": network.bridge,
            "isGateway": false,
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "dataDir": addresses,
                "ranges": [[{"subnet": network.subnet(), "gateway": network.gateway()}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
    .to_string()
}

//! A real node: this machine, with a kubelet, a containerd and a network bridge of the cluster's own.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::binaries::{Binary, ensure};
use super::certs::{Pair, Pki, Use};
use super::local::{Local, is_serving};
use super::process::{marked, with_descendants};
use super::state::Network;
use super::{containerd, control_plane, host, kubeconfig, kwok, network};

const READY_LIMIT: Duration = Duration::from_secs(90);
/// Parent of a Pod's processes, as the kernel has its name: 15 bytes.
const SHIM: &str = "containerd-shim";

/// Starts the node's parts and waits until it is Ready.
///
/// # Errors
/// When this machine can't be a node, or a part doesn't start.
pub(crate) async fn ensure_running(local: &mut Local, client: &Client) -> Result<()> {
    host::ensure_packages().await?;
    let [program] = ensure([Binary::Kubelet]).await?;
    let network = ensure_network(local).await?;
    let node = local.node_name();
    containerd::ensure_running(local, &network).await?;

    let pki = Pki::open(&local.dir.join("pki"))?;
    let user = format!("system:node:{node}");
    let pair = pki.pair(
        "kubelet",
        Use::Client {
            user: &user,
            group: Some("system:nodes"),
        },
    )?;
    let path = local.dir.join("kubelet.kubeconfig");
    kubeconfig::write(
        &path,
        &local.context(),
        &control_plane::server(local)?,
        &pki.ca(),
        &pair,
    )?;
    let serving = pki.pair("kubelet-serving", Use::Server(&[node.clone(), network.gateway()]))?;
    let config = local.dir.join("kubelet.yaml");
    let settings = configuration(local, &network.gateway(), &pki.ca(), &serving)?;
    std::fs::write(&config, serde_yaml::to_string(&settings)?)?;
    let args = vec![
        format!("--config={}", config.display()),
        format!("--kubeconfig={}", path.display()),
        format!("--root-dir={}", local.dir.join("kubelet").display()),
        format!("--cert-dir={}", local.dir.join("pki").display()),
        format!("--hostname-override={node}"),
        format!("--node-ip={}", network.gateway()),
        "--node-labels=type=kubelet".into(),
    ];
    let launch = local.launch("kubelet", program, args);
    local.ensure_started(launch).await?;
    let health = local.state.port("kubelet-healthz")?;
    local
        .wait("kubelet serves", &["containerd", "kubelet"], READY_LIMIT, || {
            is_serving(health)
        })
        .await?;
    let nodes: Api<Node> = Api::all(client.clone());
    let is_ready = || async { nodes.get(&node).await.is_ok_and(|node| kwok::is_ready(&node)) };
    local
        .wait(
            "the node is Ready",
            &["containerd", "kubelet"],
            READY_LIMIT,
            is_ready,
        )
        .await
}

async fn ensure_network(local: &mut Local) -> Result<Network> {
    let network = match local.state.network.clone() {
        Some(network) => network,
        None => network::choose(&local.dir).await?,
    };
    // Recorded first, so that whatever happens next it is known what to remove.
    local.state.network = Some(network.clone());
    local.save()?;
    network::ensure(&network).await?;
    network::add_host(&local.node_name(), &network, &local.dir)?;
    Ok(network)
}

fn configuration(local: &mut Local, address: &str, ca: &Path, serving: &Pair) -> Result<Value> {
    let dir = local.dir.clone();
    Ok(json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": address,
        "port": local.state.port("kubelet")?,
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": local.state.port("kubelet-healthz")?,
        "authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": true}, "x509": {"clientCAFile": ca}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": serving.cert,
        "tlsPrivateKeyFile": serving.key,
        "containerRuntimeEndpoint": format!("unix://{}", containerd::socket(&local.run_dir()).display()),
        // Works with cgroup v1 and v2, without systemd, and inside a container.
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": false,
        "enforceNodeAllocatable": [],
        "failCgroupV1": false,
        "failSwapOn": false,
        "oomScoreAdj": 0,
        "makeIPTablesUtilChains": false,
        "resolvConf": "",
        "clusterDNS": [address],
        "clusterDomain": "cluster.local",
        "podLogsDir": dir.join("pod-logs"),
        "volumePluginDir": dir.join("volume-plugins"),
        // Images can't be pulled again, and a full disk of the machine is no business of the tests.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "50Mi",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
            "imagefs.inodesFree": "0%",
        },
        "maxPods": 250,
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        // The default of 5 events/s would hide what a test wants to see.
        "eventRecordQPS": 0,
    }))
}

/// Ends kubelet, container runtime and every container at once and unasked, as a machine does that loses its power.
///
/// # Errors
/// When a process survives.
pub(crate) async fn cut_off(local: &Local) -> Result<()> {
    for name in ["kubelet", "containerd"] {
        if let Some(process) = local.state.process(name) {
            process.stop(Duration::ZERO).await?;
        }
    }
    let shims = marked(&local.dir)
        .into_iter()
        .filter(|found| found.launch.name == SHIM);
    for process in with_descendants(shims.collect()) {
        process.stop(Duration::ZERO).await?;
    }
    Ok(())
}

/// Gives back what only a real node takes: mounts, cgroups, the bridge, links to logs, the entry in /etc/hosts.
///
/// # Errors
/// When the kernel refuses.
pub(crate) async fn clean_up(local: &Local) -> Result<()> {
    let run = local.run_dir();
    host::unmount_below(&[&local.dir, &run])?;
    if let Some(network) = &local.state.network {
        host::remove_cgroups(&containerd::container_ids(&local.dir)).await?;
        host::remove_log_links(&local.dir)?;
        network::remove(network).await?;
        network::remove_host(&local.dir)?;
    }
    super::local::remove_dir(&run)
}

//! Clusters for tests, demos and benchmarks: [`up`], [`down`] and [`status`].
//!
//! | provider | what it is |
//! |---|---|
//! | `kubeconfig` | a cluster you name |
//! | `kind` | Docker and kind |
//! | `local` | etcd and Kubernetes as processes on 127.0.0.1, with simulated nodes (kwok) or a real one (kubelet) |
//!
//! docs/cluster.md says what each touches on the machine.

pub(crate) mod binaries;
mod certs;
pub mod command;
mod containerd;
mod control_plane;
mod digest;
mod foreign;
mod host;
pub mod images;
mod kubeconfig;
mod kubelet;
mod kwok;
mod local;
mod network;
pub mod paths;
mod process;
mod spec;
mod state;
mod status;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

pub use host::kubelet_unavailable;
pub(crate) use process::MARK as PROCESS_MARK;
pub use spec::{Nodes, Provider, Spec};
pub use status::{ComponentStatus, Status, status};

use binaries::Binary;
use local::Local;
use state::State;

/// A cluster that is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Who runs it.
    pub provider: Provider,
    /// Kubeconfig with admin rights.
    pub kubeconfig: PathBuf,
    /// Folder with logs and state.
    pub dir: PathBuf,
    /// Nodes it has.
    pub nodes: Nodes,
    /// kubectl of the cluster's version, else the one in `PATH`.
    pub kubectl: PathBuf,
    /// Folder of the real node's kubelet, which holds the Pods' volumes; `None` without such a node.
    pub kubelet_dir: Option<PathBuf>,
    /// This machine's address on the bridge of the real node, where its Pods reach it.
    pub gateway: Option<String>,
}

impl Cluster {
    fn from_state(name: &str, dir: PathBuf, state: &State) -> Self {
        Self {
            name: name.to_owned(),
            provider: state.provider,
            kubeconfig: state.kubeconfig.clone().unwrap_or_else(|| dir.join("kubeconfig")),
            nodes: state.nodes,
            kubectl: binaries::find(Binary::Kubectl).unwrap_or_else(|| "kubectl".into()),
            kubelet_dir: state.nodes.kubelet.then(|| dir.join("kubelet")),
            gateway: state.network.as_ref().map(state::Network::gateway),
            dir,
        }
    }

    /// A client with admin rights.
    ///
    /// # Errors
    /// When the kubeconfig can't be used.
    pub async fn client(&self) -> Result<kube::Client> {
        kubeconfig::client(&self.kubeconfig).await
    }
}

/// Brings the cluster up, or finds it up. Progress goes to stderr.
///
/// # Errors
/// When a part can't be built or started; the message ends with the log of the part that failed.
pub async fn up(spec: &Spec) -> Result<Cluster> {
    let dir = paths::cluster_dir(&spec.name)?;
    let _lock = state::lock(&dir).await?;
    let existing = State::load(&dir)?;
    let provider = foreign::choose(spec, existing.as_ref().map(|state| state.provider)).await;
    if let Some(existing) = existing.filter(|state| state.provider != provider) {
        bail!(
            "cluster {} is of provider {}: take it down first, or use another --name",
            spec.name,
            existing.provider
        );
    }
    let attempt = match provider {
        Provider::Kubeconfig => foreign::adopt(spec).await,
        Provider::Kind => foreign::kind_up(&spec.name, &dir).await,
        // Large, and part of many others.
        Provider::Local => return Box::pin(up_local(spec, dir)).await,
    };
    if attempt.is_err() && State::load(&dir)?.is_none() {
        // Nothing of a cluster came to be, so nothing is left that would look like one.
        local::remove_dir(&dir)?;
    }
    let state = attempt?;
    if spec.nodes.is_some_and(|nodes| nodes != Nodes::NONE) {
        eprintln!("--nodes is left aside: a cluster of provider {provider} has its own");
    }
    state.save(&dir)?;
    Ok(Cluster::from_state(&spec.name, dir, &state))
}

async fn up_local(spec: &Spec, dir: PathBuf) -> Result<Cluster> {
    let mut local = Local::open(&spec.name, &dir)?;
    if !local.fulfils(spec).await {
        local.up(spec).await?;
    }
    Ok(Cluster::from_state(&spec.name, dir, &local.state))
}

/// The cluster `name`, if it was brought up before (whether it is healthy or not).
///
/// # Errors
/// When there is none.
pub fn find(name: &str) -> Result<Cluster> {
    let dir = paths::cluster_dir(name)?;
    let state = State::load(&dir)?;
    let state =
        state.with_context(|| format!("no cluster {name}: run `cargo xtask cluster up --name {name}`"))?;
    Ok(Cluster::from_state(name, dir, &state))
}

/// Name of the local cluster whose admin kubeconfig this is; `None` where it is another's.
pub fn local_name(kubeconfig: &Path) -> Option<String> {
    let name = kubeconfig.parent()?.file_name()?.to_str()?;
    let dir = paths::cluster_dir(name).ok()?;
    let state = State::load(&dir).ok()??;
    (state.provider == Provider::Local && dir.join("kubeconfig") == kubeconfig).then(|| name.to_owned())
}

/// The real node of a local cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealNode {
    /// Its name.
    pub name: String,
    /// Socket of its container runtime.
    pub socket: PathBuf,
}

/// The real node of the local cluster whose admin kubeconfig this is, if it has one.
pub fn real_node(kubeconfig: &Path) -> Option<RealNode> {
    let name = local_name(kubeconfig)?;
    let local = Local::open(&name, &paths::cluster_dir(&name).ok()?).ok()?;
    local.state.nodes.kubelet.then(|| RealNode {
        name: local.node_name(),
        socket: containerd::socket(&local.run_dir()),
    })
}

/// Stops one process of a local cluster, as `down` would; [`up`] starts it again.
///
/// # Errors
/// When the cluster has no such process, or it doesn't end.
pub async fn stop_component(name: &str, component: &str) -> Result<()> {
    let dir = paths::cluster_dir(name)?;
    let _lock = state::lock(&dir).await?;
    let local = Local::open(name, &dir)?;
    let process = local.state.process(component);
    let process = process.with_context(|| format!("cluster {name} has no {component}"))?;
    process.stop(local::STOP_GRACE).await
}

/// Cuts off the power of a local cluster's real node; [`up`] brings it back.
///
/// # Errors
/// When something of it survives.
pub async fn cut_off_node(name: &str) -> Result<()> {
    let dir = paths::cluster_dir(name)?;
    let _lock = state::lock(&dir).await?;
    kubelet::cut_off(&Local::open(name, &dir)?).await
}

/// Helm, built the first time like the cluster's own programs.
///
/// # Errors
/// When Go is missing or the build fails.
pub(crate) async fn helm() -> Result<PathBuf> {
    let [helm] = binaries::ensure([Binary::Helm]).await?;
    Ok(helm)
}

/// kube-score, built the first time like the cluster's own programs.
///
/// # Errors
/// When Go is missing or the build fails.
pub(crate) async fn kube_score() -> Result<PathBuf> {
    let [program] = binaries::ensure([Binary::KubeScore]).await?;
    Ok(program)
}

/// Takes the cluster down and gives back all it took from the machine. `false` where there was none.
///
/// # Errors
/// When something can't be ended or removed; calling again continues.
pub async fn down(name: &str) -> Result<bool> {
    let dir = paths::cluster_dir(name)?;
    if !dir.exists() {
        return Ok(false);
    }
    let _lock = state::lock(&dir).await?;
    let Some(state) = State::load(&dir)? else {
        local::remove_dir(&dir)?;
        return Ok(false);
    };
    match state.provider {
        // Not ours: only what is written about it here is removed.
        Provider::Kubeconfig => {}
        Provider::Kind => foreign::kind_down(name).await?,
        Provider::Local => Local::open(name, &dir)?.down().await?,
    }
    local::remove_dir(&dir)?;
    Ok(true)
}

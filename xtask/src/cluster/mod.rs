//! Clusters for tests, demos and benchmarks: [`up`], [`down`] and [`status`].
//!
//! | provider | what it is |
//! |---|---|
//! | `kubeconfig` | a cluster you name |
//! | `kind` | Docker and kind |
//! | `local` | etcd and Kubernetes as processes on 127.0.0.1, with simulated nodes (kwok) or a real one (kubelet) |
//!
//! docs/cluster.md says what each touches on the machine.

mod binaries;
mod certs;
pub mod command;
mod control_plane;
mod kubeconfig;
mod local;
pub mod paths;
mod process;
mod spec;
mod state;
mod status;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

pub use spec::{Nodes, Provider, Spec};
pub use status::{ComponentStatus, Status, status};

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
}

impl Cluster {
    /// A client with admin rights.
    ///
    /// # Errors
    /// When the kubeconfig can't be used.
    pub async fn client(&self) -> Result<kube::Client> {
        kubeconfig::client(&self.kubeconfig).await
    }

    /// kubectl for this cluster, with `KUBECONFIG` set.
    pub fn kubectl(&self) -> tokio::process::Command {
        let program = binaries::find(binaries::Binary::Kubectl).unwrap_or_else(|| "kubectl".into());
        let mut command = tokio::process::Command::new(program);
        command.env("KUBECONFIG", &self.kubeconfig);
        command
    }
}

/// Brings the cluster up, or finds it up. Progress goes to stderr.
///
/// # Errors
/// When a part can't be built or started; the message ends with the log of the part that failed.
pub async fn up(spec: &Spec) -> Result<Cluster> {
    let dir = paths::cluster_dir(&spec.name)?;
    let _lock = state::lock(&dir).await?;
    let mut local = Local::open(&spec.name, &dir)?;
    if !local.fulfils(spec).await {
        local.up(spec).await?;
    }
    Ok(Cluster {
        name: spec.name.clone(),
        provider: Provider::Local,
        kubeconfig: local.kubeconfig(),
        dir,
        nodes: local.state.nodes,
    })
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
    let kubeconfig = state.kubeconfig.clone().unwrap_or_else(|| dir.join("kubeconfig"));
    Ok(Cluster {
        name: name.to_owned(),
        provider: state.provider,
        kubeconfig,
        dir,
        nodes: state.nodes,
    })
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
    if state.provider != Provider::Local {
        bail!("cluster {name} is of provider {}", state.provider);
    }
    Local::open(name, &dir)?.down().await?;
    local::remove_dir(&dir)?;
    Ok(true)
}

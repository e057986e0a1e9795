//! What every trial and benchmark starts with: a cluster, the controllers, and an end that leaves nothing behind.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use e2e::faults::Door;
use kube::Client;
use serde::Serialize;

use crate::cluster::{self, Nodes};
use crate::fleet::{Controller, Fleet, FleetOptions, Profile, client_for};

/// Flags that every trial and benchmark has.
#[derive(Debug, Clone, clap::Args)]
pub struct SessionOptions {
    /// Use this cluster instead of starting one; it needs simulated nodes (kwok) or room for the Pods.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Write the result as JSON to this file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Build of the controllers.
    #[arg(long, value_enum, default_value = "image")]
    pub profile: Profile,
    /// Simulated nodes of the cluster that is started.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub nodes: u32,
    /// Leave the cluster running afterwards.
    #[arg(long)]
    pub keep: bool,
}

/// Which cluster a session takes.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Place {
    /// Use this cluster instead of starting one.
    #[arg(long, value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// Leave the cluster running afterwards.
    #[arg(long)]
    pub(super) keep: bool,
}

/// What every trial on a real node takes.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct OnNode {
    #[command(flatten)]
    pub(super) place: Place,
    /// Write the result as JSON to this file.
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Build of the controllers.
    #[arg(long, value_enum, default_value = "image")]
    pub(super) profile: Profile,
}

/// A cluster with the controllers running in it.
pub struct Session {
    /// The controllers.
    pub fleet: Fleet,
    /// Admin client.
    pub client: Client,
    /// Admin kubeconfig of the cluster.
    pub kubeconfig: PathBuf,
    /// Started by this session, and so stopped by it.
    own_cluster: Option<String>,
}

impl Session {
    /// Starts a cluster (unless one is named) and the controllers.
    ///
    /// # Errors
    /// When either can't be started; a cluster that this call started is stopped again.
    pub async fn start(name: &str, options: &SessionOptions, fleet: &FleetOptions) -> Result<Self> {
        let nodes = Nodes {
            kwok: options.nodes,
            kubelet: false,
        };
        let place = Place {
            kubeconfig: options.kubeconfig.clone(),
            keep: options.keep,
        };
        Self::start_on(name, nodes, &place, fleet).await
    }

    /// The same with the nodes that are named, for what simulated ones can't show.
    ///
    /// # Errors
    /// As [`Session::start`].
    pub(super) async fn start_on(
        name: &str,
        nodes: Nodes,
        place: &Place,
        fleet: &FleetOptions,
    ) -> Result<Self> {
        let root = crate::cluster::paths::repo_root();
        let mut fleet = fleet.clone();
        let (kubeconfig, own_cluster) = if let Some(path) = &place.kubeconfig {
            (path.clone(), None)
        } else {
            let running = cluster::up(&cluster::Spec::new(name, nodes)).await?;
            fleet.cluster_dir = Some(running.dir);
            (running.kubeconfig, (!place.keep).then(|| name.to_owned()))
        };
        let started = async {
            let client = client_for(&kubeconfig).await?;
            let fleet = Fleet::start(&root, &kubeconfig, &fleet).await?;
            anyhow::Ok((client, fleet))
        };
        match started.await {
            Ok((client, fleet)) => Ok(Self {
                fleet,
                client,
                kubeconfig,
                own_cluster,
            }),
            Err(error) => {
                if let Some(name) = own_cluster {
                    cluster::down(&name).await?;
                }
                Err(error)
            }
        }
    }

    /// Makes pod-sync begin anew, its way to the API server leading through a door that can be troubled.
    ///
    /// # Errors
    /// When it doesn't become ready.
    pub async fn door_of_pod_sync(&mut self) -> Result<Door> {
        let door = Door::open(&self.kubeconfig).await?;
        let pod_sync = self.fleet.process(Controller::PodSync)?;
        pod_sync.route_through(door.address)?;
        pod_sync.kill_and_restart().await?;
        pod_sync.wait_ready(Duration::from_secs(60)).await?;
        Ok(door)
    }

    /// As [`stop`](Self::stop), after a trial that troubled the controllers: what ended meanwhile, its lease being lost, is started
    /// again first, and is no end to be judged.
    ///
    /// # Errors
    /// When a controller can't be started again or didn't end cleanly.
    pub async fn resume_and_stop(mut self) -> Result<()> {
        self.fleet.resume().await?;
        self.stop().await
    }

    /// Stops the controllers and the cluster.
    ///
    /// # Errors
    /// When a controller didn't end cleanly.
    pub async fn stop(self) -> Result<()> {
        let stopped = self.fleet.stop_cleanly().await;
        if let Some(name) = self.own_cluster {
            cluster::down(&name).await?;
        }
        stopped
    }
}

/// Writes `result` as pretty JSON, when a file is named.
///
/// # Errors
/// When the file can't be written.
pub fn write_json(file: Option<&Path>, result: &impl Serialize) -> Result<()> {
    let Some(file) = file else { return Ok(()) };
    let text = serde_json::to_string_pretty(result)?;
    std::fs::write(file, text + "\n").with_context(|| format!("can't write {}", file.display()))
}

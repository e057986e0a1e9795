//! How the controllers are started.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::process::Controller;
use crate::cluster::RealNode;

/// Which build of the controllers runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// Fast to build.
    Dev,
    /// A program for each controller.
    Release,
    /// What users run: the static program of the image, which is every controller; figures come from it. Whatever else is needed is of
    /// `release`.
    Image,
}

impl Profile {
    /// As `--profile` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Release => "release",
            Self::Image => "image",
        }
    }
}

/// How a [`Fleet`] is started.
#[derive(Debug, Clone)]
pub struct FleetOptions {
    /// Build to run.
    pub profile: Profile,
    /// Number of gss-controller processes; with two, `gss_args` decides whether they elect a leader.
    pub gss_replicas: usize,
    /// Extra flags of gss-controller.
    pub gss_args: Vec<String>,
    /// Number of pod-sync processes; with several, `--shards` in `pod_sync_args` decides whether they share the work.
    pub pod_sync_replicas: usize,
    /// Extra flags of pod-sync.
    pub pod_sync_args: Vec<String>,
    /// Number of network-plugins processes; with two, `network_args` decides whether they elect a leader.
    pub network_replicas: usize,
    /// Extra flags of network-plugins.
    pub network_args: Vec<String>,
    /// How long the watches of controllers whose work is opt-in go on without a reason; `None` for the default.
    pub rest_after: Option<Duration>,
    /// Where external-scaler answers KEDA; it doesn't run without.
    pub scaler_address: Option<SocketAddr>,
    /// Probes run centrally, through the API server, instead of on the real node.
    pub central: bool,
    /// Flags of game-api, if it is to run.
    pub game_api: Option<Vec<String>>,
    /// Extra flags of every controller that elects a leader.
    pub common_args: Vec<String>,
    /// Folder of the cluster whose end is also the controllers' end.
    pub cluster_dir: Option<PathBuf>,
    /// Whether they may go on after this program ends, for [`Fleet::leave_running`]; else nothing that ends it leaves them behind.
    pub outlives: bool,
}

impl FleetOptions {
    /// Leases short enough that a killed controller's successor works within 6 s instead of 15 s.
    #[must_use]
    pub fn with_short_leases(mut self) -> Self {
        let flags = ["--lease-duration=6s", "--renew-deadline=4s", "--retry-period=1s"];
        self.common_args.extend(flags.map(str::to_owned));
        self
    }

    /// How many processes of this controller there are, and their own flags.
    pub(super) fn replicas(&self, controller: Controller, node: Option<&RealNode>) -> (usize, Vec<String>) {
        let (count, mut flags) = self.own(controller, node);
        if let Some(after) = self.rest_after.filter(|_| controller.rests()) {
            flags.push(format!("--rest-after={}ms", after.as_millis()));
        }
        (count, flags)
    }

    fn own(&self, controller: Controller, node: Option<&RealNode>) -> (usize, Vec<String>) {
        let owned = |flags: &[&str]| flags.iter().map(|flag| (*flag).to_owned()).collect();
        match controller {
            Controller::Gss => (self.gss_replicas, self.gss_args.clone()),
            Controller::PodSync => (self.pod_sync_replicas, self.pod_sync_args.clone()),
            Controller::NetworkPlugins => (self.network_replicas, self.network_args.clone()),
            Controller::Gs | Controller::NodeWatcher | Controller::PlayerAutoscaler => (1, Vec::new()),
            Controller::ExternalScaler => {
                let flags = self
                    .scaler_address
                    .map(|address| owned(&["--scaler-address", &address.to_string()]));
                (usize::from(flags.is_some()), flags.unwrap_or_default())
            }
            Controller::QualityProber => (usize::from(!self.central), owned(&["--mode", "actions"])),
            Controller::NodeProber => {
                let flags = node.map(|node| {
                    let socket = node.socket.to_string_lossy();
                    owned(&[
                        "--mode",
                        "node",
                        "--node-name",
                        &node.name,
                        "--cri-socket",
                        &socket,
                    ])
                });
                let runs = flags.is_some() && !self.central;
                (usize::from(runs), flags.unwrap_or_default())
            }
            // As many as are due: what they cost is what is to be seen.
            Controller::CentralProber => {
                let flags = owned(&["--mode", "central", "--execs-per-second", "1000"]);
                (usize::from(self.central), flags)
            }
            Controller::GameApi => {
                let flags = self.game_api.clone();
                (usize::from(flags.is_some()), flags.unwrap_or_default())
            }
        }
    }
}

impl Default for FleetOptions {
    fn default() -> Self {
        Self {
            profile: Profile::Dev,
            gss_replicas: 1,
            gss_args: Vec::new(),
            pod_sync_replicas: 1,
            pod_sync_args: Vec::new(),
            network_replicas: 1,
            network_args: Vec::new(),
            rest_after: None,
            scaler_address: None,
            central: false,
            game_api: None,
            common_args: Vec::new(),
            cluster_dir: None,
            outlives: false,
        }
    }
}

//! Starting, killing and watching the controllers' processes.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use e2e::ports;
use kube::Client;
use tokio::process::{Child, Command};

use super::install::{SYSTEM_NAMESPACE, client_for, install, routed_kubeconfig, service_account_kubeconfig};
use super::logs;
use super::options::FleetOptions;
use super::programs::Programs;
use super::scrape::{Scrape, http_get};
use super::tether::tethered;

/// The controllers of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Controller {
    /// Owns Pods.
    Gss,
    /// Owns GameServers.
    Gs,
    /// Carries GameServer.spec to Pods.
    PodSync,
    /// Shows on GameServers how their nodes are.
    NodeWatcher,
    /// Gives servers their networks.
    NetworkPlugins,
    /// Turns changes of probes' results into actions.
    QualityProber,
    /// Lets replicas follow players.
    PlayerAutoscaler,
    /// Answers KEDA; where it is asked for.
    ExternalScaler,
    /// Probes the Pods of the real node; where the cluster has one.
    NodeProber,
    /// Probes all Pods through the API server and acts, in place of the two.
    CentralProber,
    /// Takes what game servers report; where it is asked for.
    GameApi,
}

impl Controller {
    /// Every controller that any cluster has, in the order an installation starts them.
    pub const ALL: [Self; 7] = [
        Self::Gss,
        Self::Gs,
        Self::PodSync,
        Self::NodeWatcher,
        Self::NetworkPlugins,
        Self::QualityProber,
        Self::PlayerAutoscaler,
    ];

    /// The ServiceAccount's name, and the beginning of the log's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gss => "gss-controller",
            Self::Gs => "gs-controller",
            Self::PodSync => "pod-sync",
            Self::NodeWatcher => "node-watcher",
            Self::NetworkPlugins => "network-plugins",
            Self::QualityProber => "quality-prober",
            Self::PlayerAutoscaler => "player-autoscaler",
            Self::ExternalScaler => "external-scaler",
            Self::NodeProber => "quality-prober-node",
            Self::CentralProber => "quality-prober-central",
            Self::GameApi => "game-api",
        }
    }

    /// Whether it takes flags of leases.
    const fn has_lease(self) -> bool {
        !matches!(self, Self::ExternalScaler | Self::GameApi)
    }

    /// Whether its watches of game servers end while nothing asks for its work.
    pub const fn rests(self) -> bool {
        matches!(
            self,
            Self::NodeWatcher | Self::NetworkPlugins | Self::QualityProber | Self::PlayerAutoscaler
        )
    }

    /// The program, and the package it is in.
    pub const fn binary(self) -> &'static str {
        match self {
            Self::NodeProber | Self::CentralProber => "quality-prober",
            other => other.name(),
        }
    }
}

/// One controller process.
pub struct ControllerProcess {
    /// Which one.
    pub controller: Controller,
    /// Where `/metrics` and `/readyz` answer.
    pub admin_port: u16,
    child: Child,
    command: Launch,
}

/// All that is needed to start the same process again.
#[derive(Clone)]
struct Launch {
    binary: PathBuf,
    /// What the image's program is to be.
    verb: Option<&'static str>,
    kubeconfig: PathBuf,
    log: PathBuf,
    extra: Vec<String>,
    cluster_dir: Option<PathBuf>,
    outlives: bool,
    /// Whether it has a Lease: one that only reads has none.
    leases: bool,
}

/// The running controllers. Dropping it kills what is left of them.
pub struct Fleet {
    /// Processes in start order.
    pub processes: Vec<ControllerProcess>,
    /// Admin client of the cluster.
    pub client: Client,
    /// Kubeconfigs and logs.
    pub directory: PathBuf,
}

impl Fleet {
    /// Installs CRDs and RBAC, starts every controller, and waits until each reports ready.
    ///
    /// # Errors
    /// When the build, the installation or a start fails; the message ends with the process's last log lines.
    pub async fn start(root: &Path, kubeconfig: &Path, options: &FleetOptions) -> Result<Self> {
        let programs = Programs::build(root, options).await?;
        let client = client_for(kubeconfig).await?;
        install(&client, root).await?;
        let directory = logs::folder()?;
        let mut fleet = Self {
            processes: Vec::new(),
            client: client.clone(),
            directory: directory.clone(),
        };
        let real_node = crate::cluster::real_node(kubeconfig);
        let on_demand = [
            Controller::NodeProber,
            Controller::CentralProber,
            Controller::ExternalScaler,
            Controller::GameApi,
        ];
        for controller in Controller::ALL.into_iter().chain(on_demand) {
            let account =
                service_account_kubeconfig(&client, kubeconfig, controller.name(), &directory).await?;
            let (replicas, flags) = options.replicas(controller, real_node.as_ref());
            for replica in 0..replicas {
                let (binary, verb) = programs.of(controller);
                let launch = Launch {
                    binary,
                    verb,
                    kubeconfig: account.clone(),
                    log: directory.join(format!("{}-{replica}.log", controller.name())),
                    extra: if controller.has_lease() {
                        [&options.common_args[..], &flags].concat()
                    } else {
                        flags.clone()
                    },
                    leases: controller.has_lease(),
                    cluster_dir: options.cluster_dir.clone(),
                    outlives: options.outlives,
                };
                fleet
                    .processes
                    .push(ControllerProcess::start(controller, launch)?);
            }
        }
        for process in &mut fleet.processes {
            process.wait_ready(Duration::from_secs(60)).await?;
        }
        Ok(fleet)
    }

    /// The first process of `controller`.
    ///
    /// # Errors
    /// When the fleet has none.
    pub fn process(&mut self, controller: Controller) -> Result<&mut ControllerProcess> {
        self.processes
            .iter_mut()
            .find(|p| p.controller == controller)
            .with_context(|| format!("no {} is running", controller.name()))
    }

    /// All processes of `controller`.
    pub fn replicas(&mut self, controller: Controller) -> impl Iterator<Item = &mut ControllerProcess> {
        self.processes
            .iter_mut()
            .filter(move |process| process.controller == controller)
    }

    /// Metrics of every process, in start order.
    ///
    /// # Errors
    /// When one doesn't answer.
    pub async fn scrape(&self) -> Result<Vec<(Controller, Scrape)>> {
        let mut readings = Vec::new();
        for process in &self.processes {
            readings.push((process.controller, Scrape::fetch(process.admin_port).await?));
        }
        Ok(readings)
    }

    /// Runs `work`, and starts any process that ends meanwhile again, as its kubelet would: a controller that can't renew its
    /// lease in time, on a machine that is too busy, ends on purpose.
    ///
    /// # Errors
    /// What `work` gives, or when a process can't be started.
    pub async fn keep_running<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                result = &mut work => return result,
                () = tokio::time::sleep(Duration::from_millis(200)) => {}
            }
            for process in &mut self.processes {
                process.restart_if_ended()?;
            }
        }
    }

    /// Ends every process with SIGTERM; [`Fleet::resume`] starts them again.
    ///
    /// # Errors
    /// When one doesn't end.
    pub async fn pause(&mut self) -> Result<()> {
        for process in &self.processes {
            process.signal("TERM").await?;
        }
        for process in &mut self.processes {
            process.wait(Duration::from_secs(30)).await?;
        }
        Ok(())
    }

    /// Starts every process again after [`Fleet::pause`], and waits until each reports ready.
    ///
    /// # Errors
    /// When one doesn't start.
    pub async fn resume(&mut self) -> Result<()> {
        for process in &mut self.processes {
            if process.child.try_wait()?.is_some() {
                process.start_again()?;
            }
        }
        for process in &mut self.processes {
            process.wait_ready(Duration::from_secs(60)).await?;
        }
        Ok(())
    }

    /// Lets the processes go on after this program ends, where they were started with [`FleetOptions::outlives`].
    pub fn leave_running(self) {
        for process in self.processes {
            // Tokio would kill the child with its handle; a forgotten handle leaves it alone.
            std::mem::forget(process.child);
        }
    }

    /// Ends every process with SIGTERM, waits for their drain, and says how each ended.
    ///
    /// # Errors
    /// When a process can't be waited for.
    pub async fn stop(mut self) -> Result<Vec<(Controller, ExitStatus)>> {
        let mut endings = Vec::new();
        for process in &self.processes {
            process.signal("TERM").await?;
        }
        for process in &mut self.processes {
            endings.push((process.controller, process.wait(Duration::from_secs(30)).await?));
        }
        Ok(endings)
    }

    /// As [`stop`](Self::stop), and each must end cleanly.
    ///
    /// # Errors
    /// Also when a process ended otherwise.
    pub async fn stop_cleanly(self) -> Result<()> {
        for (controller, status) in self.stop().await? {
            ensure!(
                status.success(),
                "{} ended with {status} on SIGTERM",
                controller.name()
            );
        }
        Ok(())
    }
}

impl ControllerProcess {
    fn start(controller: Controller, command: Launch) -> Result<Self> {
        let admin_port = ports::free()?;
        let child = command.spawn(admin_port)?;
        Ok(Self {
            controller,
            admin_port,
            child,
            command,
        })
    }

    /// Process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Where it logs.
    pub fn log(&self) -> &Path {
        &self.command.log
    }

    /// Kills the process with SIGKILL: no drain, no release.
    ///
    /// # Errors
    /// When it can't be killed.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Starts a process that has ended again.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start_again(&mut self) -> Result<()> {
        self.admin_port = ports::free()?;
        self.child = self.command.spawn(self.admin_port)?;
        Ok(())
    }

    /// [`kill`](Self::kill), then [`start_again`](Self::start_again).
    ///
    /// # Errors
    /// Theirs.
    pub async fn kill_and_restart(&mut self) -> Result<()> {
        self.kill().await?;
        self.start_again()
    }

    /// From its next start on it talks to `address`, in plain HTTP, instead of the API server.
    ///
    /// # Errors
    /// When its kubeconfig can't be read or the new one not written.
    pub fn route_through(&mut self, address: SocketAddr) -> Result<()> {
        let path = self.command.log.with_extension("kubeconfig");
        routed_kubeconfig(&self.command.kubeconfig, address, &path)?;
        self.command.kubeconfig = path;
        Ok(())
    }

    fn restart_if_ended(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            eprintln!("{} ended ({status}): starting it again", self.controller.name());
            self.start_again()?;
        }
        Ok(())
    }

    /// Sends signal `name` (`TERM`, `STOP`, `CONT`).
    ///
    /// # Errors
    /// When the process is gone.
    pub async fn signal(&self, name: &str) -> Result<()> {
        let pid = self.pid().context("the process has ended already")?;
        let status = Command::new("kill")
            .args([&format!("-{name}"), &pid.to_string()])
            .status()
            .await?;
        if !status.success() {
            bail!("can't send SIG{name} to {} ({pid})", self.controller.name());
        }
        Ok(())
    }

    /// Waits for the process to end.
    ///
    /// # Errors
    /// After `limit`; the process is killed then.
    pub async fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        if let Ok(status) = tokio::time::timeout(limit, self.child.wait()).await {
            return Ok(status?);
        }
        self.child.kill().await?;
        bail!(
            "{} was still running {} s after SIGTERM",
            self.controller.name(),
            limit.as_secs()
        );
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Errors
    /// After `limit`, or when the process has ended; with its last log lines.
    pub async fn wait_ready(&mut self, limit: Duration) -> Result<()> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            // First: what answers on the port of a process that has ended is another one.
            let ended = self.child.try_wait()?;
            if ended.is_none() && matches!(http_get(self.admin_port, "/readyz").await, Ok((200, _))) {
                return Ok(());
            }
            if let Some(status) = ended {
                bail!(
                    "{} ended at start ({status}):\n{}",
                    self.controller.name(),
                    self.log_tail(15)
                );
            }
            if tokio::time::Instant::now() > deadline {
                bail!(
                    "{} isn't ready after {limit:?}:\n{}",
                    self.controller.name(),
                    self.log_tail(15)
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The last `lines` lines of its log.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = std::fs::read_to_string(&self.command.log).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

impl Launch {
    fn spawn(&self, admin_port: u16) -> Result<Child> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = if self.outlives {
            Command::new(&self.binary)
        } else {
            tethered(&self.binary)
        };
        if let Some(directory) = &self.cluster_dir {
            command.env(crate::cluster::PROCESS_MARK, directory);
        }
        command
            .args(self.verb)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(["--admin-address", &format!("127.0.0.1:{admin_port}")])
            .args(if self.leases {
                &["--lease-namespace", SYSTEM_NAMESPACE][..]
            } else {
                &[]
            })
            .args(&self.extra)
            .stdin(Stdio::null())
            // A group of its own: an interrupt at the terminal ends the tool, and the tool ends its processes in order.
            .process_group(0)
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("can't start {}", self.binary.display()))
    }
}

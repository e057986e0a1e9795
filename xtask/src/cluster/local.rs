//! The `local` provider: one cluster made of processes on this machine.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::certs::{Pki, Use};
use super::process::{Launch, Process, marked, with_descendants};
use super::spec::Spec;
use super::state::State;
use super::{control_plane, kubeconfig, kubelet, kwok, paths};

/// etcd and the API server end within a second when asked; a loaded machine may need longer.
pub(super) const STOP_GRACE: Duration = Duration::from_secs(15);

/// A local cluster under change; its lock is held by the caller.
#[derive(Debug)]
pub(crate) struct Local {
    /// Cluster name.
    pub(crate) name: String,
    /// Cluster folder.
    pub(crate) dir: PathBuf,
    /// Its record, saved after each change.
    pub(crate) state: State,
}

impl Local {
    /// Opens the record of the cluster in `dir`, clearing what an earlier boot left of it.
    ///
    /// # Errors
    /// When the folder can't be written or the record is damaged.
    pub(crate) fn open(name: &str, dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir.join("logs"))?;
        let mut state = State::load(dir)?.unwrap_or_default();
        let boot = super::process::boot_id();
        if state.processes.iter().any(|process| process.boot_id != boot) {
            // etcd's data was in memory: nothing of the old cluster is left but its folder.
            eprintln!("cluster {name} is from before the last boot: starting it afresh");
            state = State {
                nodes: state.nodes,
                ..State::default()
            };
        }
        state.memory_dir = state.memory_dir.or_else(|| paths::memory_dir(dir));
        let local = Self {
            name: name.to_owned(),
            dir: dir.to_owned(),
            state,
        };
        local.state.save(dir)?;
        Ok(local)
    }

    /// Brings the cluster up.
    ///
    /// # Errors
    /// When any part can't be started.
    pub(crate) async fn up(&mut self, spec: &Spec) -> Result<()> {
        if !cfg!(target_os = "linux") {
            bail!("provider local needs Linux: use --provider kind or kubeconfig");
        }
        self.remove_strays().await?;
        self.renew_taken_ports().await?;
        self.state = self.state.fulfilling(spec);
        self.save()?;
        let client = control_plane::ensure_running(self).await?;
        if self.state.nodes.kwok > 0 {
            kwok::ensure_running(self, &client).await?;
        }
        if self.state.nodes.kubelet {
            kubelet::ensure_running(self, &client).await?;
        }
        Ok(())
    }

    /// Whether it is what `spec` asks for, and all of it runs and answers.
    pub(crate) async fn fulfils(&self, spec: &Spec) -> bool {
        let complete = control_plane::COMPONENTS
            .iter()
            .all(|name| self.state.process(name).is_some())
            && self.state.processes.iter().all(Process::is_alive);
        complete
            && self.state.fulfilling(spec) == self.state
            && control_plane::check(&self.kubeconfig()).await.is_ok()
    }

    /// Ends everything and gives back what was taken.
    ///
    /// # Errors
    /// When a process survives or a folder can't be removed; calling again continues.
    pub(crate) async fn down(&mut self) -> Result<()> {
        // In reverse start order, so that kubelet doesn't start again what is being ended.
        for process in self.state.processes.iter().rev() {
            process.stop(STOP_GRACE).await?;
        }
        // What is left are containers and their shims; nothing in them is worth a grace period.
        for process in with_descendants(marked(&self.dir)) {
            process.stop(Duration::ZERO).await?;
        }
        self.state.processes.clear();
        kubelet::clean_up(self).await?;
        if let Some(memory) = &self.state.memory_dir {
            remove_dir(memory)?;
        }
        Ok(())
    }

    /// Ends processes of this cluster that no record knows: a command was killed between start and record.
    async fn remove_strays(&self) -> Result<()> {
        for stray in marked(&self.dir) {
            // Whatever was started here leads a session; shims of containers don't, and outlive a containerd that dies.
            let is_component = session(stray.pid) == Some(stray.pid);
            if is_component && !self.state.processes.iter().any(|known| known.pid == stray.pid) {
                eprintln!(
                    "ending {} ({}), left over from an earlier run",
                    stray.launch.name, stray.pid
                );
                stray.stop(STOP_GRACE).await?;
            }
        }
        Ok(())
    }

    /// Gives up recorded ports that a stranger took while their component was down.
    async fn renew_taken_ports(&mut self) -> Result<()> {
        let alive: Vec<&Process> = self
            .state
            .processes
            .iter()
            .filter(|process| process.is_alive())
            .collect();
        // A purpose begins with the name of the component whose port it is.
        let is_in_use = |purpose: &str| {
            alive
                .iter()
                .any(|process| purpose.starts_with(&process.launch.name))
        };
        let is_taken = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_err();
        let taken: Vec<String> = self
            .state
            .ports
            .iter()
            .filter(|(purpose, port)| !is_in_use(purpose) && is_taken(**port))
            .map(|(purpose, _)| purpose.clone())
            .collect();
        if taken.is_empty() {
            return Ok(());
        }
        eprintln!(
            "another program has taken the port of {}: choosing a new one",
            taken.join(", ")
        );
        // The others learn of the new port at their start only.
        for process in self.state.processes.iter().rev() {
            process.stop(STOP_GRACE).await?;
        }
        self.state.ports.retain(|purpose, _| !taken.contains(purpose));
        self.save()
    }

    /// Starts `launch` unless it runs; a component whose arguments have changed is started again.
    ///
    /// # Errors
    /// When it can't be started.
    pub(crate) async fn ensure_started(&mut self, launch: Launch) -> Result<()> {
        if let Some(process) = self.state.process(&launch.name) {
            if !process.is_alive() {
                eprintln!("{} has ended: starting it again", launch.name);
            } else if process.launch == launch {
                return Ok(());
            } else {
                eprintln!("{} gets other arguments: starting it again", launch.name);
                process.stop(STOP_GRACE).await?;
            }
        }
        let process = launch.start(&self.dir)?;
        self.state.record(process);
        self.save()
    }

    /// A launch whose log is in the cluster's folder.
    pub(crate) fn launch(&self, name: &str, program: PathBuf, args: Vec<String>) -> Launch {
        let log = self.dir.join("logs").join(format!("{name}.log"));
        Launch {
            name: name.to_owned(),
            program,
            args,
            env: Vec::new(),
            log,
        }
    }

    /// Writes a kubeconfig for the component `name`, whose user is `system:NAME` unless given.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub(crate) fn component_kubeconfig(
        &mut self,
        pki: &Pki,
        name: &str,
        group: Option<&str>,
    ) -> Result<PathBuf> {
        let pair = pki.pair(
            name,
            Use::Client {
                user: &format!("system:{name}"),
                group,
            },
        )?;
        let path = self.dir.join(format!("{name}.kubeconfig"));
        kubeconfig::write(
            &path,
            &self.context(),
            &control_plane::server(self)?,
            &pki.ca(),
            &pair,
        )?;
        Ok(path)
    }

    /// Fails with the log of the first of `names` that isn't running.
    ///
    /// # Errors
    /// When one has ended or was never started.
    pub(crate) fn check_alive(&self, names: &[&str]) -> Result<()> {
        for name in names {
            match self.state.process(name) {
                Some(process) if process.is_alive() => {}
                Some(dead) => bail!("{name} has ended; {}", dead.log_tail(20)),
                None => bail!("{name} was never started"),
            }
        }
        Ok(())
    }

    /// Waits until `done` holds, for at most `limit`, while all of `needed` run.
    ///
    /// # Errors
    /// When one of them ends, with its log; or after `limit`, with the log of the last of them.
    pub(crate) async fn wait<F: Future<Output = bool>>(
        &self,
        what: &str,
        needed: &[&str],
        limit: Duration,
        mut done: impl FnMut() -> F,
    ) -> Result<()> {
        let end = Instant::now() + limit;
        while !done().await {
            self.check_alive(needed)?;
            if Instant::now() > end {
                let log = needed
                    .last()
                    .and_then(|name| self.state.process(name))
                    .map(|process| process.log_tail(20));
                bail!(
                    "waited {} s until {what}; {}",
                    limit.as_secs(),
                    log.unwrap_or_default()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Folder for data that may be lost at a reboot: in memory where the system allows it.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.state
            .memory_dir
            .clone()
            .unwrap_or_else(|| self.dir.join("data"))
    }

    /// The admin kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// Sockets and containers' state.
    pub(crate) fn run_dir(&self) -> PathBuf {
        paths::run_dir(&self.dir)
    }

    /// Name of the real node.
    pub(crate) fn node_name(&self) -> String {
        format!("gk-{}", self.name)
    }

    /// Name of context, cluster and user in kubeconfigs.
    pub(crate) fn context(&self) -> String {
        format!("gamekeeper-{}", self.name)
    }

    /// Writes the record.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub(crate) fn save(&self) -> Result<()> {
        self.state.save(&self.dir)
    }
}

fn session(pid: i32) -> Option<i32> {
    let pid = rustix::process::Pid::from_raw(pid)?;
    rustix::process::getsid(Some(pid))
        .ok()
        .map(|sid| sid.as_raw_nonzero().get())
}

/// Whether `http://127.0.0.1:PORT/healthz` answers with 200. Needed where something else (a node that is still Ready) would let a
/// component pass for working that was started a moment ago.
pub(crate) async fn is_serving(port: u16) -> bool {
    let exchange = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    exchange.await.is_ok_and(|answer| {
        answer
            .lines()
            .next()
            .is_some_and(|status| status.contains(" 200 "))
    })
}

/// Removes a folder that may be gone already.
///
/// # Errors
/// When something in it can't be removed.
pub(crate) fn remove_dir(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("can't remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

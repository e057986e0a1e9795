//! A controller process behind its gate: started, killed by a fault, started again.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, Result};
use e2e::faults::Gate;
use tokio::process::{Child, Command};

use crate::fleet::{Controller, SYSTEM_NAMESPACE, tethered};

/// Tells a controller built for it which bug to have; `controller_kit::bug` reads it.
const BUG: &str = "GAMEKEEPER_SEEDED_BUG";

/// How a controller of one plan is started, each time.
pub(super) struct Launch<'a> {
    pub(super) binaries: &'a Path,
    /// Kubeconfig of the controller's ServiceAccount, which names the API server.
    pub(super) account: &'a Path,
    /// Folder of the plan: kubeconfigs and logs.
    pub(super) directory: &'a Path,
    pub(super) namespace: &'a str,
    pub(super) bug: Option<&'a str>,
    /// Folder of the cluster whose end is also the process's end.
    pub(super) cluster_dir: Option<&'a Path>,
}

/// One process, and the gate it speaks through.
pub(super) struct Process {
    /// `gss-controller`, `gss-controller-2`, …
    pub(super) client: String,
    child: Child,
    command: Command,
    log: PathBuf,
    _gate: Gate,
}

impl Process {
    pub(super) fn start(
        controller: Controller,
        client: &str,
        gate: Gate,
        launch: &Launch<'_>,
    ) -> Result<Self> {
        let kubeconfig = launch.directory.join(format!("{client}.kubeconfig"));
        crate::fleet::routed_kubeconfig(launch.account, gate.address, &kubeconfig)?;
        let log = launch.directory.join(format!("{client}.log"));
        let mut command = tethered(&launch.binaries.join(controller.name()));
        command
            .arg("--kubeconfig")
            .arg(&kubeconfig)
            .args(["--admin-address", "127.0.0.1:0", "--leader-elect=false"])
            .args(["--lease-namespace", SYSTEM_NAMESPACE])
            .args(["--namespace", launch.namespace])
            .stdin(Stdio::null())
            .process_group(0);
        if let Some(bug) = launch.bug {
            command.env(BUG, bug);
        }
        if let Some(directory) = launch.cluster_dir {
            command.env(crate::cluster::PROCESS_MARK, directory);
        }
        let child = spawn(&mut command, &log)?;
        Ok(Self {
            client: client.to_owned(),
            child,
            command,
            log,
            _gate: gate,
        })
    }

    /// SIGKILL; gives back when the process is gone.
    pub(super) async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    pub(super) fn restart(&mut self) -> Result<()> {
        self.child = spawn(&mut self.command, &self.log)?;
        Ok(())
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Whether it ever panicked.
    pub(super) fn panicked(&self) -> bool {
        std::fs::read_to_string(&self.log).is_ok_and(|log| log.contains("panicked at"))
    }
}

fn spawn(command: &mut Command, log: &Path) -> Result<Child> {
    let log = File::options().create(true).append(true).open(log)?;
    command
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("can't start a controller")
}

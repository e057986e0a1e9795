//! What a cluster has taken from the machine, written down before it is used so that a crash leaves nothing unaccounted for.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use e2e::ports;
use serde::{Deserialize, Serialize};

use super::process::Process;
use super::spec::{Nodes, Provider, Spec};

const FILE: &str = "state.json";

/// The record of one cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Who runs the control plane.
    pub(crate) provider: Provider,
    /// Nodes it has.
    pub(crate) nodes: Nodes,
    /// Admin kubeconfig, where it isn't the one in the cluster's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Whether kube-apiserver writes an audit log.
    #[serde(default)]
    pub(crate) audit_log: bool,
    /// Additional flags of kube-apiserver.
    #[serde(default)]
    pub(crate) apiserver_args: Vec<String>,
    /// Ports on 127.0.0.1 by the name of their use.
    #[serde(default)]
    pub(crate) ports: BTreeMap<String, u16>,
    /// Memory-backed folder with etcd's data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) memory_dir: Option<PathBuf>,
    /// Network of the real node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) network: Option<Network>,
    /// Processes in start order.
    #[serde(default)]
    pub(crate) processes: Vec<Process>,
}

/// The bridge between this machine and the Pods of a real node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Network {
    /// Interface name.
    pub(crate) bridge: String,
    /// Third octet of `10.213.X.0/24`.
    pub(crate) octet: u8,
}

impl Network {
    /// Addresses of the Pods.
    pub(crate) fn subnet(&self) -> String {
        format!("10.213.{}.0/24", self.octet)
    }

    /// The bridge's own address, which is also the node's.
    pub(crate) fn gateway(&self) -> String {
        format!("10.213.{}.1", self.octet)
    }
}

/// Held while a cluster is changed; a second command for the same cluster waits.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl State {
    /// The record in `dir`; `None` where there is no cluster.
    ///
    /// # Errors
    /// When the file can't be read or isn't a record.
    pub(crate) fn load(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("can't read {}", path.display())),
        };
        let state = serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
        Ok(Some(state))
    }

    /// Writes the record; a reader sees the old or the new one, never a part.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub(crate) fn save(&self, dir: &Path) -> Result<()> {
        write_atomically(
            &dir.join(FILE),
            serde_json::to_string_pretty(self)?.as_bytes(),
            0o600,
        )
    }

    /// The record as it is once `spec` is fulfilled: what is there stays, what is asked for is added.
    pub(crate) fn fulfilling(&self, spec: &Spec) -> Self {
        let mut wanted = self.clone();
        wanted.nodes = self.nodes.union(spec.nodes.unwrap_or(Nodes::NONE));
        wanted.audit_log |= spec.audit_log;
        let new = spec
            .apiserver_args
            .iter()
            .filter(|flag| !self.apiserver_args.contains(flag));
        wanted.apiserver_args.extend(new.cloned());
        wanted
    }

    /// The process called `name`.
    pub(crate) fn process(&self, name: &str) -> Option<&Process> {
        self.processes.iter().find(|process| process.launch.name == name)
    }

    /// Puts `process` into the record, in the place of an earlier one of the same name.
    pub(crate) fn record(&mut self, process: Process) {
        match self
            .processes
            .iter_mut()
            .find(|known| known.launch.name == process.launch.name)
        {
            Some(known) => *known = process,
            None => self.processes.push(process),
        }
    }

    /// The port for `purpose`, chosen now and kept from then on.
    ///
    /// # Errors
    /// When the system has no free port.
    pub(crate) fn port(&mut self, purpose: &str) -> Result<u16> {
        if let Some(port) = self.ports.get(purpose) {
            return Ok(*port);
        }
        loop {
            // An earlier process may have given this one out for another purpose, whose program is not running.
            let port = ports::free()?;
            if !self.ports.values().any(|used| *used == port) {
                self.ports.insert(purpose.to_owned(), port);
                return Ok(port);
            }
        }
    }
}

/// Takes the cluster's lock, waiting for whoever holds it.
///
/// # Errors
/// When the folder can't be made or the lock can't be had.
pub(crate) async fn lock(dir: &Path) -> Result<Lock> {
    std::fs::create_dir_all(dir).with_context(|| format!("can't make {}", dir.display()))?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join("lock"))?;
    if file.try_lock().is_err() {
        eprintln!("waiting for another command that works on {}", dir.display());
        let file = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await??;
        return Ok(Lock { _file: file });
    }
    Ok(Lock { _file: file })
}

/// Replaces the file at `path` in one step.
///
/// # Errors
/// When its folder can't be written.
pub(crate) fn write_atomically(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;
    let folder = path.parent().context("a file needs a folder")?;
    let mut file = tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(mode))
        .tempfile_in(folder)
        .with_context(|| format!("can't write to {}", folder.display()))?;
    file.write_all(content)?;
    file.persist(path)
        .with_context(|| format!("can't write {}", path.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::process::Launch;
    use super::*;

    fn process(name: &str, pid: i32) -> Process {
        let launch = Launch {
            name: name.into(),
            program: "/bin/true".into(),
            args: vec!["--x".into()],
            env: vec![("A".into(), "b".into())],
            log: "/tmp/log".into(),
        };
        Process {
            launch,
            pid,
            start_ticks: 7,
            boot_id: "boot".into(),
        }
    }

    #[test]
    fn the_record_survives_a_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(State::load(dir.path()).unwrap(), None);
        let mut state = State {
            provider: Provider::Local,
            ..State::default()
        };
        state.nodes = Nodes {
            kwok: 20,
            kubelet: true,
        };
        state.network = Some(Network {
            bridge: "gk0".into(),
            octet: 9,
        });
        state.port("etcd").unwrap();
        state.record(process("etcd", 4));
        state.save(dir.path()).unwrap();
        assert_eq!(State::load(dir.path()).unwrap(), Some(state));
    }

    #[test]
    fn a_restarted_process_takes_its_predecessors_place() {
        let mut state = State::default();
        for (name, pid) in [("etcd", 1), ("kube-apiserver", 2), ("etcd", 3)] {
            state.record(process(name, pid));
        }
        let pids: Vec<i32> = state.processes.iter().map(|p| p.pid).collect();
        assert_eq!(pids, [3, 2]);
    }

    #[test]
    fn ports_are_distinct_and_kept() {
        let mut state = State::default();
        let ports: Vec<u16> = ["a", "b", "c"].iter().map(|p| state.port(p).unwrap()).collect();
        assert_eq!(state.port("a").unwrap(), ports[0]);
        assert!(ports[0] != ports[1] && ports[1] != ports[2] && ports[0] != ports[2]);
    }

    #[test]
    fn a_plain_up_changes_nothing_and_a_further_flag_is_added_once() {
        let asked = Spec {
            audit_log: true,
            apiserver_args: vec!["--v=1".into()],
            ..Spec::new("x", Nodes::NONE)
        };
        let state = State::default().fulfilling(&asked);
        assert!(state.audit_log);
        assert_eq!(state.apiserver_args, ["--v=1"]);
        assert_eq!(state.fulfilling(&Spec::default()), state);
        assert_eq!(state.fulfilling(&asked), state);
    }

    #[test]
    fn a_damaged_record_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "{").unwrap();
        let message = State::load(dir.path()).unwrap_err().to_string();
        assert!(message.contains("state.json is damaged"), "{message}");
    }
}

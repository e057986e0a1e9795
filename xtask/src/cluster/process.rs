//! Processes that outlive the command that started them, and the proof that a process is one of them.
//!
//! A pid alone is no proof: it may have been given to a stranger since. A record therefore also holds the start time and the
//! boot it belongs to, and every signal goes through a pidfd opened before both are compared.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// Environment variable that marks every process of a cluster (and what those start) with the cluster's folder.
pub(crate) const MARK: &str = "GAMEKEEPER_CLUSTER_DIR";

/// A log longer than this, bytes, is set aside at the next start.
const LOG_MAX: u64 = 16 << 20;

/// How a process is started; kept so that a dead one can be started again exactly the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Launch {
    /// Short name, unique in the cluster.
    pub(crate) name: String,
    /// Executable.
    pub(crate) program: PathBuf,
    /// Arguments.
    pub(crate) args: Vec<String>,
    /// Additional environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) env: Vec<(String, String)>,
    /// File that takes stdout and stderr.
    pub(crate) log: PathBuf,
}

/// A process that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// How.
    #[serde(flatten)]
    pub(crate) launch: Launch,
    /// Its id.
    pub(crate) pid: i32,
    /// Start time in clock ticks since boot.
    pub(crate) start_ticks: u64,
    /// The boot that pid and ticks belong to.
    pub(crate) boot_id: String,
}

impl Launch {
    /// Starts the process in a session of its own, so that neither the terminal nor the end of this command reaches it.
    ///
    /// # Errors
    /// When the program or its log can't be opened.
    pub(crate) fn start(self, mark: &Path) -> Result<Process> {
        self.set_aside_long_log();
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("can't write {}", self.log.display()))?;
        // setsid(1) replaces itself by the program without forking (it is no group leader here), so the pid stays.
        let child = Command::new("setsid")
            .arg(&self.program)
            .args(&self.args)
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .env(MARK, mark)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| {
                format!(
                    "can't start {} (setsid from util-linux is needed)",
                    self.program.display()
                )
            })?;
        let pid = child.id() as i32;
        // Reaps the child if it ends while this command runs; otherwise init does.
        std::thread::spawn(move || {
            let mut child = child;
            child.wait()
        });
        let start_ticks = start_ticks(pid).unwrap_or(0);
        Ok(Process {
            launch: self,
            pid,
            start_ticks,
            boot_id: boot_id(),
        })
    }
}

impl Launch {
    /// Keeps one earlier log beside the current one; a benchmark can make an API server write 100 MB.
    fn set_aside_long_log(&self) {
        if std::fs::metadata(&self.log).is_ok_and(|log| log.len() > LOG_MAX) {
            // Should it fail, the log only gets longer.
            let _ = std::fs::rename(&self.log, self.log.with_extension("log.old"));
        }
    }
}

impl Process {
    /// Whether exactly this process (not another one with its pid) runs.
    pub(crate) fn is_alive(&self) -> bool {
        self.boot_id == boot_id() && start_ticks(self.pid) == Some(self.start_ticks)
    }

    /// Sends `signal`; a process that has ended is no error.
    fn signal(&self, signal: Signal) -> Result<()> {
        let Some(pid) = Pid::from_raw(self.pid) else {
            return Ok(());
        };
        // Once the pidfd is open the pid can't be reused under us; only then is the identity checked.
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else {
            return Ok(());
        };
        if !self.is_alive() {
            return Ok(());
        }
        match pidfd_send_signal(&handle, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => bail!("can't end {} ({}): {error}", self.launch.name, self.pid),
        }
    }

    /// Ends the process: SIGTERM, and after `grace` SIGKILL. Returns when it is gone.
    ///
    /// # Errors
    /// When it may not be signalled, or survives SIGKILL for 10 s.
    pub(crate) async fn stop(&self, grace: Duration) -> Result<()> {
        self.signal(Signal::TERM)?;
        if self.gone_within(grace).await {
            return Ok(());
        }
        self.signal(Signal::KILL)?;
        if self.gone_within(Duration::from_secs(10)).await {
            return Ok(());
        }
        bail!(
            "{} ({}) is still there 10 s after SIGKILL",
            self.launch.name,
            self.pid
        )
    }

    async fn gone_within(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while self.is_alive() {
            if Instant::now() > end {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        true
    }

    /// Last lines of its log, for error messages.
    pub(crate) fn log_tail(&self, lines: usize) -> String {
        let bytes = std::fs::read(&self.launch.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let all: Vec<&str> = text.lines().collect();
        let tail = all[all.len().saturating_sub(lines)..].join("\n");
        format!("last lines of {}:\n{tail}", self.launch.log.display())
    }
}

/// Every running process that carries the mark of the cluster in `dir`, whoever its parent is.
pub(crate) fn marked(dir: &Path) -> Vec<Process> {
    let mark = format!("{MARK}={}", dir.display());
    let own = std::process::id() as i32;
    all_pids()
        .into_iter()
        .filter(|pid| *pid != own)
        .filter_map(|pid| marked_process(pid, &mark))
        .collect()
}

/// `roots` and all that descends from them; containers are found so, which have an environment of their own.
pub(crate) fn with_descendants(roots: Vec<Process>) -> Vec<Process> {
    let parents: Vec<(i32, i32)> = all_pids()
        .into_iter()
        .filter_map(|pid| Some((pid, parent(pid)?)))
        .collect();
    let mut family = roots;
    let mut next = 0;
    while let Some(pid) = family.get(next).map(|process| process.pid) {
        next += 1;
        for (child, _) in parents.iter().filter(|(_, parent)| *parent == pid) {
            if !family.iter().any(|known| known.pid == *child) {
                family.extend(identify(*child));
            }
        }
    }
    family
}

fn all_pids() -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

fn parent(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn marked_process(pid: i32, mark: &str) -> Option<Process> {
    // The identity first: what is read afterwards is then of this process or of none.
    let process = identify(pid)?;
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    environment
        .split(|byte| *byte == 0)
        .any(|entry| entry == mark.as_bytes())
        .then_some(process)
}

fn identify(pid: i32) -> Option<Process> {
    let start_ticks = start_ticks(pid)?;
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm"))
        .ok()?
        .trim()
        .to_owned();
    let launch = Launch {
        name,
        program: PathBuf::new(),
        args: Vec::new(),
        env: Vec::new(),
        log: PathBuf::new(),
    };
    Some(Process {
        launch,
        pid,
        start_ticks,
        boot_id: boot_id(),
    })
}

/// Start time of a living process; `None` for a zombie, which holds no port, file or memory any more.
fn start_ticks(pid: i32) -> Option<u64> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(stat: &str) -> Option<u64> {
    // The command's name is in brackets and may itself hold blanks and brackets.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    // Field 22 of proc(5); the state was field 3.
    (state != "Z" && state != "X").then(|| fields.nth(18)?.parse().ok())?
}

/// Changes with every boot.
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(dir: &Path, program: &str, args: &[&str]) -> Launch {
        Launch {
            name: "test".into(),
            program: program.into(),
            args: args.iter().map(|a| (*a).to_owned()).collect(),
            env: Vec::new(),
            log: dir.join("log"),
        }
    }

    #[test]
    fn stat_with_brackets_in_the_name() {
        let stat = "77 (a) b (c) S 1 77 77 0 -1 4194560 105 0 0 0 0 0 0 0 20 0 1 0 987654 2396160 200 18446744073709551615";
        assert_eq!(parse_stat(stat), Some(987_654));
        assert_eq!(parse_stat(&stat.replace(") S ", ") Z ")), None);
    }

    #[tokio::test]
    async fn a_stranger_with_a_recorded_pid_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let ours = launch(dir.path(), "sleep", &["60"]).start(dir.path()).unwrap();
        for stale in [
            Process {
                start_ticks: ours.start_ticks + 1,
                ..ours.clone()
            },
            Process {
                boot_id: "another boot".into(),
                ..ours.clone()
            },
        ] {
            stale.stop(Duration::from_millis(100)).await.unwrap();
            assert!(ours.is_alive(), "a process with another identity was signalled");
        }
        ours.stop(Duration::from_secs(5)).await.unwrap();
        assert!(!ours.is_alive());
    }

    #[tokio::test]
    async fn descendants_are_found_by_their_mark() {
        let dir = tempfile::tempdir().unwrap();
        let parent = launch(dir.path(), "sh", &["-c", "sleep 61 & echo started; wait"])
            .start(dir.path())
            .unwrap();
        while !parent.log_tail(1).contains("started") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let found = marked(dir.path());
        assert_eq!(found.len(), 2, "{found:?}");
        for process in found {
            process.stop(Duration::from_secs(5)).await.unwrap();
        }
        assert!(marked(dir.path()).is_empty());
    }
}

//! Processes that do not outlive this program, however it ends.

use std::path::Path;

use tokio::process::Command;

/// A command that runs `program` and is killed when this program ends, be it by SIGKILL, which no handler sees.
///
/// setpriv(1) replaces itself by the program, so the pid is the program's. The kernel means the *thread* that spawns: spawn from the
/// task of `main`, or from a worker of the runtime, both of which stay to the end.
pub(crate) fn tethered(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program)
        .kill_on_drop(true);
    command
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    /// Makes this very test the program that starts another one.
    const PARENT: &str = "XTASK_TEST_TETHER";

    #[tokio::test]
    async fn a_process_ends_with_a_program_that_is_killed() {
        if std::env::var_os(PARENT).is_some() {
            let mut child = tethered(Path::new("sleep")).arg("600").spawn().unwrap();
            println!("\nstarted {}", child.id().unwrap());
            child.wait().await.unwrap();
            return;
        }
        let mut parent = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("fleet::tether::tests::a_process_ends_with_a_program_that_is_killed")
            .env(PARENT, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(parent.stdout.take().unwrap()).lines();
        let started = lines.map_while(Result::ok).find_map(|line| {
            let pid = line.strip_prefix("started ")?;
            pid.parse::<u32>().ok()
        });
        let stat = format!("/proc/{}/stat", started.unwrap());
        let stat = || std::fs::read_to_string(&stat).unwrap_or_default();
        // Until setpriv has become the program, the tether may not be tied yet.
        until("the program runs", || stat().contains("(sleep)")).await;
        parent.kill().unwrap();
        parent.wait().unwrap();
        // Whoever adopts it may take its time to reap it: a zombie has ended too.
        until("it has ended", || stat().is_empty() || stat().contains(") Z ")).await;
    }

    async fn until(what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !holds() {
            assert!(Instant::now() < deadline, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

//! Whose fault it is that a command could not be run (pure).

use super::Told;
use crate::plan::message::clean_text;

/// What runtimes say when it is the command that cannot be started. They say it in the same kind of error as that the
/// container has just ended, so the words must tell.
const COMMAND: [&str; 6] = [
    "executable file not found",
    "executable file `",
    "exec format error",
    "permission denied",
    "no such file or directory",
    "is a directory",
];

/// What the runtime's error tells: that the command cannot be started, which is the server's failure; or nothing.
pub(super) fn told(error: &str, otherwise: &'static str) -> Told {
    // runc: `exec: "x": executable file not found in $PATH`; crun: `executable file `x` not found`.
    let of_command = error.find("exec: \"").or_else(|| error.find("executable file `"));
    let Some(at) = of_command else {
        return Told::Nothing(otherwise);
    };
    let detail = &error[at..];
    if !COMMAND.iter().any(|known| detail.contains(known)) {
        return Told::Nothing(otherwise);
    }
    let detail = detail.trim_end_matches(": unknown").trim_start_matches("exec: ");
    Told::failed(clean_text(&format!("command cannot be started: {detail}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_is_not_there_is_a_failure_that_names_it() {
        let containerd = "failed to exec in container: failed to start exec \"5d0c\": OCI runtime exec failed: exec failed: \
                          unable to start container process: exec: \"probe\": executable file not found in $PATH: unknown";
        assert_eq!(
            told(containerd, "gone"),
            Told::failed("command cannot be started: \"probe\": executable file not found in $PATH")
        );
        let crun = "executable file `probe` not found in $PATH: No such file or directory";
        assert!(matches!(told(crun, "gone"), Told::State(..)));
        let denied = "unable to start container process: exec: \"./probe.sh\": permission denied: unknown";
        assert!(matches!(told(denied, "gone"), Told::State(..)));
    }

    #[test]
    fn a_container_that_is_gone_tells_nothing() {
        for error in [
            "container is in CONTAINER_EXITED state",
            "failed to exec in container: failed to load task: no running task found: task 5d not found: not found",
            "cannot exec in a stopped container",
            "unable to start container process: error executing setns process: exit status 1",
            "open /run/containerd/io.containerd.runtime.v2.task/k8s.io/5d/config.json: no such file or directory",
        ] {
            assert_eq!(told(error, "gone"), Told::Nothing("gone"), "{error}");
        }
    }
}

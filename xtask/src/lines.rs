//! What a child process prints, until the child has ended.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

/// How long what was printed before the end may still be on its way.
const REST: Duration = Duration::from_secs(2);

/// Runs `command` and gives each line of its standard output to `each`.
///
/// The child's end ends it, not that of its output: a test that panics can leave a process behind that has inherited the output, and
/// whoever waits for the last of its holders waits for ever.
///
/// # Errors
/// When the command can't be started, or what it prints is not UTF-8.
pub(crate) async fn of(command: &mut Command, mut each: impl FnMut(&str)) -> Result<ExitStatus> {
    let mut child = command
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("can't run it")?;
    let output = child.stdout.take().context("it has no output")?;
    let mut lines = BufReader::new(output).lines();
    let status = loop {
        tokio::select! {
            biased;
            line = lines.next_line() => match line? {
                Some(line) => each(&line),
                None => break child.wait().await?,
            },
            status = child.wait() => break status?,
        }
    };
    while let Ok(Ok(Some(line))) = tokio::time::timeout(REST, lines.next_line()).await {
        each(&line);
    }
    Ok(status)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tokio::process::Command;

    #[tokio::test]
    async fn who_inherits_the_output_is_not_waited_for() {
        let begun = Instant::now();
        let mut seen = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 2>/dev/null & echo one; echo two; exit 3"]);
        let status = super::of(&mut command, |line| seen.push(line.to_owned()))
            .await
            .unwrap();
        assert_eq!(status.code(), Some(3));
        assert_eq!(seen, ["one", "two"]);
        assert!(begun.elapsed() < Duration::from_secs(30));
    }

    #[tokio::test]
    async fn all_of_a_long_output_is_read() {
        let mut seen = 0;
        let mut command = Command::new("seq");
        let status = super::of(command.arg("100000"), |_| seen += 1).await.unwrap();
        assert!(status.success());
        assert_eq!(seen, 100_000);
    }
}

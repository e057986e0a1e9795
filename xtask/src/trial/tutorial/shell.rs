//! One bash, which keeps what earlier blocks have exported.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Begins the line that says how a block failed.
pub(super) const FAILED: &str = "[exit code ";
/// Ends the output of a block.
const END: &str = "--- end of block ";

/// A running bash.
pub(super) struct Shell {
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    scripts: TempDir,
    count: usize,
    _process: Child,
}

impl Shell {
    /// Starts it at the root of the checkout. `cargo xtask` is this program there: what cargo would do is to build it once more.
    pub(super) async fn start(root: &Path) -> Result<Self> {
        let mut process = Command::new("bash")
            .args(["--noprofile", "--norc"])
            .current_dir(root)
            .env("XTASK", std::env::current_exe()?)
            .env("NO_COLOR", "1")
            .env_remove("KUBECONFIG")
            .env_remove("GAMEKEEPER_KUBECONFIG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("can't run bash")?;
        let input = process.stdin.take().context("bash has no input")?;
        let output = process.stdout.take().context("bash has no output")?;
        let mut shell = Self {
            input,
            output: BufReader::new(output).lines(),
            scripts: tempfile::tempdir()?,
            count: 0,
            _process: process,
        };
        shell
            .run("cargo() { if [ \"$1\" = xtask ]; then shift; \"$XTASK\" \"$@\"; else command cargo \"$@\"; fi; }\n")
            .await?;
        Ok(shell)
    }

    /// Runs a block and gives what it printed to either stream, with a last line where it failed.
    pub(super) async fn run(&mut self, script: &str) -> Result<String> {
        self.count += 1;
        let file = self.scripts.path().join(format!("{}.sh", self.count));
        std::fs::write(&file, script)?;
        // Sourced, so that what it exports stays; its input is its own, for the shell's is the next command.
        let line = format!(
            "source '{}' </dev/null 2>&1; printf '\\n{END}%s\\n' $?\n",
            file.display()
        );
        self.input.write_all(line.as_bytes()).await?;
        self.input.flush().await?;
        let mut printed = String::new();
        while let Some(line) = self.output.next_line().await? {
            if let Some(code) = line.strip_prefix(END) {
                if code != "0" {
                    printed = format!("{printed}{FAILED}{code}]\n");
                }
                return Ok(printed);
            }
            printed.push_str(&line);
            printed.push('\n');
        }
        bail!("the shell has ended:\n{printed}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn blocks_share_a_shell_and_say_how_they_fail() {
        let mut shell = Shell::start(Path::new("/")).await.unwrap();
        shell.run("export WORD=here; cd /tmp\n").await.unwrap();
        assert_eq!(
            shell.run("echo $WORD $PWD; cat\n").await.unwrap(),
            "here /tmp\n\n"
        );
        assert_eq!(
            shell.run("echo no >&2; false\n").await.unwrap(),
            "no\n\n[exit code 1]\n"
        );
        assert_eq!(shell.run("cat <<EOF\na\nEOF\n").await.unwrap(), "a\n\n");
        assert!(shell.run("exit 3\n").await.is_err());
    }
}

//! How many tests there were: cargo's own words, read and summed.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// Tests as cargo's runner counts them, summed over all its runs.
#[derive(Debug, Default)]
pub(super) struct Count {
    pub(super) passed: u64,
    failed: u64,
    ignored: u64,
}

impl Count {
    /// Runs `cargo test` with these arguments.
    ///
    /// # Errors
    /// When a test failed.
    pub(super) async fn tests(
        &mut self,
        root: &Path,
        arguments: &[&str],
        environment: &[(&str, &Path)],
    ) -> Result<()> {
        let mut command = crate::cargo::command(root);
        command
            .args(["test", "--no-fail-fast"])
            .args(arguments)
            .envs(environment.iter().copied());
        let status = crate::lines::of(&mut command, |line| {
            self.read(line);
            println!("{line}");
        });
        if !status.await.context("cargo")?.success() {
            bail!("cargo test {} failed", arguments.join(" "));
        }
        Ok(())
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }

    /// Takes the numbers of a line that another process wrote of its own count.
    pub(super) fn read_summary(&mut self, line: &str) {
        let numbers: Option<Vec<u64>> = line
            .split(", ")
            .zip(["passed", "failed", "skipped"])
            .map(|(part, word)| part.strip_suffix(word)?.trim_end().parse().ok())
            .collect();
        if let Some(&[passed, failed, ignored]) = numbers.as_deref() {
            *self = Self {
                passed,
                failed,
                ignored,
            };
        }
    }

    /// Adds a line such as `test result: ok. 12 passed; 0 failed; 1 ignored; ...`.
    fn read(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result: ") else {
            return;
        };
        let number = |word: &str| {
            let part = counts
                .split([';', '.'])
                .map(str::trim)
                .find(|part| part.ends_with(word));
            part.and_then(|part| part.split(' ').next()?.parse::<u64>().ok())
                .unwrap_or(0)
        };
        self.passed += number("passed");
        self.failed += number("failed");
        self.ignored += number("ignored");
    }
}

/// As [`Count::read_summary`] reads it.
impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            ignored,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {ignored} skipped")
    }
}

#[cfg(test)]
mod tests {
    use super::Count;

    #[test]
    fn a_lanes_last_line_is_its_count() {
        let mut count = Count::default();
        for line in [
            "12 passed, 1 failed",
            "3 passed, 0 failed, 2 skipped",
            "all   7.0 s",
        ] {
            count.read_summary(line);
        }
        assert_eq!(count.to_string(), "3 passed, 0 failed, 2 skipped");
        assert_eq!((count.passed, count.failed, count.ignored), (3, 0, 2));
    }

    #[test]
    fn counts_are_summed_over_runs() {
        let mut count = Count::default();
        count.read(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
        );
        count.read("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 4 filtered out; finished in 1.23s");
        count.read("running 5 tests");
        assert_eq!((count.passed, count.failed, count.ignored), (15, 2, 1));
    }
}

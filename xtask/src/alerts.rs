//! The alert rules of `deploy/alerts` as Prometheus itself understands them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tokio::process::Command;

/// The rules, wrapped for the Prometheus operator.
const RULES: &str = "deploy/alerts/sync-gap.yaml";
/// What promtool is to find of them.
const TESTS: &str = "deploy/alerts/tests/sync-gap.yaml";

/// Writes the groups of the PrometheusRule into `directory` as Prometheus reads them; gives the file.
pub(crate) fn plain_rules(root: &Path, directory: &Path) -> Result<PathBuf> {
    let rule: serde_json::Value = serde_yaml::from_str(&std::fs::read_to_string(root.join(RULES))?)?;
    let file = directory.join("sync-gap.rules.yaml");
    std::fs::write(&file, serde_yaml::to_string(&rule["spec"])?)?;
    Ok(file)
}

/// Runs `promtool test rules`. Where promtool can't be had it says so and is content: nothing was found wrong.
///
/// # Errors
/// When a rule doesn't do what its test says.
pub(crate) async fn test_rules(root: &Path) -> Result<()> {
    let promtool = match crate::debian::program(crate::prometheus::PACKAGE, "usr/bin/promtool").await {
        Ok(promtool) => promtool,
        Err(error) => {
            println!("skipped: promtool can't be had here ({error:#})");
            return Ok(());
        }
    };
    let directory = tempfile::tempdir()?;
    plain_rules(root, directory.path())?;
    let tests = directory.path().join("tests.yaml");
    std::fs::copy(root.join(TESTS), &tests).with_context(|| format!("can't read {TESTS}"))?;
    let status = Command::new(promtool)
        .args(["test", "rules"])
        .arg(&tests)
        .current_dir(directory.path())
        .status()
        .await?;
    if !status.success() {
        bail!("promtool found something");
    }
    Ok(())
}

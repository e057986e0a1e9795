//! The Helm chart: what of it is generated, and what the real Helm makes of it.

mod check;
mod helm;
mod lint;
mod policies;
mod restricted;
mod schema;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::process::Command;

use crate::cluster::paths::repo_root;
use crate::fleet::{Profile, build_controllers};
use crate::generated::Files;

pub(crate) use check::run as check_by_helm;
pub(crate) use helm::{Helm, chart};
pub use lint::run as lint;

/// The chart's folder.
pub(crate) const CHART: &str = "charts/gamekeeper";
/// The chart with its own values, for `kubectl apply`.
const MANIFESTS: &str = "deploy/gamekeeper.yaml";

/// Flags of `cargo xtask gen-chart`.
#[derive(Debug, clap::Args)]
pub struct GenChartArgs {
    /// Write nothing; fail when a file is not what would be written
    #[arg(long)]
    check: bool,
}

/// Flags of `cargo xtask gen-manifests`.
#[derive(Debug, clap::Args)]
pub struct GenManifestsArgs {
    /// Write nothing; fail when the file is not what would be written
    #[arg(long)]
    check: bool,
}

impl GenChartArgs {
    /// Writes or checks, as the flags say.
    ///
    /// # Errors
    /// As [`run`].
    pub async fn run(&self) -> Result<()> {
        run(self.check).await
    }
}

impl GenManifestsArgs {
    /// Writes or checks, as the flags say.
    ///
    /// # Errors
    /// As [`manifests`].
    pub async fn run(&self) -> Result<()> {
        manifests(&Helm::build().await?, self.check).await
    }
}

/// Writes what the chart has of the rest of the repository: CRDs, alert rules, dashboards, and the schema of its values; with
/// `check`, compares instead of writing.
///
/// # Errors
/// With `check`, when a file differs: one line that names the first such file. Else when the controllers can't be built.
pub async fn run(check: bool) -> Result<()> {
    let root = repo_root();
    let mut files = copies(&root)?;
    let schema = schema::of_values(&controllers_flags(&root).await?);
    files.add(
        Path::new(CHART).join("values.schema.json"),
        format!("{schema:#}\n"),
    );
    files.write_or_check(&root, check, "gen-chart")
}

/// Writes the chart with its own values as plain manifests; with `check`, compares instead of writing.
///
/// # Errors
/// With `check`, when the file differs. Else when Helm refuses the chart.
pub(crate) async fn manifests(helm: &Helm, check: bool) -> Result<()> {
    let text = helm
        .template(
            "gamekeeper-system",
            &serde_json::json!({"crds": {"install": false}}),
        )
        .await?;
    let head = "# Written by `cargo xtask gen-manifests` from charts/gamekeeper; edit the chart, not this file.\n\
        # The CRDs are in crds/: kubectl apply --server-side -f crds/ -f deploy/gamekeeper.yaml\n\
        apiVersion: v1\nkind: Namespace\nmetadata:\n  name: gamekeeper-system\n  labels:\n    \
        pod-security.kubernetes.io/enforce: restricted\n";
    let mut files = Files::default();
    files.add(MANIFESTS, format!("{head}{text}"));
    files.write_or_check(&repo_root(), check, "gen-manifests")
}

/// Helm keeps what has this annotation when a release is uninstalled: with a CRD every game server would go.
const KEEP: &str = "metadata:\n  annotations:\n    helm.sh/resource-policy: keep\n";

fn copies(root: &Path) -> Result<Files> {
    let mut files = Files::default();
    for (from, to, extension) in [
        ("crds", "crds", "yaml"),
        ("deploy/alerts", "alerts", "yaml"),
        ("deploy/dashboards", "dashboards", "json"),
    ] {
        let folder = Path::new(CHART).join("files").join(to);
        for path in listed(&root.join(from), extension)? {
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?;
            let text = if to == "crds" { kept(&text)? } else { text };
            files.add(folder.join(path.file_name().unwrap_or_default()), text);
        }
        files.only_in(folder);
    }
    Ok(files)
}

/// The definition `text` with the annotation that keeps it.
fn kept(text: &str) -> Result<String> {
    if text.matches("\nmetadata:\n").count() != 1 || text.contains("\n  annotations:") {
        bail!("a CRD has annotations of its own, or no metadata: gen-chart has to learn that");
    }
    Ok(text.replacen("metadata:\n", KEEP, 1))
}

/// Files in `folder` with this extension, sorted; none where there is no folder.
fn listed(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("can't list {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == extension) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// What `gamekeeper flags` says: the flags of each controller as its code has them.
async fn controllers_flags(root: &Path) -> Result<Value> {
    let program = build_controllers(root, Profile::Dev).await?.join("gamekeeper");
    let output = Command::new(&program)
        .arg("flags")
        .output()
        .await
        .with_context(|| format!("can't run {}", program.display()))?;
    if !output.status.success() {
        bail!(
            "gamekeeper flags: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_in_the_chart_is_the_one_in_the_repository_and_is_kept() {
        let crd = "# head\napiVersion: v1\nmetadata:\n  name: a\nspec: {}\n";
        let text = kept(crd).unwrap();
        let object: Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(
            object["metadata"]["annotations"]["helm.sh/resource-policy"],
            "keep"
        );
        assert_eq!(object["metadata"]["name"], "a");
        assert!(kept("metadata:\n  annotations: {}\n").is_err());
        assert!(kept("spec: {}\n").is_err());
    }

    #[test]
    fn the_definitions_of_the_repository_can_be_kept() {
        let files = copies(&repo_root()).unwrap();
        let text = format!("{files:?}");
        assert_eq!(
            text.matches("helm.sh/resource-policy: keep").count(),
            2,
            "two kinds"
        );
    }
}

//! The real Helm, built from its Go module like the cluster's programs.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::Deserialize as _;
use serde_json::Value;
use tokio::process::Command;

use super::CHART;
use crate::cluster::{self, paths::repo_root};

/// Helm on this checkout's chart.
#[derive(Debug, Clone)]
pub(crate) struct Helm {
    program: PathBuf,
    kubeconfig: Option<PathBuf>,
}

/// What a run of Helm said.
pub(super) struct Said {
    pub(super) success: bool,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Helm {
    /// Builds Helm the first time.
    ///
    /// # Errors
    /// When Go is missing or the build fails.
    pub(crate) async fn build() -> Result<Self> {
        Ok(Self {
            program: cluster::helm().await?,
            kubeconfig: None,
        })
    }

    /// The same, for the cluster of this kubeconfig.
    pub(crate) fn on(&self, kubeconfig: PathBuf) -> Self {
        Self {
            program: self.program.clone(),
            kubeconfig: Some(kubeconfig),
        }
    }

    /// Runs Helm with `arguments`, and `values` as a file where there are some.
    ///
    /// # Errors
    /// When it can't be run. What it says of the chart is in the answer.
    pub(super) async fn say(&self, arguments: &[&str], values: Option<&Value>) -> Result<Said> {
        // Its own folders: nothing of the user's Helm is read, or changed.
        let home = tempfile::tempdir()?;
        let mut command = Command::new(&self.program);
        command.args(arguments).kill_on_drop(true);
        for folder in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(folder, home.path().join(folder));
        }
        if let Some(kubeconfig) = &self.kubeconfig {
            command.env("KUBECONFIG", kubeconfig);
        }
        if let Some(values) = values {
            let file = home.path().join("values.json");
            std::fs::write(&file, values.to_string())?;
            command.arg("--values").arg(&file);
        }
        let output = command
            .output()
            .await
            .with_context(|| format!("can't run {}", self.program.display()))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Said {
            success: output.status.success(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        })
    }

    /// As [`Self::say`], where nothing but success will do.
    ///
    /// # Errors
    /// With what Helm said.
    pub(crate) async fn run(&self, arguments: &[&str], values: Option<&Value>) -> Result<String> {
        let said = self.say(arguments, values).await?;
        if !said.success {
            bail!("helm {}: {}", arguments.join(" "), said.stderr.trim());
        }
        Ok(said.stdout)
    }

    /// The chart's manifests for a release in `namespace` with `values`.
    ///
    /// # Errors
    /// With what Helm said.
    pub(crate) async fn template(&self, namespace: &str, values: &Value) -> Result<String> {
        let chart = chart();
        let arguments = ["template", "gamekeeper", &chart, "--namespace", namespace];
        self.run(&arguments, Some(values)).await
    }

    /// The same as objects.
    ///
    /// # Errors
    /// With what Helm said, or where something isn't YAML.
    pub(super) async fn objects(&self, namespace: &str, values: &Value) -> Result<Vec<Value>> {
        let text = self.template(namespace, values).await?;
        let mut objects = Vec::new();
        for document in serde_yaml::Deserializer::from_str(&text) {
            objects.push(Value::deserialize(document)?);
        }
        objects.retain(|object| !object.is_null());
        Ok(objects)
    }
}

/// Path of the chart.
pub(crate) fn chart() -> String {
    repo_root().join(CHART).display().to_string()
}

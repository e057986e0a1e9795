//! `cargo xtask lint-chart`: what checkov and kube-score say of the rendered chart. Each thing that they find is mended, or has a
//! reason in `e2e/lint/skips.yaml`; a reason for what they don't find fails as well.

mod checkov;
mod kube_score;
mod skips;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Helm;
use crate::cluster::paths::repo_root;
use skips::Skips;

const NAMESPACE: &str = "gamekeeper-system";

/// Something that a tool found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Complaint {
    /// Which tool.
    tool: &'static str,
    /// Its name of the check.
    check: String,
    /// Kind and name of the object.
    object: String,
    /// What it says.
    says: String,
}

/// Renders the chart in several ways and lets both tools look at it.
///
/// # Errors
/// When a tool can't be had, or something is found that has no reason.
pub async fn run() -> Result<()> {
    let helm = Helm::build().await?;
    let skips = Skips::read(&repo_root())?;
    // With a name that is not a hidden folder's: checkov would pass over it.
    let folder = tempfile::Builder::new().prefix("gamekeeper-chart-").tempdir()?;
    let (mut complaints, mut names) = (BTreeSet::new(), Vec::new());
    for (name, values) in renderings() {
        let text = helm.template(NAMESPACE, &values).await.context(name)?;
        std::fs::write(folder.path().join(format!("{name}.yaml")), text)?;
        names.push(name);
    }
    complaints.extend(checkov::complaints(folder.path()).await?);
    for name in names {
        let file = folder.path().join(format!("{name}.yaml"));
        complaints.extend(kube_score::complaints(&file).await.context(name)?);
    }
    judge(&complaints, &skips)
}

/// The chart as it is; with everything on; with everything on in one namespace, probes on the nodes.
fn renderings() -> [(&'static str, Value); 3] {
    let mut everything = json!({
        "externalScaler": {"enabled": true, "tls": {"secretName": "scaler-tls", "clientCaKey": "ca.crt"}},
        "gameApi": {
            "enabled": true, "tls": {"secretName": "game-api-tls"}, "tokenAudience": "gamekeeper-game-api",
            "compat": {"enabled": true, "adminCodeSecretName": "admin"},
        },
        "networkPolicy": {"enabled": true},
        "priorityClass": {"create": true},
        "metrics": {"podMonitor": {"enabled": true}, "alerts": {"enabled": true}, "dashboards": {"enabled": true}},
    });
    let central = everything.clone();
    everything["namespaces"] = json!(["games"]);
    everything["qualityProber"] = json!({"mode": "node", "node": {"namespace": "gamekeeper-node"}});
    [("default", json!({})), ("central", central), ("node", everything)]
}

fn judge(complaints: &BTreeSet<Complaint>, skips: &Skips) -> Result<()> {
    let (left, stale) = skips.apply(complaints);
    for complaint in &left {
        println!(
            "{} {}: {}: {}",
            complaint.tool, complaint.check, complaint.object, complaint.says
        );
    }
    for skip in &stale {
        println!("{}: {skip} is found nowhere", skips::FILE);
    }
    println!(
        "{} found, {} with a reason",
        complaints.len(),
        complaints.len() - left.len()
    );
    ensure!(
        left.is_empty() && stale.is_empty(),
        "{} without a reason, {} reasons for nothing",
        left.len(),
        stale.len()
    );
    Ok(())
}

/// What `program` writes as JSON. Both tools end with 1 when they found something.
async fn json_of(command: &mut tokio::process::Command, program: &Path) -> Result<Value> {
    let output = command
        .output()
        .await
        .with_context(|| format!("can't run {}", program.display()))?;
    serde_json::from_slice(&output.stdout).with_context(|| {
        format!(
            "{} says no JSON: {}",
            program.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        )
    })
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

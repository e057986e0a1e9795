//! checkov, from its Python wheel.

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use super::{Complaint, json_of, word};
use crate::pip;

/// Version and checksums of it and all that it needs, as pip reads them.
const REQUIREMENTS: &str = "e2e/lint/requirements.txt";

/// What it finds in the manifests in `folder`.
///
/// # Errors
/// When it can't be had or run.
pub(super) async fn complaints(folder: &Path) -> Result<Vec<Complaint>> {
    let modules = pip::unpacked(REQUIREMENTS, "checkov", "checkov/main.py").await?;
    let mut command = Command::new("python3");
    command
        .args(["-m", "checkov.main", "--framework", "kubernetes", "--compact"])
        .args(["--quiet", "--output", "json", "--directory"])
        .arg(folder)
        .env("PYTHONPATH", &modules)
        // Nothing is asked of anybody's server.
        .args(["--skip-download"]);
    let report = json_of(&mut command, &modules).await?;
    // It passes over a folder that it takes for a hidden one, or a file that it can't read, without a word.
    let passed = report["summary"]["passed"].as_u64().unwrap_or_default();
    ensure!(passed > 0, "checkov looked at nothing: {report}");
    Ok(read(&report))
}

fn read(report: &Value) -> Vec<Complaint> {
    let failed = report["results"]["failed_checks"].as_array();
    let complaint = |found: &Value| {
        // "Deployment.gamekeeper-system.pod-sync"; of a Pod with its labels behind it.
        let resource = word(&found["resource"]);
        let mut parts = resource.split('.');
        let (kind, name) = (parts.next().unwrap_or_default(), parts.nth(1).unwrap_or_default());
        Complaint {
            tool: "checkov",
            check: word(&found["check_id"]),
            object: format!("{kind}/{name}"),
            says: word(&found["check_name"]),
        }
    };
    failed.into_iter().flatten().map(complaint).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_failed_is_read() {
        let report = json!({"check_type": "kubernetes", "results": {"passed_checks": [{}], "failed_checks": [{
            "check_id": "CKV_K8S_11", "check_name": "CPU limits should be set", "resource": "Deployment.gamekeeper-system.pod-sync",
        }]}});
        let read = read(&report);
        assert_eq!(read.len(), 1);
        assert_eq!(
            (read[0].check.as_str(), read[0].object.as_str()),
            ("CKV_K8S_11", "Deployment/pod-sync")
        );
        let pod = json!({"check_id": "CKV2_K8S_6", "check_name": "x", "resource": "Pod.a.pod-sync.app.kubernetes.io/name-pod-sync"});
        let report = json!({"results": {"failed_checks": [pod]}});
        assert_eq!(super::read(&report)[0].object, "Pod/pod-sync");
    }
}

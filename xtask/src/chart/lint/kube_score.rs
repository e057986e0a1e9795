//! kube-score, built from its Go module like the cluster's programs.

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use super::{Complaint, json_of, word};
use crate::cluster;

/// The best grade; below it something was found.
const ALL_OK: u64 = 10;

/// What it finds in the manifests in `file`.
///
/// # Errors
/// When it can't be built or run.
pub(super) async fn complaints(file: &Path) -> Result<Vec<Complaint>> {
    let program = cluster::kube_score().await?;
    let mut command = Command::new(&program);
    command
        .args([
            "score",
            "--output-format",
            "json",
            "--kubernetes-version",
            "v1.34",
        ])
        .arg(file);
    let report = json_of(&mut command, &program).await?;
    ensure!(
        report.as_array().is_some_and(|objects| !objects.is_empty()),
        "kube-score looked at nothing"
    );
    Ok(read(&report))
}

fn read(report: &Value) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for object in report.as_array().into_iter().flatten() {
        let kind = word(&object["type_meta"]["kind"]);
        let name = word(&object["object_meta"]["name"]);
        for check in object["checks"].as_array().into_iter().flatten() {
            if check["skipped"] == true || check["grade"].as_u64().is_none_or(|grade| grade >= ALL_OK) {
                continue;
            }
            let comments = check["comments"].as_array().into_iter().flatten();
            let said: Vec<String> = comments.map(|comment| word(&comment["summary"])).collect();
            complaints.push(Complaint {
                tool: "kube-score",
                check: word(&check["check"]["id"]),
                object: format!("{kind}/{name}"),
                says: said.join("; "),
            });
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_has_not_the_best_grade_is_read() {
        let check = |id: &str, grade: u64, skipped: bool| {
            json!({"check": {"id": id}, "grade": grade, "skipped": skipped,
                "comments": [{"path": "pod-sync", "summary": "CPU limit is not set"}]})
        };
        let report = json!([{
            "type_meta": {"kind": "Deployment"}, "object_meta": {"name": "pod-sync"},
            "checks": [check("container-resources", 1, false), check("pod-probes", 10, false), check("x", 1, true)],
        }]);
        let read = read(&report);
        assert_eq!(read.len(), 1);
        assert_eq!(
            (read[0].check.as_str(), read[0].object.as_str()),
            ("container-resources", "Deployment/pod-sync")
        );
        assert_eq!(read[0].says, "CPU limit is not set");
    }
}

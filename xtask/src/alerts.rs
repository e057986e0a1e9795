//! The alert rules of `deploy/alerts` as Prometheus itself understands them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::process::Command;

/// The rules, wrapped for the Prometheus operator, each file with what promtool is to find of it in `tests` under the same name.
const RULES: &str = "deploy/alerts";

/// One alert.
#[derive(Debug, Clone)]
pub(crate) struct Alert {
    /// Its name.
    pub(crate) name: String,
    /// When it fires.
    pub(crate) expression: String,
    /// The rule.
    #[cfg(test)]
    rule: Value,
}

/// A file of rules.
struct File {
    /// Without its ending.
    name: String,
    rule: Value,
}

fn files(root: &Path) -> Result<Vec<File>> {
    let directory = root.join(RULES);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&directory).with_context(|| format!("can't list {RULES}"))? {
        let path = entry?.path();
        let name = path
            .file_stem()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path)?;
        files.push(File {
            name: name.to_owned(),
            rule: serde_yaml::from_str(&text).with_context(|| format!("{} isn't YAML", path.display()))?,
        });
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

/// Every alert.
///
/// # Errors
/// When a file can't be read.
pub(crate) fn all(root: &Path) -> Result<Vec<Alert>> {
    let mut alerts = Vec::new();
    for file in files(root)? {
        let groups = file.rule["spec"]["groups"].as_array().into_iter().flatten();
        for rule in groups.flat_map(|group| group["rules"].as_array().into_iter().flatten()) {
            let text = |field: &str| rule[field].as_str().map(str::to_owned);
            alerts.push(Alert {
                name: text("alert").context("a rule without an alert")?,
                expression: text("expr").context("a rule without an expression")?,
                #[cfg(test)]
                rule: rule.clone(),
            });
        }
    }
    Ok(alerts)
}

/// Writes the groups of the PrometheusRules into `directory` as Prometheus reads them; gives the files.
///
/// # Errors
/// When one can't be read or written.
pub(crate) fn plain_rules(root: &Path, directory: &Path) -> Result<Vec<PathBuf>> {
    let write = |file: File| {
        let path = directory.join(format!("{}.rules.yaml", file.name));
        std::fs::write(&path, serde_yaml::to_string(&file.rule["spec"])?)?;
        Ok(path)
    };
    files(root)?.into_iter().map(write).collect()
}

/// Runs `promtool check rules` and `promtool test rules`. Where promtool can't be had it says so and is content: nothing was found wrong.
///
/// # Errors
/// When a rule can't be understood, or doesn't do what its test says.
pub(crate) async fn test_rules(root: &Path) -> Result<()> {
    let promtool = match crate::debian::program(crate::prometheus::PACKAGE, "usr/bin/promtool").await {
        Ok(promtool) => promtool,
        Err(error) => {
            println!("skipped: promtool can't be had here ({error:#})");
            return Ok(());
        }
    };
    let directory = tempfile::tempdir()?;
    let rules = plain_rules(root, directory.path())?;
    let mut tests = Vec::new();
    for file in files(root)? {
        let name = format!("{}.yaml", file.name);
        let test = directory.path().join(&name);
        std::fs::copy(root.join(RULES).join("tests").join(&name), &test)
            .with_context(|| format!("{RULES}/{name} has no tests"))?;
        tests.push(test);
    }
    for (what, files) in [("check", rules), ("test", tests)] {
        let status = Command::new(&promtool)
            .args([what, "rules"])
            .args(files)
            .current_dir(directory.path())
            .status()
            .await?;
        if !status.success() {
            bail!("promtool {what} rules found something");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::paths::repo_root;
    use crate::observability::query;

    #[test]
    fn alerts_ask_for_what_is_exported() {
        let alerts = all(&repo_root()).unwrap();
        assert!(alerts.len() >= 16, "{}", alerts.len());
        let found: Vec<String> = alerts
            .iter()
            .flat_map(|alert| {
                let problems = query::problems(&alert.expression);
                problems
                    .into_iter()
                    .map(|problem| format!("{}: {problem}", alert.name))
            })
            .collect();
        assert!(found.is_empty(), "{}", found.join("\n"));
    }

    #[test]
    fn every_alert_has_a_severity_and_a_section_in_its_runbook() {
        for alert in all(&repo_root()).unwrap() {
            let said =
                |part: &str, field: &str| alert.rule[part][field].as_str().unwrap_or_default().to_owned();
            assert!(
                ["warning", "critical"].contains(&said("labels", "severity").as_str()),
                "{}",
                alert.name
            );
            for field in ["summary", "description"] {
                assert!(!said("annotations", field).is_empty(), "{}: {field}", alert.name);
            }
            let runbook = said("annotations", "runbook");
            let text = std::fs::read_to_string(repo_root().join(&runbook)).unwrap_or_default();
            let heading = format!("\n## {}\n", alert.name);
            assert!(text.contains(&heading), "{runbook} has no section {}", alert.name);
        }
    }

    #[test]
    fn every_alert_is_tested_to_fire_and_not_to() {
        let directory = repo_root().join(RULES).join("tests");
        let mut texts = Vec::new();
        for entry in std::fs::read_dir(directory).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            texts.push(serde_yaml::from_str::<Value>(&text).unwrap());
        }
        let cases: Vec<&Value> = texts
            .iter()
            .flat_map(|file| file["tests"].as_array().unwrap())
            .flat_map(|test| test["alert_rule_test"].as_array().unwrap())
            .collect();
        for alert in all(&repo_root()).unwrap() {
            let fires = |expected: bool| {
                cases.iter().any(|case| {
                    case["alertname"] == alert.name.as_str() && case.get("exp_alerts").is_some() == expected
                })
            };
            assert!(fires(true) && fires(false), "{}", alert.name);
        }
    }
}

//! `cargo xtask rights-used`: whether what the controllers did and what they may do are the same, from the API server's audit log.
//!
//! `make test` keeps of each cluster's log one line of every kind ([`keep`]), and compares in the end ([`check_kept`]).

mod audit;
mod exceptions;
mod granted;
mod judge;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::cluster::paths::{cache_dir, cluster_dir, repo_root};
use crate::cluster::{Nodes, Spec};
use audit::Request;
use exceptions::Exceptions;
use granted::Granted;
use judge::{Judgement, judge};

/// Clusters of `make test`, whose logs together show every right.
const CLUSTERS: [&str; 4] = ["test-api", "test-kwok", "test-kubelet", "test-trials"];

/// Flags of `cargo xtask rights-used`.
#[derive(Debug, clap::Args)]
pub struct RightsUsedArgs {
    /// Audit logs to read; repeatable [default: what `make test` kept of its clusters']
    #[arg(long, value_name = "FILE")]
    audit: Vec<PathBuf>,
    /// The logs are not of all tests: say nothing of rights that nobody used
    #[arg(long)]
    partial: bool,
}

impl RightsUsedArgs {
    /// Reads the logs and compares.
    ///
    /// # Errors
    /// When a log can't be read, or something is not as it should be.
    pub fn run(&self) -> Result<()> {
        if self.audit.is_empty() {
            return check_kept(self.partial).map(drop);
        }
        compare(&self.audit, !self.partial)
    }
}

/// The cluster `name` of a test, with a log that [`keep`] can read afterwards. What was kept of an earlier run is removed.
///
/// # Errors
/// When that can't be removed.
pub(crate) fn watched(name: &str, nodes: Nodes) -> Result<Spec> {
    let kept = kept(name)?;
    if kept.exists() {
        std::fs::remove_file(&kept).with_context(|| format!("can't remove {}", kept.display()))?;
    }
    Ok(Spec {
        audit_log: true,
        ..Spec::new(name, nodes)
    })
}

/// Keeps what [`check_kept`] needs of the log of cluster `name`, which must still be up.
///
/// # Errors
/// When its log can't be read.
pub(crate) fn keep(name: &str) -> Result<()> {
    let logs = logs_in(&cluster_dir(name)?.join("logs"))?;
    if logs.is_empty() {
        // Not one that we made; it has its log elsewhere, or none.
        println!("cluster {name} has no audit log here: what its controllers did is not checked");
        return Ok(());
    }
    let kept = kept(name)?;
    let folder = kept.parent().context("the cache has no folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    // Whole or not at all: another command may be reading.
    let mut fresh = tempfile::NamedTempFile::new_in(folder)?;
    let named = named(&granted::all(&repo_root())?);
    let mut seen = BTreeSet::new();
    for log in logs {
        each(&log, &named, |request, line| {
            if seen.insert(request) {
                writeln!(fresh, "{line}")?;
            }
            Ok(())
        })?;
    }
    fresh.persist(&kept)?;
    Ok(())
}

/// Compares by what was kept of the tests' clusters; what nobody used is only told where all of them ran. Gives whether they did.
///
/// # Errors
/// When nothing was kept, or something is not as it should be.
pub(crate) fn check_kept(partial: bool) -> Result<bool> {
    let (mut there, mut missing) = (Vec::new(), Vec::new());
    for name in CLUSTERS {
        let kept = kept(name)?;
        if kept.exists() {
            there.push(kept);
        } else {
            missing.push(name);
        }
    }
    ensure!(
        !there.is_empty(),
        "no audit log was kept: run `make test` first, or name some with --audit"
    );
    if !missing.is_empty() {
        println!(
            "no log of {}: nothing is said of rights that nobody used",
            missing.join(", ")
        );
    }
    let complete = missing.is_empty() && !partial;
    compare(&there, complete)?;
    Ok(complete)
}

fn compare(logs: &[PathBuf], complete: bool) -> Result<()> {
    let root = repo_root();
    let (granted, exceptions) = (granted::all(&root)?, Exceptions::read(&root)?);
    let named = named(&granted);
    let mut requests = BTreeSet::new();
    for log in logs {
        each(log, &named, |request, _| {
            requests.insert(request);
            Ok(())
        })?;
    }
    let judgement = judge(&requests, &granted, &exceptions, complete);
    print(&judgement);
    if judgement.findings.is_empty() {
        return Ok(());
    }
    for finding in &judgement.findings {
        println!("{finding}");
    }
    bail!(
        "{} rights are not as they are used; they are in xtask/src/rbac, reasons in {}",
        judgement.findings.len(),
        exceptions::FILE
    );
}

fn print(judgement: &Judgement) {
    println!(
        "{:<24} {:>8} {:>6} {:>8}",
        "account", "granted", "used", "excused"
    );
    for (account, count) in &judgement.counts {
        println!(
            "{account:<24} {:>8} {:>6} {:>8}",
            count.granted, count.used, count.excused
        );
    }
}

/// Reads a log. Of an object's name only what a right may depend on is left, so that a million requests are a few hundred.
fn each(
    log: &Path,
    named: &BTreeSet<(String, String)>,
    mut take: impl FnMut(Request, &str) -> Result<()>,
) -> Result<()> {
    let file = File::open(log).with_context(|| format!("can't read {}", log.display()))?;
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line?;
        let place = || format!("{}, line {}", log.display(), number + 1);
        let Some(mut request) = audit::request(&line).with_context(place)? else {
            continue;
        };
        let kind = (request.right.group.clone(), request.right.resource.clone());
        if !named.contains(&kind) {
            request.right.name.clear();
        }
        take(request, &line)?;
    }
    Ok(())
}

/// Groups and resources of which somebody has a right with a name.
fn named(granted: &Granted) -> BTreeSet<(String, String)> {
    let grants = granted.values().flatten().filter(|grant| !grant.name.is_empty());
    grants
        .map(|grant| (grant.group.clone(), grant.resource.clone()))
        .collect()
}

/// The log and what was moved aside when it had grown.
fn logs_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut logs = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Ok(logs);
    };
    for entry in entries {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if name.starts_with("audit") && path.extension().is_some_and(|it| it == "log") {
            logs.push(path);
        }
    }
    logs.sort();
    Ok(logs)
}

fn kept(name: &str) -> Result<PathBuf> {
    Ok(cache_dir()?.join("rights").join(format!("{name}.log")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"verb":"VERB","user":{"username":"system:serviceaccount:a:pod-sync"},"objectRef":{"resource":"RESOURCE","apiGroup":"GROUP","name":"NAME"}}"#;

    fn line(verb: &str, group: &str, resource: &str, name: &str) -> String {
        let line = LINE.replace("VERB", verb).replace("RESOURCE", resource);
        line.replace("GROUP", group).replace("NAME", name)
    }

    fn read(text: &str) -> Result<Vec<String>> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), text)?;
        let named = BTreeSet::from([("coordination.k8s.io".to_owned(), "leases".to_owned())]);
        let mut read = Vec::new();
        each(file.path(), &named, |request, _| {
            read.push(request.right.to_string());
            Ok(())
        })?;
        Ok(read)
    }

    #[test]
    fn names_are_left_where_a_right_may_depend_on_them() {
        let text = [
            line("patch", "", "pods", "arena-0"),
            line("update", "coordination.k8s.io", "leases", "pod-sync-0"),
        ];
        assert_eq!(
            read(&text.join("\n")).unwrap(),
            ["patch pods", "update leases.coordination.k8s.io pod-sync-0"]
        );
    }

    #[test]
    fn a_line_that_is_no_event_is_named() {
        let error = read(&format!("{}\nnonsense\n", line("get", "", "pods", "a"))).unwrap_err();
        assert!(format!("{error:#}").contains("line 2"), "{error:#}");
    }

    #[test]
    fn logs_that_were_moved_aside_are_found_too() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "audit.log",
            "audit-2026-11-27T12-00-00.000.log",
            "kube-apiserver.log",
        ] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(logs_in(folder.path()).unwrap().len(), 2);
        assert_eq!(logs_in(&folder.path().join("none")).unwrap().len(), 0);
    }
}

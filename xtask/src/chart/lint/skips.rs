//! `e2e/lint/skips.yaml`: what is found and stays, each with its reason.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::Complaint;

/// Where it is.
pub(super) const FILE: &str = "e2e/lint/skips.yaml";

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Skips(Vec<Skip>);

/// A check that is not heeded.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Skip {
    /// `checkov` or `kube-score`.
    tool: String,
    /// Its name of the check.
    check: String,
    /// Objects, as KIND or KIND/NAME.
    objects: Vec<String>,
    /// The reason.
    why: String,
}

impl Skips {
    /// Reads the file.
    ///
    /// # Errors
    /// When it can't be read, or has an entry without a reason.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(root.join(FILE)).with_context(|| format!("can't read {FILE}"))?;
        Self::parse(&text).with_context(|| FILE.to_owned())
    }

    fn parse(text: &str) -> Result<Self> {
        let read: Self = serde_yaml::from_str(text)?;
        for skip in &read.0 {
            ensure!(!skip.why.trim().is_empty(), "{} has no reason", skip.check);
        }
        Ok(read)
    }

    /// The complaints without a reason, and the reasons for nothing.
    pub(super) fn apply<'a>(&self, complaints: &'a BTreeSet<Complaint>) -> (Vec<&'a Complaint>, Vec<String>) {
        let left = complaints
            .iter()
            .filter(|complaint| !self.0.iter().any(|skip| skip.is_about(complaint)));
        let mut stale = Vec::new();
        for skip in &self.0 {
            for object in &skip.objects {
                let hit = complaints
                    .iter()
                    .any(|complaint| skip.is_of(complaint) && is(object, &complaint.object));
                if !hit {
                    stale.push(format!("{} {} of {object}", skip.tool, skip.check));
                }
            }
        }
        (left.collect(), stale)
    }
}

impl Skip {
    fn is_of(&self, complaint: &Complaint) -> bool {
        (self.tool.as_str(), &self.check) == (complaint.tool, &complaint.check)
    }

    fn is_about(&self, complaint: &Complaint) -> bool {
        self.is_of(complaint) && self.objects.iter().any(|object| is(object, &complaint.object))
    }
}

/// Whether KIND or KIND/NAME is this object.
fn is(wanted: &str, object: &str) -> bool {
    wanted == object || object.split_once('/').is_some_and(|(kind, _)| kind == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::paths::repo_root;

    fn complaint(check: &str, object: &str) -> Complaint {
        Complaint {
            tool: "checkov",
            check: check.into(),
            object: object.into(),
            says: String::new(),
        }
    }

    #[test]
    fn a_reason_is_for_a_check_of_an_object_or_of_a_kind() {
        let skips = "- {tool: checkov, check: A, objects: [Deployment], why: x}\n- {tool: checkov, check: B, objects: [Deployment/a], why: x}\n";
        let skips = Skips::parse(skips).unwrap();
        let complaints = BTreeSet::from([
            complaint("A", "Deployment/a"),
            complaint("A", "Deployment/b"),
            complaint("B", "Deployment/a"),
            complaint("B", "Deployment/b"),
            complaint("A", "DaemonSet/a"),
        ]);
        let (left, stale) = skips.apply(&complaints);
        let left: Vec<String> = left
            .iter()
            .map(|it| format!("{} {}", it.check, it.object))
            .collect();
        assert_eq!(
            (left.join(", "), stale.len()),
            ("A DaemonSet/a, B Deployment/b".into(), 0)
        );
        let (_, stale) = skips.apply(&BTreeSet::from([complaint("A", "Deployment/b")]));
        assert_eq!(stale, ["checkov B of Deployment/a"]);
    }

    #[test]
    fn a_reason_is_asked_for() {
        assert!(Skips::parse("- {tool: checkov, check: A, objects: [Pod], why: \"\"}").is_err());
        assert!(Skips::read(&repo_root()).is_ok());
    }
}

//! `e2e/rights.yaml`: what is granted and can't be seen to be used, and what is refused on purpose, each with its reason.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// Where it is.
pub(super) const FILE: &str = "e2e/rights.yaml";

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exceptions {
    /// Granted, and not used in any run.
    pub(super) unused: Vec<Entry>,
    /// Granted, and used in some runs only.
    pub(super) seldom: Vec<Entry>,
    /// Tried by a test on purpose, and refused.
    pub(super) refused: Vec<Entry>,
}

/// Rights of accounts, and a reason for all of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// Names of accounts.
    pub(super) accounts: Vec<String>,
    /// As [`crate::rbac::Grant`] is written.
    pub(super) rights: Vec<String>,
    /// The reason.
    why: String,
}

/// Reasons by account and right.
pub(super) type Reasons<'a> = BTreeMap<(&'a str, &'a str), &'a str>;

impl Exceptions {
    /// Reads the file.
    ///
    /// # Errors
    /// When it can't be read, or has an entry without a reason.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(root.join(FILE)).with_context(|| format!("can't read {FILE}"))?;
        Self::parse(&text).with_context(|| FILE.to_owned())
    }

    /// Reads the file's text.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) fn parse(text: &str) -> Result<Self> {
        let read: Self = serde_yaml::from_str(text)?;
        let all = [&read.unused, &read.seldom, &read.refused];
        for entry in all.into_iter().flatten() {
            ensure!(!entry.why.trim().is_empty(), "{:?} has no reason", entry.rights);
        }
        Ok(read)
    }
}

/// The entries' reasons, by account and right.
pub(super) fn reasons(entries: &[Entry]) -> Reasons<'_> {
    let mut reasons = Reasons::new();
    for entry in entries {
        for account in &entry.accounts {
            for right in &entry.rights {
                reasons.insert((account.as_str(), right.as_str()), entry.why.trim());
            }
        }
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::paths::repo_root;

    #[test]
    fn a_reason_is_for_each_right_of_each_account() {
        let text =
            "unused:\n- {accounts: [a, b], rights: [get x, list x], why: because}\nseldom: []\nrefused: []\n";
        let read = Exceptions::parse(text).unwrap();
        let reasons = reasons(&read.unused);
        assert_eq!(reasons.len(), 4);
        assert_eq!(reasons[&("b", "get x")], "because");
    }

    #[test]
    fn an_entry_without_a_reason_is_refused() {
        let text = "unused:\n- {accounts: [a], rights: [get x], why: \" \"}\nseldom: []\nrefused: []\n";
        assert!(Exceptions::parse(text).is_err());
        assert!(
            Exceptions::parse("unused:\n- {accounts: [a], rights: [get x]}\nseldom: []\nrefused: []\n")
                .is_err()
        );
    }

    #[test]
    fn the_file_of_the_repository_can_be_read() {
        assert!(!Exceptions::read(&repo_root()).unwrap().unused.is_empty());
    }
}

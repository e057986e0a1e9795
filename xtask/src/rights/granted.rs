//! What each account may do: those of `xtask/src/rbac`, and the roles that the documentation of `kubectl gs` has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize as _;
use serde_json::Value;

use crate::rbac::{self, Grant};

const KUBECTL_GS: &str = "docs/kubectl-gs.md";

/// Rights by the name of an account.
pub(super) type Granted = BTreeMap<String, BTreeSet<Grant>>;

/// Every account's rights.
///
/// # Errors
/// When the documentation can't be read, or has no roles.
pub(super) fn all(root: &Path) -> Result<Granted> {
    let names = rbac::names();
    let mut all: Granted = names
        .map(|name| (name.to_owned(), rbac::of_account(name, true)))
        .collect();
    let text = std::fs::read_to_string(root.join(KUBECTL_GS)).with_context(|| KUBECTL_GS.to_owned())?;
    all.extend(documented(&text).with_context(|| KUBECTL_GS.to_owned())?);
    Ok(all)
}

/// The roles of a page's YAML, by their names.
fn documented(page: &str) -> Result<Granted> {
    let mut roles = Granted::new();
    let blocks = page.split("```yaml\n").skip(1);
    for block in blocks.filter_map(|rest| rest.split("```").next()) {
        for document in serde_yaml::Deserializer::from_str(block) {
            let role = Value::deserialize(document)?;
            if role["kind"] == "Role" || role["kind"] == "ClusterRole" {
                let name = role["metadata"]["name"].as_str().unwrap_or_default();
                roles.insert(name.to_owned(), rbac::grants(std::iter::once(&role["rules"])));
            }
        }
    }
    ensure!(!roles.is_empty(), "no role is documented");
    Ok(roles)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::paths::repo_root;

    #[test]
    fn controllers_and_documented_roles_have_rights() {
        let all = all(&repo_root()).unwrap();
        for name in ["pod-sync", "migrate", "gs-viewer", "gs-allocator"] {
            assert!(!all[name].is_empty(), "{name}");
        }
    }

    #[test]
    fn a_page_without_roles_is_a_mistake() {
        assert!(documented("```yaml\nkind: Pod\n```").is_err());
    }
}

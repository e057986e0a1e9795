//! `cargo xtask gen-rbac`: what each controller may do, said once, written to `e2e/rbac/`, to the chart and to `docs/rights.md`.

mod accounts;
mod migrate;
mod model;
mod page;
mod render;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use crate::cluster::paths::repo_root;
use crate::generated::Files;

/// Where the chart has its rules.
const CHART: &str = "charts/gamekeeper/files/rbac.yaml";
/// Where people read it.
const PAGE: &str = "docs/rights.md";

/// Flags of `cargo xtask gen-rbac`.
#[derive(Debug, clap::Args)]
pub struct GenRbacArgs {
    /// Write nothing; fail when a file is not what would be written
    #[arg(long)]
    check: bool,
}

impl GenRbacArgs {
    /// Writes or checks, as the flags say.
    ///
    /// # Errors
    /// As [`run`].
    pub fn run(&self) -> Result<()> {
        run(self.check)
    }
}

/// Writes the manifests and the chart's rules; with `check`, compares instead of writing.
///
/// # Errors
/// With `check`, when a file differs: one line that names the first such file.
pub fn run(check: bool) -> Result<()> {
    files().write_or_check(&repo_root(), check, "gen-rbac")
}

/// One thing that somebody may do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Grant {
    /// API group.
    pub(crate) group: String,
    /// Plural name, with a subresource behind a slash.
    pub(crate) resource: String,
    /// What may be done.
    pub(crate) verb: String,
    /// With which object; empty for all.
    pub(crate) name: String,
}

/// `VERB RESOURCE.GROUP/SUBRESOURCE NAME`; without the group where it is the core, and without a name where it is for all.
impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (resource, part) = self.resource.split_once('/').unwrap_or((&self.resource, ""));
        write!(f, "{} {resource}", self.verb)?;
        for (before, word) in [(".", self.group.as_str()), ("/", part), (" ", &self.name)] {
            if !word.is_empty() {
                write!(f, "{before}{word}")?;
            }
        }
        Ok(())
    }
}

/// Names of all accounts.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    accounts::ALL.iter().map(|account| account.name)
}

/// All that lists of rules allow, as roles have them.
pub(crate) fn grants<'a>(lists: impl Iterator<Item = &'a Value>) -> BTreeSet<Grant> {
    let words = |value: &Value| -> Vec<String> {
        let list = value.as_array().into_iter().flatten();
        list.filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let mut all = BTreeSet::new();
    for rule in lists.filter_map(Value::as_array).flatten() {
        let mut names = words(&rule["resourceNames"]);
        if names.is_empty() {
            names.push(String::new());
        }
        for group in words(&rule["apiGroups"]) {
            for resource in words(&rule["resources"]) {
                for verb in words(&rule["verbs"]) {
                    all.extend(names.iter().map(|name| Grant {
                        group: group.clone(),
                        resource: resource.clone(),
                        verb: verb.clone(),
                        name: name.clone(),
                    }));
                }
            }
        }
    }
    all
}

/// All that account `name` may do; of game-api also what it may with tokens.
pub(crate) fn of_account(name: &str, tokens: bool) -> BTreeSet<Grant> {
    let roles = accounts::ALL
        .iter()
        .filter(|account| account.name == name)
        .flat_map(|account| account.roles);
    let rules = roles
        .filter(|role| tokens || role.suffix != "-tokens")
        .flat_map(|role| role.rules);
    let as_value = |rule: &model::Rule| {
        serde_json::json!([{
            "apiGroups": [rule.group],
            "resources": rule.resources,
            "resourceNames": rule.names,
            "verbs": rule.verbs,
        }])
    };
    let lists: Vec<Value> = rules.map(as_value).collect();
    grants(lists.iter())
}

fn files() -> Files {
    let mut files = Files::default();
    for account in &accounts::ALL {
        let path = Path::new("e2e/rbac").join(format!("{}.yaml", account.name));
        files.add(path, render::manifest(account));
    }
    files.add(CHART, render::chart(&accounts::ALL));
    files.add(PAGE, page::render(&accounts::ALL));
    files.only_in("e2e/rbac");
    files
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;

    use super::*;
    use model::{Account, Scope};

    fn documents(account: &Account) -> Vec<Value> {
        let text = render::manifest(account);
        serde_yaml::Deserializer::from_str(&text)
            .map(|document| Value::deserialize(document).unwrap())
            .collect()
    }

    #[test]
    fn a_right_is_written_as_kubectl_writes_it() {
        let grant = |group: &str, resource: &str, name: &str| Grant {
            group: group.into(),
            resource: resource.into(),
            verb: "get".into(),
            name: name.into(),
        };
        assert_eq!(grant("", "pods/exec", "").to_string(), "get pods/exec");
        let scale = grant("game.kruise.io", "gameserversets/scale", "arena");
        assert_eq!(scale.to_string(), "get gameserversets.game.kruise.io/scale arena");
    }

    #[test]
    fn the_chart_grants_what_the_manifests_grant() {
        let chart: Value = serde_yaml::from_str(&render::chart(&accounts::ALL)).unwrap();
        for account in accounts::ALL.iter().filter(|account| account.bound) {
            let of_manifest = grants(documents(account).iter().map(|document| &document["rules"]));
            let of_chart = grants(chart[account.name].as_object().unwrap().values());
            assert_eq!(of_manifest, of_chart, "{}", account.name);
            assert_eq!(of_manifest, of_account(account.name, true), "{}", account.name);
        }
    }

    #[test]
    fn every_role_is_bound_to_the_account_that_is_there() {
        for account in accounts::ALL.iter().filter(|account| account.bound) {
            let documents = documents(account);
            let of_kind = |kind: &str| -> Vec<&Value> {
                documents
                    .iter()
                    .filter(|document| document["kind"] == kind)
                    .collect()
            };
            assert_eq!(of_kind("ServiceAccount")[0]["metadata"]["name"], account.name);
            for kind in ["ClusterRole", "Role"] {
                let bindings = of_kind(&format!("{kind}Binding"));
                assert_eq!(bindings.len(), of_kind(kind).len(), "{}", account.name);
                for (role, binding) in of_kind(kind).iter().zip(&bindings) {
                    assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);
                    assert_eq!(binding["roleRef"]["kind"], kind);
                    assert_eq!(binding["subjects"][0]["name"], account.name);
                }
            }
        }
    }

    /// What no controller of ours may ever be given.
    #[test]
    fn nobody_may_do_anything_that_leads_to_more() {
        for account in &accounts::ALL {
            for rule in account.roles.iter().flat_map(|role| role.rules) {
                let words = [&[rule.group], rule.resources, rule.verbs].concat();
                for word in [
                    "*",
                    "secrets",
                    "serviceaccounts",
                    "roles",
                    "clusterroles",
                    "escalate",
                    "bind",
                    "impersonate",
                ] {
                    assert!(!words.contains(&word), "{} has {word}", account.name);
                }
                let shell = rule.resources.contains(&"pods/exec");
                assert!(
                    !shell || account.name == "quality-prober-central",
                    "{} may exec",
                    account.name
                );
            }
        }
    }

    #[test]
    fn what_counts_in_the_own_namespace_is_about_leases_and_records() {
        let own = accounts::ALL.iter().flat_map(|account| account.roles);
        for rule in own
            .filter(|role| role.scope == Scope::Own)
            .flat_map(|role| role.rules)
        {
            assert!(["leases", "configmaps"].contains(&rule.resources[0]), "{rule:?}");
        }
    }

    #[test]
    fn a_node_is_asked_for_in_the_whole_cluster_always_and_a_volume_only_without_namespaces() {
        let named = |name: &str| accounts::ALL.iter().find(|account| account.name == name).unwrap();
        let of = |name: &str, part: &str| -> Vec<&'static str> {
            let parts = render::parts(named(name));
            let (_, rules) = parts.iter().find(|(name, _)| *name == part).unwrap();
            rules.iter().flat_map(|rule| rule.resources.clone()).collect()
        };
        assert_eq!(of("node-watcher", "always"), ["nodes"]);
        assert_eq!(of("gs-controller", "unlimited"), ["persistentvolumes"]);
        assert!(of("gs-controller", "namespaced").contains(&"persistentvolumeclaims"));
        assert_eq!(of("game-api", "tokens"), ["tokenreviews"]);
        assert!(of("game-api", "always").is_empty());
    }
}

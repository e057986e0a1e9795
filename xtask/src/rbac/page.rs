//! `docs/rights.md`: what each account may do, for people who have to decide whether it may.

use std::fmt::Write as _;

use super::model::{Account, Role, Rule, Scope, When, when};

const INTRODUCTION: &str = "\
<!-- Written by `cargo xtask gen-rbac` from xtask/src/rbac; edit the accounts there, not this file. -->

# What each ServiceAccount may do

The same data makes [e2e/rbac](../e2e/rbac) and the chart's roles, and the tests of each controller run with exactly these. No account may read Secrets, use wildcards,
or do anything that leads to more rights. [security.md](security.md) says what it means when one of them is stolen.

| where | means |
|---|---|
| servers | where game servers are: the whole cluster, or the chart's `namespaces` |
| own | the controllers' own namespace |
| cluster | the whole cluster always, for the kind is in no namespace |
| cluster\\* | the same, and not at all where `namespaces` are named |
";

/// The page.
pub(super) fn render(accounts: &[Account]) -> String {
    let mut text = INTRODUCTION.to_owned();
    for account in accounts {
        section(&mut text, account);
    }
    text
}

fn section(text: &mut String, account: &Account) {
    let head = account.head.split("\n\n").next().unwrap_or_default();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "\n## {}\n\n{}\n\n| where | kind | verbs | why |\n|---|---|---|---|\n",
        account.name,
        one_line(head)
    );
    for role in account.roles {
        for rule in role.rules {
            rows(text, role, rule);
        }
    }
}

/// A row for each place in which the rule counts.
fn rows(text: &mut String, role: &Role, rule: &Rule) {
    let mut places: Vec<(&str, Vec<&str>)> = Vec::new();
    for resource in rule.resources {
        let place = match (role.scope, when(resource)) {
            (Scope::Own, _) => "own",
            (Scope::GameServers, When::Namespaced) => "servers",
            (Scope::GameServers, When::Always) => "cluster",
            (Scope::GameServers, When::Unlimited) => "cluster\\*",
        };
        match places.iter_mut().find(|(known, _)| *known == place) {
            Some((_, resources)) => resources.push(resource),
            None => places.push((place, vec![resource])),
        }
    }
    for (place, resources) in places {
        let group = match rule.group {
            "" => String::new(),
            group => format!(" ({group})"),
        };
        let names = match rule.names {
            [] => String::new(),
            names => format!(" named {}", names.join(", ")),
        };
        let why = if rule.why.is_empty() { role.why } else { rule.why };
        let _ = writeln!(
            text,
            "| {place} | {}{group}{names} | {} | {} |",
            resources.join(", "),
            rule.verbs.join(", "),
            one_line(why)
        );
    }
}

fn one_line(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::super::accounts::ALL;
    use super::*;

    #[test]
    fn every_right_of_every_account_has_its_row() {
        let page = render(&ALL);
        for account in &ALL {
            let section = page.split(&format!("\n## {}\n", account.name)).nth(1).unwrap();
            let section = section.split("\n## ").next().unwrap();
            for rule in account.roles.iter().flat_map(|role| role.rules) {
                for resource in rule.resources {
                    let row = section.lines().find(|row| {
                        let kind = row.split('|').nth(2).unwrap_or_default();
                        kind.split([' ', ',']).any(|word| word == *resource)
                            && rule.verbs.iter().all(|verb| row.contains(verb))
                    });
                    assert!(row.is_some(), "{}: {resource}", account.name);
                }
            }
        }
    }

    #[test]
    fn kinds_of_no_namespace_are_told_apart() {
        let page = render(&ALL);
        assert!(page.contains("| cluster | nodes | list, watch |"));
        assert!(page.contains("| cluster\\* | persistentvolumes | list, watch |"));
        assert!(page.contains("| servers | persistentvolumeclaims | list, watch |"));
        assert!(
            page.contains("| own | leases (coordination.k8s.io) named gs-controller | get, update, watch |")
        );
    }
}

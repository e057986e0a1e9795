//! From what accounts may do to the files that say it.

use super::model::{Account, Role, Rule, Scope, When, when};

/// Namespace of the accounts in `e2e/rbac`.
const NAMESPACE: &str = "gamekeeper-system";
const API: &str = "apiVersion: rbac.authorization.k8s.io/v1";

/// The manifest that gives `account` its rights in the whole cluster.
pub(super) fn manifest(account: &Account) -> String {
    let mut text = comment(account.head, "");
    let mut documents = Vec::new();
    if account.bound {
        documents.push(format!(
            "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: {}\n  namespace: {NAMESPACE}\n",
            account.name
        ));
    }
    let of = |scope| account.roles.iter().filter(move |role| role.scope == scope);
    documents.extend(of(Scope::GameServers).map(|role| role_document(account, role)));
    if account.bound {
        documents.extend(of(Scope::GameServers).map(|role| binding_document(account, role)));
    }
    for role in of(Scope::Own) {
        documents.push(role_document(account, role));
        documents.push(binding_document(account, role));
    }
    text.push_str(&documents.join("---\n"));
    text
}

fn role_document(account: &Account, role: &Role) -> String {
    let (kind, name, namespace) = identity(account, role);
    let why = comment(role.why, "");
    let rules: String = role.rules.iter().map(|rule| rule_text(rule, "  ")).collect();
    format!("{why}{API}\nkind: {kind}\nmetadata:\n  name: {name}\n{namespace}rules:\n{rules}")
}

fn binding_document(account: &Account, role: &Role) -> String {
    let (kind, name, namespace) = identity(account, role);
    format!(
        "{API}\nkind: {kind}Binding\nmetadata:\n  name: {name}\n{namespace}roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  \
         kind: {kind}\n  name: {name}\nsubjects:\n  - kind: ServiceAccount\n    name: {}\n    namespace: {NAMESPACE}\n",
        account.name
    )
}

/// Kind, name, and the line with the namespace if it has one.
fn identity(account: &Account, role: &Role) -> (&'static str, String, String) {
    let name = format!("{}{}", account.name, role.suffix);
    match role.scope {
        Scope::GameServers => ("ClusterRole", format!("gamekeeper-{name}"), String::new()),
        Scope::Own => ("Role", name, format!("  namespace: {NAMESPACE}\n")),
    }
}

/// What the chart makes roles of: for each account its rules by where and when they are needed.
pub(super) fn chart(accounts: &[Account]) -> String {
    let mut text = "# Written by `cargo xtask gen-rbac` from xtask/src/rbac; edit that, not this file.\n#\n\
        # namespaced  a Role in each of `namespaces`; a ClusterRole where there are none\n\
        # unlimited   a ClusterRole, only where there are no `namespaces`\n\
        # always      a ClusterRole\n\
        # tokens      a ClusterRole, only for game-api with tokens\n\
        # own         a Role in the namespace of the release\n"
        .to_owned();
    let bound = accounts.iter().filter(|account| account.bound);
    text.extend(bound.map(chart_account));
    text
}

fn chart_account(account: &Account) -> String {
    let part = |(part, rules): (&str, Vec<Part>)| match rules.as_slice() {
        [] => format!("  {part}: []\n"),
        rules => {
            let rules: String = rules.iter().map(|rule| part_text(rule, "    ")).collect();
            format!("  {part}:\n{rules}")
        }
    };
    let parts: String = parts(account).into_iter().map(part).collect();
    format!("{}:\n{parts}", account.name)
}

/// A rule's resources of one kind of scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    rule: Rule,
    pub(super) resources: Vec<&'static str>,
}

/// An account's rules by where and when they are needed.
pub(super) fn parts(account: &Account) -> [(&'static str, Vec<Part>); 5] {
    let of = |suffix: &str, scope: Scope, wanted: Option<When>| -> Vec<Part> {
        let chosen = account
            .roles
            .iter()
            .filter(|role| role.scope == scope && (role.suffix == "-tokens") == (suffix == "-tokens"));
        let parts = chosen.flat_map(|role| role.rules).map(|rule| {
            let fits = |resource: &&'static str| wanted.is_none_or(|wanted| when(resource) == wanted);
            Part {
                rule: *rule,
                resources: rule.resources.iter().copied().filter(fits).collect(),
            }
        });
        parts.filter(|part| !part.resources.is_empty()).collect()
    };
    [
        ("namespaced", of("", Scope::GameServers, Some(When::Namespaced))),
        ("unlimited", of("", Scope::GameServers, Some(When::Unlimited))),
        ("always", of("", Scope::GameServers, Some(When::Always))),
        ("tokens", of("-tokens", Scope::GameServers, None)),
        ("own", of("", Scope::Own, None)),
    ]
}

fn part_text(part: &Part, indent: &str) -> String {
    text_of(&part.rule, &part.resources, indent)
}

fn rule_text(rule: &Rule, indent: &str) -> String {
    text_of(rule, rule.resources, indent)
}

fn text_of(rule: &Rule, resources: &[&str], indent: &str) -> String {
    let group = if rule.group.is_empty() { "\"\"" } else { rule.group };
    let names = match rule.names {
        [] => String::new(),
        names => format!("{indent}  resourceNames: [{}]\n", names.join(", ")),
    };
    format!(
        "{}{indent}- apiGroups: [{group}]\n{indent}  resources: [{}]\n{names}{indent}  verbs: [{}]\n",
        comment(rule.why, indent),
        resources.join(", "),
        rule.verbs.join(", ")
    )
}

fn comment(text: &str, indent: &str) -> String {
    let line = |line: &str| match line {
        "" => format!("{indent}#\n"),
        line => format!("{indent}# {line}\n"),
    };
    text.lines().map(line).collect()
}

//! What an account may do, as data.

/// One rule of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Why it is needed; lines of a comment.
    pub(crate) why: &'static str,
    /// API group; empty for the core.
    pub(crate) group: &'static str,
    /// Plural names, with a subresource behind a slash.
    pub(crate) resources: &'static [&'static str],
    /// What may be done with them.
    pub(crate) verbs: &'static [&'static str],
    /// Objects it is limited to; none for all.
    pub(crate) names: &'static [&'static str],
}

impl Rule {
    /// A rule for all objects of these kinds.
    pub(crate) const fn new(
        why: &'static str,
        group: &'static str,
        resources: &'static [&'static str],
        verbs: &'static [&'static str],
    ) -> Self {
        Self {
            why,
            group,
            resources,
            verbs,
            names: &[],
        }
    }

    /// The same for objects of these names alone.
    pub(crate) const fn named(mut self, names: &'static [&'static str]) -> Self {
        self.names = names;
        self
    }
}

/// Where a role counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Where game servers are: the whole cluster, or the namespaces a controller is limited to.
    GameServers,
    /// In the controllers' own namespace.
    Own,
}

/// A role and the account it is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Role {
    /// What its name has behind the account's.
    pub(crate) suffix: &'static str,
    /// A comment above it.
    pub(crate) why: &'static str,
    /// Where it counts.
    pub(crate) scope: Scope,
    /// What it allows.
    pub(crate) rules: &'static [Rule],
}

/// A ServiceAccount and all it may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    /// Its name, and its file's.
    pub(crate) name: &'static str,
    /// Comment at the head of its file.
    pub(crate) head: &'static str,
    /// Whether the ServiceAccount is made and bound; a role for people is bound by hand.
    pub(crate) bound: bool,
    /// Its roles.
    pub(crate) roles: &'static [Role],
}

/// When a right in the whole cluster is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum When {
    /// In the namespaces of game servers, or in the whole cluster where the controllers are not limited to some.
    Namespaced,
    /// In the whole cluster, and not at all where the controllers are limited to namespaces.
    Unlimited,
    /// In the whole cluster always.
    Always,
}

/// Kinds that are in no namespace, and when they are needed.
const CLUSTER_SCOPED: [(&str, When); 3] = [
    ("nodes", When::Always),
    ("tokenreviews", When::Always),
    // Without them the condition PersistentVolumeNormal rests on the claims.
    ("persistentvolumes", When::Unlimited),
];

/// When a right on `resource` is needed.
pub(crate) fn when(resource: &str) -> When {
    CLUSTER_SCOPED
        .iter()
        .find(|(name, _)| *name == resource)
        .map_or(When::Namespaced, |(_, when)| *when)
}

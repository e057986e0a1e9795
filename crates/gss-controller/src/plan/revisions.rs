//! The history of a set's template: which revision is wanted, which one new Pods under a partition get, what is stored, bumped
//! and trimmed.
//!
//! `docs/adr/0010-revisions-and-their-comparison.md` says what "equal" means and why names are kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    build::{revision::revision_name, template::Template},
    views::{RevisionView, StoredTemplate},
};

/// How many revisions are kept beside those in use, as StatefulSets keep by default.
pub const HISTORY_LIMIT: usize = 10;
/// Names tried for one template before giving up until a name becomes free.
const MAX_ATTEMPTS: u32 = 100;

/// What a decision about revisions rests on.
#[derive(Debug, Clone)]
pub struct RevisionInput<'a> {
    /// The set's name.
    pub set: &'a str,
    /// The set's template as it is now.
    pub template: &'a Template,
    /// The set's own ControllerRevisions.
    pub stored: &'a BTreeMap<String, Arc<RevisionView>>,
    /// Names that other objects have taken.
    pub taken: &'a BTreeSet<String>,
    /// `status.currentRevision` and `status.updateRevision`.
    pub before: (Option<&'a str>, Option<&'a str>),
    /// The revision named by each of the set's Pods that are not terminating.
    pub of_pods: &'a [&'a str],
}

/// A revision that Pods are made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// Name of the ControllerRevision, and the Pods' label.
    pub name: String,
    /// What Pods of it are made from.
    pub template: Arc<Template>,
}

/// What is to be known and done about a set's revisions.
#[derive(Debug, Clone, PartialEq)]
pub struct Revisions {
    /// The revision every Pod is to have in the end.
    pub update: Named,
    /// The revision that the Pods a partition holds back have.
    pub current: Named,
    /// Names of revisions that mean the same as `update`, itself included.
    pub equal: BTreeSet<String>,
    /// Writes, in this order.
    pub steps: Vec<RevisionStep>,
}

/// A write to a ControllerRevision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevisionStep {
    /// Store the update revision.
    Create {
        /// Its place in the history.
        number: i64,
    },
    /// An older revision is wanted again: it becomes the latest.
    Bump {
        /// Its name.
        name: String,
        /// Its UID.
        uid: String,
        /// The version the decision was made from.
        resource_version: String,
        /// Its new place in the history.
        number: i64,
    },
    /// Nothing needs it any more.
    Trim {
        /// Its name.
        name: String,
        /// Its UID.
        uid: String,
    },
}

impl Revisions {
    /// Whether a Pod with this revision label is as the set wants it.
    pub fn is_update(&self, label: Option<&str>) -> bool {
        label.is_some_and(|label| self.equal.contains(label))
    }
}

/// Decides about revisions.
pub fn plan(input: &RevisionInput<'_>) -> Revisions {
    let wanted = StoredTemplate::of(input.template);
    let same = |found: &RevisionView| {
        found
            .stored
            .as_ref()
            .is_some_and(|stored| stored.canonical == wanted.canonical)
    };
    let mut equal: BTreeSet<String> = input
        .stored
        .iter()
        .filter(|(_, found)| same(found))
        .map(|(name, _)| name.clone())
        .collect();
    let latest = input
        .stored
        .values()
        .map(|found| found.revision)
        .max()
        .unwrap_or(0);
    let mut steps = Vec::new();
    let name = if let Some(found) = chosen(input, &equal) {
        let others = input.stored.iter().filter(|(name, _)| !equal.contains(*name));
        if others.map(|(_, other)| other.revision).max() >= Some(found.revision) {
            steps.push(RevisionStep::Bump {
                name: found.metadata.name.clone(),
                uid: found.metadata.uid.clone(),
                resource_version: found.metadata.resource_version.clone(),
                number: latest + 1,
            });
        }
        found.metadata.name.clone()
    } else {
        steps.push(RevisionStep::Create { number: latest + 1 });
        free_name(input, &wanted.canonical)
    };
    equal.insert(name.clone());
    let update = Named {
        name,
        template: Arc::new(input.template.clone()),
    };
    let current = current(input, &update, &equal);
    steps.extend(trim(input, &update, &current));
    Revisions {
        update,
        current,
        equal,
        steps,
    }
}

/// A name for a new revision: another one where a different template, or somebody else's object, has the first.
fn free_name(input: &RevisionInput<'_>, canonical: &str) -> String {
    let free = |name: &String| !input.stored.contains_key(name) && !input.taken.contains(name);
    let named = |attempt| revision_name(input.set, canonical, attempt);
    (0..MAX_ATTEMPTS)
        .map(named)
        .find(free)
        .unwrap_or_else(|| named(MAX_ATTEMPTS))
}

/// The stored revision that stands for the set's template: the one in use before, else the latest.
fn chosen<'a>(input: &'a RevisionInput<'_>, equal: &BTreeSet<String>) -> Option<&'a Arc<RevisionView>> {
    let candidates = equal.iter().filter_map(|name| input.stored.get(name));
    candidates.max_by_key(|found| {
        let in_use = input.before.1 == Some(found.metadata.name.as_str());
        (in_use, found.revision, &found.metadata.name)
    })
}

/// The revision that has not been left behind yet: the one the status names, while it is known. Without a status (a restored
/// backup), the one most Pods have.
fn current(input: &RevisionInput<'_>, update: &Named, equal: &BTreeSet<String>) -> Named {
    let known = |name: &str| {
        let template = input.stored.get(name)?.stored.as_ref()?.template()?;
        Some(Named {
            name: name.to_owned(),
            template: Arc::new(template),
        })
    };
    if let Some(before) = input.before.0 {
        if equal.contains(before) {
            return update.clone();
        }
        if let Some(named) = known(before) {
            return named;
        }
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in input.of_pods.iter().filter(|name| !equal.contains(**name)) {
        *counts.entry(name).or_default() += 1;
    }
    let most = counts
        .into_iter()
        .filter(|(name, _)| input.stored.contains_key(*name))
        .max_by_key(|(_, count)| *count);
    most.and_then(|(name, _)| known(name))
        .unwrap_or_else(|| update.clone())
}

/// The oldest revisions beyond the limit that neither the set nor any Pod names.
fn trim(input: &RevisionInput<'_>, update: &Named, current: &Named) -> Vec<RevisionStep> {
    let live: BTreeSet<&str> = input
        .of_pods
        .iter()
        .copied()
        .chain([update.name.as_str(), current.name.as_str()])
        .collect();
    let mut idle: Vec<_> = input
        .stored
        .values()
        .filter(|found| !live.contains(found.metadata.name.as_str()))
        .collect();
    idle.sort_by_key(|found| (found.revision, found.metadata.name.clone()));
    let surplus = idle.len().saturating_sub(HISTORY_LIMIT);
    idle.into_iter()
        .take(surplus)
        .map(|found| RevisionStep::Trim {
            name: found.metadata.name.clone(),
            uid: found.metadata.uid.clone(),
        })
        .collect()
}

#[cfg(test)]
#[path = "revisions_tests.rs"]
mod tests;

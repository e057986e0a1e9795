//! What a list says about a store that may have missed changes.

use std::collections::HashSet;

use super::Watched;
use super::frame::Decoded;
use super::sink::Sink;
use crate::key::ObjectKey;

/// A list being taken, page by page. Dropping it halfway leaves a store in which every object is true by
/// itself; only the missing ones are not known to be missing yet.
pub(super) struct Relist<'a, T> {
    sink: &'a Sink<T>,
    /// The namespace listed; empty for all.
    namespace: &'a str,
    seen: HashSet<ObjectKey>,
}

impl<'a, T: Watched> Relist<'a, T> {
    pub(super) fn new(sink: &'a Sink<T>, namespace: &'a str) -> Self {
        Self {
            sink,
            namespace,
            seen: HashSet::new(),
        }
    }

    /// Takes in one object of the list: told to handlers only when it is not the version held.
    pub(super) fn item(&mut self, item: Decoded<T>) {
        match item {
            Decoded::Object(object) => {
                let key = ObjectKey::of(object.meta());
                let known = self.sink.store.get(&key).is_some_and(|held| {
                    held.meta().uid == object.meta().uid
                        && held.meta().resource_version == object.meta().resource_version
                });
                if !known {
                    self.sink.applied(object);
                }
                self.seen.insert(key);
            }
            Decoded::Malformed(identity, reason) => {
                self.seen.insert(identity.key());
                self.sink.malformed(&identity, &reason);
            }
        }
    }

    /// The list is complete: what it did not show is gone.
    pub(super) fn finish(self) {
        if crate::bug::active("no-deletes-after-relist") {
            return;
        }
        let in_scope = |key: &ObjectKey| self.namespace.is_empty() || &*key.namespace == self.namespace;
        for key in self.sink.store.keys() {
            if in_scope(&key) && !self.seen.contains(&key) {
                self.sink.deleted(&key, None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use api_types::views::Meta;
    use proptest::prelude::*;

    use super::super::frame::Identity;
    use super::super::{Change, OnChange, OnMalformed};
    use super::*;
    use crate::resource::{POD, ResourceKind};
    use crate::store::Store;

    #[derive(serde::Deserialize, Debug)]
    struct Thing {
        metadata: Meta,
    }

    impl Watched for Thing {
        const RESOURCE: ResourceKind = POD;

        fn meta(&self) -> &Meta {
            &self.metadata
        }
    }

    /// UID and version of an object; names are small numbers, namespaces `even` and `odd`.
    type Objects = BTreeMap<u8, (u8, u8)>;
    /// `None` stands for a malformed object of that UID.
    type Listed = BTreeMap<u8, (u8, Option<u8>)>;

    fn key(name: u8) -> ObjectKey {
        ObjectKey::new(
            if name.is_multiple_of(2) { "even" } else { "odd" },
            name.to_string(),
        )
    }

    fn thing(name: u8, (uid, version): (u8, u8)) -> Thing {
        let metadata = Meta {
            name: name.to_string(),
            namespace: key(name).namespace.to_string(),
            uid: uid.to_string(),
            resource_version: version.to_string(),
            ..Meta::default()
        };
        Thing { metadata }
    }

    /// One line a change: what handlers are told, sorted by name.
    fn told(change: &Change<Thing>) -> (u8, String) {
        let meta = change.object().meta();
        let name = meta.name.parse().unwrap();
        let version = format!("{}@{}", meta.uid, meta.resource_version);
        match change {
            Change::Applied { old: None, .. } => (name, format!("new {version}")),
            Change::Applied { old: Some(_), .. } => (name, format!("changed {version}")),
            Change::Deleted(_) => (name, format!("deleted {version}")),
        }
    }

    /// What a list has to lead to, name by name, stated without any bookkeeping.
    fn brute_force(held: &Objects, listed: &Listed, scope: &str) -> (Objects, BTreeMap<u8, Vec<String>>) {
        let (mut after, mut changes) = (Objects::new(), BTreeMap::new());
        for name in 0..8_u8 {
            let in_scope = scope.is_empty() || &*key(name).namespace == scope;
            let before = held.get(&name).copied();
            let now = listed.get(&name).copied().filter(|_| in_scope);
            let deleted = |(uid, version): (u8, u8)| format!("deleted {uid}@{version}");
            let (object, lines) = match (before, now) {
                (before, _) if !in_scope => (before, vec![]),
                (None, None | Some((_, None))) => (None, vec![]),
                (Some(old), Some((uid, None))) if old.0 == uid => (Some(old), vec![]),
                (Some(old), None | Some((_, None))) => (None, vec![deleted(old)]),
                (None, Some((uid, Some(v)))) => (Some((uid, v)), vec![format!("new {uid}@{v}")]),
                (Some(old), Some((uid, Some(v)))) if old == (uid, v) => (Some(old), vec![]),
                (Some(old), Some((uid, Some(v)))) if old.0 == uid => {
                    (Some((uid, v)), vec![format!("changed {uid}@{v}")])
                }
                (Some(old), Some((uid, Some(v)))) => {
                    (Some((uid, v)), vec![deleted(old), format!("new {uid}@{v}")])
                }
            };
            object.map(|object| after.insert(name, object));
            if !lines.is_empty() {
                changes.insert(name, lines);
            }
        }
        (after, changes)
    }

    fn objects() -> impl Strategy<Value = Objects> {
        proptest::collection::btree_map(0_u8..8, (0_u8..3, 0_u8..3), 0..8)
    }

    fn list() -> impl Strategy<Value = Listed> {
        proptest::collection::btree_map(0_u8..8, (0_u8..3, proptest::option::weighted(0.8, 0_u8..3)), 0..8)
    }

    proptest! {
        #[test]
        fn relist_agrees_with_brute_force(held in objects(), listed in list(), scope in "(even|odd)?") {
            let store = Store::new(vec![]);
            for (name, object) in &held {
                store.insert(&key(*name), Arc::new(thing(*name, *object)));
            }
            let log: Arc<Mutex<BTreeMap<u8, Vec<String>>>> = Arc::default();
            let malformed: Arc<Mutex<usize>> = Arc::default();
            let (lines, bad) = (Arc::clone(&log), Arc::clone(&malformed));
            let on_change: OnChange<Thing> = Box::new(move |change| {
                let (name, line) = told(&change);
                lines.lock().unwrap().entry(name).or_default().push(line);
            });
            let on_malformed: OnMalformed = Box::new(move |_, _| *bad.lock().unwrap() += 1);
            let sink = Sink::new(store.clone(), None, vec![on_change], vec![on_malformed]);

            let mut relist = Relist::new(&sink, &scope);
            let in_scope = |name: &u8| scope.is_empty() || *key(*name).namespace == *scope;
            for (name, (uid, version)) in listed.iter().filter(|(name, _)| in_scope(name)) {
                relist.item(match version {
                    Some(version) => Decoded::Object(thing(*name, (*uid, *version))),
                    None => Decoded::Malformed(
                        Identity {
                            namespace: key(*name).namespace.to_string(),
                            name: name.to_string(),
                            uid: uid.to_string(),
                            resource_version: "9".into(),
                        },
                        "bad".into(),
                    ),
                });
            }
            relist.finish();

            let (after, changes) = brute_force(&held, &listed, &scope);
            let mut shown = Objects::new();
            store.for_each(|object| {
                let meta = object.meta();
                let version = (meta.uid.parse().unwrap(), meta.resource_version.parse().unwrap());
                shown.insert(meta.name.parse().unwrap(), version);
            });
            prop_assert_eq!(shown, after);
            prop_assert_eq!(log.lock().unwrap().clone(), changes);
            let expected = listed.iter().filter(|(name, (_, v))| v.is_none() && in_scope(name)).count();
            prop_assert_eq!(*malformed.lock().unwrap(), expected);
        }
    }
}

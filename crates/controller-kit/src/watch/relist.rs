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
                self.sink.malformed(&identity, reason);
            }
        }
    }

    /// The list is complete: what it did not show is gone.
    pub(super) fn finish(self) {
        let in_scope = |key: &ObjectKey| self.namespace.is_empty() || &*key.namespace == self.namespace;
        for key in self.sink.store.keys() {
            if in_scope(&key) && !self.seen.contains(&key) {
                self.sink.deleted(&key, None);
            }
        }
    }
}

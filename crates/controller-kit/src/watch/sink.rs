//! Where decoded objects go: the store, then the handlers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{Counter, counter};

use super::frame::Identity;
use super::{Change, Keep, OnChange, OnMalformed, Watched};
use crate::key::ObjectKey;
use crate::metrics::WATCH_MALFORMED;
use crate::store::Store;

/// The receiving end of all scopes of a watch.
pub(super) struct Sink<T> {
    pub(super) store: Store<T>,
    keep: Option<Keep<T>>,
    on_change: Vec<OnChange<T>>,
    on_malformed: Vec<OnMalformed>,
    /// Held from the change of the store to the last handler, so that handlers see changes in the store's
    /// order whichever task brings them. Decoding happens before.
    delivery: Mutex<()>,
    malformed: Counter,
}

impl<T: Watched> Sink<T> {
    pub(super) fn new(
        store: Store<T>,
        keep: Option<Keep<T>>,
        on_change: Vec<OnChange<T>>,
        on_malformed: Vec<OnMalformed>,
    ) -> Self {
        let malformed = counter!(WATCH_MALFORMED, "resource" => T::RESOURCE.plural);
        Self {
            store,
            keep,
            on_change,
            on_malformed,
            delivery: Mutex::default(),
            malformed,
        }
    }

    /// An object as it is now.
    pub(super) fn applied(&self, object: T) {
        let _order = self.deliver();
        let key = ObjectKey::of(object.meta());
        if !self.keeps(&object) {
            if let Some(held) = self.store.remove(&key) {
                self.tell(Change::Deleted(held));
            }
            return;
        }
        let new = Arc::new(object);
        let old = self.store.insert(&key, Arc::clone(&new));
        match old {
            Some(old) if old.meta().uid != new.meta().uid => {
                // Another object of the same name: the end of the first was missed.
                self.tell(Change::Deleted(old));
                self.tell(Change::Applied { old: None, new });
            }
            old => self.tell(Change::Applied { old, new }),
        }
    }

    /// An object is gone; `last` is its final state, if it could be decoded.
    pub(super) fn deleted(&self, key: &ObjectKey, last: Option<T>) {
        let _order = self.deliver();
        let held = self.store.remove(key);
        // One that was never kept has no end to tell of.
        let last = last.filter(|last| held.is_some() || self.keeps(last));
        if let Some(last) = last.map(Arc::new).or(held) {
            self.tell(Change::Deleted(last));
        }
    }

    /// An object could not be decoded. Its last good version stays, unless it is another object's.
    pub(super) fn malformed(&self, identity: &Identity, reason: &str) {
        let key = identity.key();
        self.malformed.increment(1);
        tracing::warn!(
            resource = T::RESOURCE.plural,
            %key,
            reason,
            "object cannot be decoded, keeping what was known of it"
        );
        let _order = self.deliver();
        if self
            .store
            .get(&key)
            .is_some_and(|held| held.meta().uid != identity.uid)
            && let Some(held) = self.store.remove(&key)
        {
            self.tell(Change::Deleted(held));
        }
        for handler in &self.on_malformed {
            handler(key.clone(), reason.to_owned());
        }
    }

    /// Looks at an object again though it did not change.
    pub(super) fn redeliver(&self, key: &ObjectKey) {
        let _order = self.deliver();
        if let Some(new) = self.store.get(key) {
            self.tell(Change::Applied { old: None, new });
        }
    }

    /// Nothing of a namespace (all, if it is empty) is followed any longer.
    pub(super) fn clear(&self, namespace: &str) {
        for key in self.store.keys() {
            if namespace.is_empty() || &*key.namespace == namespace {
                self.deleted(&key, None);
            }
        }
    }

    fn keeps(&self, object: &T) -> bool {
        self.keep.as_ref().is_none_or(|keep| keep(object))
    }

    fn tell(&self, change: Change<T>) {
        if let Some((last, others)) = self.on_change.split_last() {
            for handler in others {
                handler(change.clone());
            }
            last(change);
        }
    }

    fn deliver(&self) -> MutexGuard<'_, ()> {
        // Poisoned only by a handler's panic, which ends the process.
        self.delivery.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use api_types::views::Meta;

    use super::*;
    use crate::resource::{POD, ResourceKind};

    #[derive(serde::Deserialize)]
    struct Thing {
        metadata: Meta,
    }

    impl Watched for Thing {
        const RESOURCE: ResourceKind = POD;

        fn meta(&self) -> &Meta {
            &self.metadata
        }
    }

    fn thing(uid: &str, wanted: bool) -> Thing {
        let mut metadata = Meta {
            name: "a".into(),
            uid: uid.into(),
            ..Meta::default()
        };
        if wanted {
            metadata.labels.insert("wanted", "yes");
        }
        Thing { metadata }
    }

    #[test]
    fn what_is_not_to_be_kept_is_neither_held_nor_told_and_ends_when_it_was() {
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let record = Arc::clone(&told);
        let on_change: OnChange<Thing> = Box::new(move |change| {
            let what = match &change {
                Change::Applied { .. } => "applied",
                Change::Deleted(_) => "deleted",
            };
            record
                .lock()
                .unwrap()
                .push(format!("{what} {}", change.object().metadata.uid));
        });
        let keep: Keep<Thing> = Box::new(|thing| thing.metadata.labels.contains_key("wanted"));
        let sink = Sink::new(Store::new(Vec::new()), Some(keep), vec![on_change], Vec::new());
        let key = ObjectKey::new("", "a");
        sink.applied(thing("1", false));
        sink.deleted(&key, Some(thing("1", false)));
        assert!(told.lock().unwrap().is_empty() && sink.store.is_empty());
        sink.applied(thing("2", true));
        sink.applied(thing("2", false));
        sink.deleted(&key, Some(thing("2", false)));
        sink.applied(thing("3", true));
        // Its last version is not one to be kept, but it was held.
        sink.deleted(&key, Some(thing("3", false)));
        assert_eq!(
            *told.lock().unwrap(),
            ["applied 2", "deleted 2", "applied 3", "deleted 3"]
        );
        assert!(sink.store.is_empty());
    }
}

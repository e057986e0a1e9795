//! What a watch knows: objects by key, with secondary indexes that are kept, never scanned for.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::key::ObjectKey;

/// Gives an object's value in one index; `None` leaves the object out. Must be pure: it is called again with
/// the old object to take its entry away.
pub type IndexFn<T> = Box<dyn Fn(&T) -> Option<String> + Send + Sync>;

/// A read-only view of watched objects. Cloning shares it; reads never wait for decoding or for the network.
pub struct Store<T> {
    inner: Arc<RwLock<Inner<T>>>,
}

impl<T> Clone for Store<T> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

struct Index<T> {
    name: &'static str,
    value_of: IndexFn<T>,
    keys: HashMap<String, HashSet<ObjectKey>>,
}

struct Inner<T> {
    objects: HashMap<ObjectKey, Arc<T>>,
    indexes: Vec<Index<T>>,
}

impl<T> Store<T> {
    /// An empty store with these indexes. Controllers get theirs from [`crate::watch::Watch::start`];
    /// this is for tests and tools that fill one by hand.
    pub fn new(indexes: Vec<(&'static str, IndexFn<T>)>) -> Self {
        let indexes = indexes
            .into_iter()
            .map(|(name, value_of)| Index {
                name,
                value_of,
                keys: HashMap::new(),
            })
            .collect();
        Self {
            inner: Arc::new(RwLock::new(Inner {
                objects: HashMap::new(),
                indexes,
            })),
        }
    }

    /// The object with this key.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<T>> {
        self.read().objects.get(key).cloned()
    }

    /// The objects whose value in the index `name` is `value`, in no particular order.
    ///
    /// An index that was never registered holds nothing.
    pub fn by_index(&self, name: &str, value: &str) -> Vec<Arc<T>> {
        let inner = self.read();
        let Some(keys) = inner.index_entry(name, value) else {
            return Vec::new();
        };
        keys.iter()
            .filter_map(|key| inner.objects.get(key).cloned())
            .collect()
    }

    /// How many objects have `value` in the index `name`.
    pub fn count_by_index(&self, name: &str, value: &str) -> usize {
        self.read().index_entry(name, value).map_or(0, HashSet::len)
    }

    /// All keys: O(n), for resyncs and tests, not for reconciles.
    pub fn keys(&self) -> Vec<ObjectKey> {
        self.read().objects.keys().cloned().collect()
    }

    /// How many objects are held.
    pub fn len(&self) -> usize {
        self.read().objects.len()
    }

    /// Whether no object is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Visits every object: O(n), for metrics and sweeps, not for reconciles. `visit` may use the store.
    pub fn for_each(&self, visit: impl FnMut(&Arc<T>)) {
        // Copied first: `visit` must not run under the lock the watch needs.
        let objects: Vec<Arc<T>> = self.read().objects.values().cloned().collect();
        objects.iter().for_each(visit);
    }

    /// Puts an object in, returning the one it replaces.
    pub fn insert(&self, key: &ObjectKey, object: Arc<T>) -> Option<Arc<T>> {
        self.write().insert(key, object)
    }

    /// Takes an object out.
    pub fn remove(&self, key: &ObjectKey) -> Option<Arc<T>> {
        self.write().remove(key)
    }

    // A panic cannot happen between the steps of an update other than through an index function, and those
    // bring the process down anyway (supervised tasks); readers may go on until then.
    fn read(&self) -> RwLockReadGuard<'_, Inner<T>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner<T>> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Inner<T> {
    fn index_entry(&self, name: &str, value: &str) -> Option<&HashSet<ObjectKey>> {
        self.indexes
            .iter()
            .find(|index| index.name == name)?
            .keys
            .get(value)
    }

    fn insert(&mut self, key: &ObjectKey, object: Arc<T>) -> Option<Arc<T>> {
        let old = self.objects.get(key);
        for index in &mut self.indexes {
            let before = old.and_then(|old| (index.value_of)(old));
            let after = (index.value_of)(&object);
            if before == after {
                continue;
            }
            if let Some(value) = before {
                index.take(&value, key);
            }
            if let Some(value) = after {
                index.keys.entry(value).or_default().insert(key.clone());
            }
        }
        self.objects.insert(key.clone(), object)
    }

    fn remove(&mut self, key: &ObjectKey) -> Option<Arc<T>> {
        let old = self.objects.remove(key)?;
        for index in &mut self.indexes {
            if let Some(value) = (index.value_of)(&old) {
                index.take(&value, key);
            }
        }
        Some(old)
    }
}

impl<T> Index<T> {
    fn take(&mut self, value: &str, key: &ObjectKey) {
        if let Some(keys) = self.keys.get_mut(value) {
            keys.remove(key);
            // Values come and go with owners; an empty set left behind would be a leak.
            if keys.is_empty() {
                self.keys.remove(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        Insert(u8, Option<u8>),
        Remove(u8),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (0_u8..8, proptest::option::of(0_u8..4)).prop_map(|(k, v)| Op::Insert(k, v)),
            (0_u8..8).prop_map(Op::Remove),
        ]
    }

    fn key(k: u8) -> ObjectKey {
        ObjectKey::new("ns", k.to_string())
    }

    fn store() -> Store<(u8, Option<u8>)> {
        Store::new(vec![(
            "value",
            Box::new(|object: &(u8, Option<u8>)| object.1.map(|v| v.to_string())),
        )])
    }

    proptest! {
        #[test]
        fn indexes_agree_with_a_scan(ops in proptest::collection::vec(op(), 0..60)) {
            let store = store();
            let mut model: HashMap<u8, Option<u8>> = HashMap::new();
            for op in ops {
                match op {
                    Op::Insert(k, v) => {
                        let old = store.insert(&key(k), Arc::new((k, v)));
                        prop_assert_eq!(old.map(|o| o.1), model.insert(k, v));
                    }
                    Op::Remove(k) => {
                        let old = store.remove(&key(k));
                        prop_assert_eq!(old.map(|o| o.1), model.remove(&k));
                    }
                }
                for value in 0_u8..4 {
                    let mut indexed: Vec<u8> =
                        store.by_index("value", &value.to_string()).iter().map(|o| o.0).collect();
                    indexed.sort_unstable();
                    let mut scanned: Vec<u8> =
                        model.iter().filter(|(_, v)| **v == Some(value)).map(|(k, _)| *k).collect();
                    scanned.sort_unstable();
                    prop_assert_eq!(store.count_by_index("value", &value.to_string()), scanned.len());
                    prop_assert_eq!(indexed, scanned);
                }
                prop_assert_eq!(store.len(), model.len());
            }
        }
    }

    #[test]
    fn index_values_without_objects_are_forgotten() {
        let store = store();
        store.insert(&key(1), Arc::new((1, Some(3))));
        store.remove(&key(1));
        assert!(store.read().indexes[0].keys.is_empty());
    }

    #[test]
    fn for_each_may_use_the_store() {
        let store = store();
        store.insert(&key(1), Arc::new((1, None)));
        store.for_each(|object| {
            store.insert(&key(2), Arc::clone(object));
        });
        assert_eq!(store.len(), 2);
    }
}

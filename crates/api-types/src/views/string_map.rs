//! Labels and annotations as controllers keep them: small, for there are thousands of them.

use std::{fmt, ops::Index, sync::Arc};

use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::shared::shared;

/// The longest value that is worth looking for among those of other objects: states, priorities, times in seconds and most
/// names. Longer ones (JSON, identifiers) hardly ever recur.
const RECURS: usize = 24;

/// A map of strings in the order of its keys.
///
/// A sorted list with shared keys: a Pod's twelve labels take 0.5 kB, as `BTreeMap<String, String>` they took 2.7 kB.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct StringMap(Vec<(Arc<str>, Arc<str>)>);

/// `text` as a value of a map.
pub(super) fn value_of(text: &str) -> Arc<str> {
    if text.len() <= RECURS {
        shared(text)
    } else {
        text.into()
    }
}

impl StringMap {
    /// The map of these entries; of two with the same key the later one counts.
    pub(super) fn of(mut entries: Vec<(Arc<str>, Arc<str>)>) -> Self {
        // The API server sends keys in order; then this moves nothing.
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        entries.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        entries.shrink_to_fit();
        Self(entries)
    }

    fn position(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| (**known).cmp(key))
    }

    /// The value under `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.position(key).ok().map(|at| &*self.0[at].1)
    }

    /// Whether there is a value under `key`.
    pub fn contains_key(&self, key: &str) -> bool {
        self.position(key).is_ok()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keys and values, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// Keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| &**key)
    }

    /// Puts `value` under `key`, in the place of what was there.
    pub fn insert(&mut self, key: &str, value: &str) {
        match self.position(key) {
            Ok(at) => self.0[at].1 = value_of(value),
            Err(at) => self.0.insert(at, (shared(key), value_of(value))),
        }
    }

    /// Takes the value under `key` out.
    pub fn remove(&mut self, key: &str) -> Option<Arc<str>> {
        let at = self.position(key).ok()?;
        Some(self.0.remove(at).1)
    }

    /// Keeps the entries for which `keep` says so, and gives the room of the others back.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        self.0.retain(|(key, value)| keep(key, value));
        self.0.shrink_to_fit();
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        self.0 = Vec::new();
    }
}

impl Index<&str> for StringMap {
    type Output = str;

    /// # Panics
    /// When there is no value under `key`.
    fn index(&self, key: &str) -> &str {
        match self.position(key) {
            Ok(at) => &self.0[at].1,
            Err(_) => index_failed(key),
        }
    }
}

#[expect(clippy::panic, reason = "what indexing means for every map")]
fn index_failed(key: &str) -> ! {
    panic!("no value under {key}")
}

impl fmt::Debug for StringMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: AsRef<str>, V: AsRef<str>> Extend<(K, V)> for StringMap {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key.as_ref(), value.as_ref());
        }
        self.0.shrink_to_fit();
    }
}

impl<K: AsRef<str>, V: AsRef<str>> FromIterator<(K, V)> for StringMap {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        map.extend(entries);
        map
    }
}

impl Serialize for StringMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (key, value) in self.iter() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::views::Meta;

    #[derive(Clone, Debug)]
    enum Op {
        Insert(String, String),
        Remove(String),
        Retain(String),
        Clear,
    }

    fn op() -> impl Strategy<Value = Op> {
        let key = || "[a-d]{1,2}";
        prop_oneof![
            8 => (key(), "[a-z]{0,40}").prop_map(|(key, value)| Op::Insert(key, value)),
            2 => key().prop_map(Op::Remove),
            1 => key().prop_map(Op::Retain),
            1 => Just(Op::Clear),
        ]
    }

    #[test]
    fn of_two_entries_with_one_key_the_later_counts() {
        let meta: Meta = serde_json::from_str(r#"{"labels": {"b": "1", "a": "2", "b": "3"}}"#).unwrap();
        assert_eq!(meta.labels.iter().collect::<Vec<_>>(), [("a", "2"), ("b", "3")]);
    }

    proptest! {
        #[test]
        fn it_is_the_map_of_the_standard_library(ops in proptest::collection::vec(op(), 0..60)) {
            let mut ours = StringMap::default();
            let mut model = BTreeMap::<String, String>::new();
            for op in ops {
                match op {
                    Op::Insert(key, value) => {
                        ours.insert(&key, &value);
                        model.insert(key, value);
                    }
                    Op::Remove(key) => {
                        let (ours, model) = (ours.remove(&key), model.remove(&key));
                        prop_assert_eq!(ours.as_deref(), model.as_deref());
                    }
                    Op::Retain(from) => {
                        ours.retain(|key, _| key >= from.as_str());
                        model.retain(|key, _| *key >= from);
                    }
                    Op::Clear => {
                        ours.clear();
                        model.clear();
                    }
                }
                prop_assert_eq!(ours.len(), model.len());
                prop_assert_eq!(ours.is_empty(), model.is_empty());
                prop_assert!(ours.iter().eq(model.iter().map(|(key, value)| (key.as_str(), value.as_str()))));
                prop_assert!(ours.keys().eq(model.keys()));
                for key in ["a", "b", "cc", "zz"] {
                    prop_assert_eq!(ours.get(key), model.get(key).map(String::as_str));
                    prop_assert_eq!(ours.contains_key(key), model.contains_key(key));
                }
                prop_assert_eq!(&ours, &model.iter().rev().collect::<StringMap>());
                let decoded: Meta = serde_json::from_value(json!({ "labels": model })).unwrap();
                prop_assert_eq!(&ours, &decoded.labels);
                prop_assert_eq!(serde_json::to_value(&ours).unwrap(), serde_json::to_value(&model).unwrap());
            }
        }
    }
}

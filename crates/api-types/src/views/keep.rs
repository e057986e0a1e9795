//! Decoding of label and annotation maps that keeps some of the keys.

use std::{fmt, marker::PhantomData, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};

use super::{StringMap, shared::shared, string_map::value_of};
use crate::keys;

/// Which keys of a map are kept.
pub(super) trait Keep {
    fn keep(key: &str) -> bool;
}

/// Keeps everything except the copy of the object that `kubectl apply` leaves behind.
pub(super) struct AllButLastApplied;

impl Keep for AllButLastApplied {
    fn keep(key: &str) -> bool {
        key != keys::annotation::LAST_APPLIED
    }
}

/// Keeps what a controller reads on a Pod.
pub(super) struct PodKeys;

impl Keep for PodKeys {
    fn keep(key: &str) -> bool {
        const PREFIXES: [&str; 6] = [
            keys::GAME_PREFIX,
            keys::GS_SYNC_PREFIX,
            "lifecycle.apps.kruise.io/",
            "apps.kruise.io/",
            "apps.kubernetes.io/",
            "statefulset.kubernetes.io/",
        ];
        const KEYS: [&str; 3] = [
            keys::label::CONTROLLER_REVISION_HASH,
            keys::label::SAFE_TO_EVICT,
            keys::annotation::SAFE_TO_EVICT,
        ];
        KEYS.contains(&key) || PREFIXES.iter().any(|prefix| key.starts_with(prefix))
    }
}

/// A map of strings with only the keys that `K` keeps.
pub(super) struct Kept<K>(pub(super) StringMap, PhantomData<K>);

impl<K> Default for Kept<K> {
    fn default() -> Self {
        Self(StringMap::default(), PhantomData)
    }
}

impl<'de, K: Keep> Deserialize<'de> for Kept<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(KeptVisitor::<K>(PhantomData))
            .map(|map| Self(map, PhantomData))
    }
}

struct KeptVisitor<K>(PhantomData<K>);

impl<'de, K: Keep> Visitor<'de> for KeptVisitor<K> {
    type Value = StringMap;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of strings")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(StringMap::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key_seed(KeySeed::<K>(PhantomData))? {
            match key {
                Some(key) => {
                    entries.push((key, access.next_value_seed(ValueSeed)?));
                }
                None => {
                    access.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(StringMap::of(entries))
    }
}

/// Decodes a key to `None` where it is not kept, so that dropped keys are never allocated.
struct KeySeed<K>(PhantomData<K>);

impl<'de, K: Keep> DeserializeSeed<'de> for KeySeed<K> {
    type Value = Option<Arc<str>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<K: Keep> Visitor<'_> for KeySeed<K> {
    type Value = Option<Arc<str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(K::keep(key).then(|| shared(key)))
    }
}

struct ValueSeed;

impl<'de> DeserializeSeed<'de> for ValueSeed {
    type Value = Arc<str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for ValueSeed {
    type Value = Arc<str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(value_of(value))
    }
}

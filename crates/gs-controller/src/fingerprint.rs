//! A 64-bit fingerprint of a Pod status: what stands in memory for the copy kept in `GameServer.status.podStatus`.
//!
//! A Pod status is two to four kilobytes of JSON; the copy in the GameServer is only ever compared with the Pod's,
//! never read. Keeping eight bytes for it halves what a game server costs in memory.
//!
//! Two statuses have the same fingerprint when nothing a reader could act on differs:
//!
//! - the order of object keys and members that are `null` do not count (the API server stores neither);
//! - `conditions[].lastProbeTime` does not count. It is a heartbeat: probers refresh it every few seconds with
//!   nothing else changed, and copying it would turn each probe into a write of the GameServer. Whenever something
//!   else changes, the whole status is copied and the heartbeat with it.
//!
//! Everything else counts, restarts and condition messages included.

use std::{
    collections::hash_map::DefaultHasher,
    fmt,
    hash::{Hash, Hasher},
};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

/// The fingerprint of a Pod status (`pod.status` or `gameserver.status.podStatus`), read from it without a copy in between: two
/// events of each opsState carry one, and nearly always the one known before.
///
/// Stable within one build of the program only: it is compared in memory and never stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PodStatusFingerprint(u64);

impl<'de> Deserialize<'de> for PodStatusFingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hash = Place::Status.deserialize(deserializer)?;
        Ok(Self(hash.unwrap_or(NULL)))
    }
}

/// Where in a Pod status a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The status itself.
    Status,
    /// `conditions`.
    Conditions,
    /// `conditions[]`.
    Condition,
    /// Anywhere else.
    Elsewhere,
}

impl Place {
    /// Where the member `key` of an object here is; `None` for a heartbeat, which does not count.
    fn member(self, key: &str) -> Option<Self> {
        match (self, key) {
            (Self::Condition, "lastProbeTime") => None,
            (Self::Status, "conditions") => Some(Self::Conditions),
            _ => Some(Self::Elsewhere),
        }
    }

    /// Where an item of a list here is.
    fn item(self) -> Self {
        match self {
            Self::Conditions => Self::Condition,
            _ => Self::Elsewhere,
        }
    }
}

/// What stands for null in a list, where its place counts.
const NULL: u64 = 0;

fn hash_of(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Reads a value as its hash; null has none.
impl<'de> DeserializeSeed<'de> for Place {
    type Value = Option<u64>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<u64>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place {
    type Value = Option<u64>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Option<u64>, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Option<u64>, E> {
        Ok(Some(hash_of((1_u8, flag))))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Option<u64>, E> {
        Ok(Some(hash_of((2_u8, i128::from(number)))))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Option<u64>, E> {
        Ok(Some(hash_of((2_u8, i128::from(number)))))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Option<u64>, E> {
        Ok(Some(hash_of((3_u8, number.to_bits()))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Option<u64>, E> {
        Ok(Some(hash_of((4_u8, text))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Option<u64>, A::Error> {
        let mut hasher = DefaultHasher::new();
        5_u8.hash(&mut hasher);
        while let Some(item) = items.next_element_seed(self.item())? {
            item.unwrap_or(NULL).hash(&mut hasher);
        }
        Ok(Some(hasher.finish()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Option<u64>, A::Error> {
        // A sum, in which the order of the members does not count.
        let mut sum = 0_u64;
        while let Some((key, place)) = members.next_key_seed(Key(self))? {
            match place {
                None => drop(members.next_value::<IgnoredAny>()?),
                Some(place) => {
                    if let Some(value) = members.next_value_seed(place)? {
                        sum = sum.wrapping_add(hash_of((key, value)));
                    }
                }
            }
        }
        Ok(Some(hash_of((6_u8, sum))))
    }
}

/// Reads the key of a member of an object at a place, as its hash and the place of its value.
struct Key(Place);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = (u64, Option<Place>);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = (u64, Option<Place>);

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok((hash_of(key), self.0.member(key)))
    }
}

/// A fingerprint of two string maps, written to the API as the template metadata hash of a GameServer.
///
/// Stored and compared by later versions of the program, so it is FNV-1a over a fixed encoding rather than the
/// standard library's hasher, whose algorithm is not promised.
pub(crate) fn of_maps<'a, M>(maps: [M; 2]) -> String
where
    M: IntoIterator<Item = (&'a String, &'a String)>,
{
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut hash = OFFSET;
    let mut feed = |text: &str, end: u8| {
        for byte in text.bytes().chain([end]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
        }
    };
    // The end marks cannot occur in UTF-8, so no two different pairs of maps feed the same bytes.
    for map in maps {
        for (key, value) in map {
            feed(key, 0xff);
            feed(value, 0xfe);
        }
        feed("", 0xfd);
    }
    format!("{hash:016x}")
}

/// `value` without the members of objects that are `null`, at any depth.
///
/// Pods carry explicit nulls (`lastProbeTime: null`); a custom resource must not.
pub(crate) fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .filter(|(_, member)| !member.is_null())
                .map(|(key, member)| (key, without_nulls(member)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Of the value, and of its text: they are read by different deserializers.
    fn of_pod_status(status: &Value) -> PodStatusFingerprint {
        let fingerprint = PodStatusFingerprint::deserialize(status).unwrap();
        let of_text: PodStatusFingerprint = serde_json::from_str(&status.to_string()).unwrap();
        assert_eq!(fingerprint, of_text, "{status}");
        fingerprint
    }

    #[test]
    fn a_heartbeat_is_not_a_change() {
        let at = |time: Value| {
            json!({"phase": "Running", "conditions": [
                {"type": "game.kruise.io/idle", "status": "True", "lastProbeTime": time}]})
        };
        assert_eq!(
            of_pod_status(&at(json!("2026-01-01T00:00:00Z"))),
            of_pod_status(&at(json!("2026-01-01T00:00:05Z")))
        );
        assert_eq!(
            of_pod_status(&at(json!("2026-01-01T00:00:00Z"))),
            of_pod_status(&at(Value::Null))
        );
    }

    #[test]
    fn anything_else_is_a_change() {
        let base = json!({"phase": "Running", "podIP": "10.0.0.1",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            "containerStatuses": [{"name": "game", "restartCount": 0, "lastProbeTime": "a"}]});
        for changed in [
            json!({"phase": "Running"}),
            json!({"phase": "Running", "podIP": "10.0.0.2",
                "conditions": base["conditions"], "containerStatuses": base["containerStatuses"]}),
            json!({"phase": "Running", "podIP": "10.0.0.1", "conditions": base["conditions"],
                "containerStatuses": [{"name": "game", "restartCount": 1, "lastProbeTime": "a"}]}),
            json!({"phase": "Running", "podIP": "10.0.0.1", "conditions": base["conditions"],
                "containerStatuses": [{"name": "game", "restartCount": 0, "lastProbeTime": "b"}]}),
            json!({"phase": "Running", "podIP": "10.0.0.1",
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:01Z"}],
                "containerStatuses": base["containerStatuses"]}),
        ] {
            assert_ne!(of_pod_status(&base), of_pod_status(&changed), "{changed}");
        }
    }

    #[test]
    fn neither_the_order_of_keys_nor_a_null_member_counts_and_escapes_are_read() {
        let read = |text: &str| serde_json::from_str::<PodStatusFingerprint>(text).unwrap();
        assert_eq!(
            read(r#"{"phase":"Running","hostIP":"10.0.0.1","podIP":null}"#),
            read(r#"{ "hostIP": "10.0.0.1", "ph\u0061se": "Runnin\u0067" }"#)
        );
        assert_ne!(read(r#"{"a":"b","c":"d"}"#), read(r#"{"a":"d","c":"b"}"#));
        assert_ne!(read(r#"{"a":[1,2]}"#), read(r#"{"a":[2,1]}"#));
        assert_ne!(read(r#"{"a":[null]}"#), read(r#"{"a":[]}"#));
        assert_ne!(read(r#"{"a":{}}"#), read(r"{}"));
        assert_ne!(read(r#"{"a":1}"#), read(r#"{"a":"1"}"#));
        assert!(serde_json::from_str::<PodStatusFingerprint>(r#"{"a":"#).is_err());
    }

    #[test]
    fn moving_a_key_between_the_maps_changes_the_metadata_hash() {
        let one = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let none = BTreeMap::new();
        assert_ne!(of_maps([&one, &none]), of_maps([&none, &one]));
        let split = BTreeMap::from([("a".to_owned(), String::new()), ("b".to_owned(), String::new())]);
        assert_ne!(of_maps([&one, &none]), of_maps([&split, &none]));
        // Stored in annotations: the encoding may not change between versions.
        assert_eq!(of_maps([&none, &none]), "0a93c707b6f1d84f");
    }

    fn json_tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[a-z]{1,3}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_sent_has_the_fingerprint_of_what_was_read(value in json_tree()) {
            prop_assert_eq!(of_pod_status(&without_nulls(value.clone())), of_pod_status(&value));
        }
    }
}

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
    hash::{Hash, Hasher},
};

use serde_json::Value;

/// The fingerprint of a Pod status (`pod.status` or `gameserver.status.podStatus`).
///
/// Stable within one build of the program only: it is compared in memory and never stored.
pub(crate) fn of_pod_status(status: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    if let Value::Object(members) = status {
        for (key, value) in significant(members.iter()) {
            key.hash(&mut hasher);
            match (key.as_str(), value) {
                ("conditions", Value::Array(conditions)) => conditions
                    .iter()
                    .for_each(|condition| hash_value(condition, &["lastProbeTime"], &mut hasher)),
                _ => hash_value(value, &[], &mut hasher),
            }
        }
    } else {
        hash_value(status, &[], &mut hasher);
    }
    hasher.finish()
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

fn significant<'a>(members: impl Iterator<Item = (&'a String, &'a Value)>) -> Vec<(&'a String, &'a Value)> {
    let mut kept: Vec<_> = members.filter(|(_, value)| !value.is_null()).collect();
    // serde_json keeps keys sorted or in order of arrival, depending on a feature any dependency may switch on.
    kept.sort_unstable_by_key(|(key, _)| *key);
    kept
}

fn hash_value(value: &Value, skip: &[&str], hasher: &mut DefaultHasher) {
    match value {
        Value::Null => 0_u8.hash(hasher),
        Value::Bool(flag) => (1_u8, flag).hash(hasher),
        Value::Number(number) => (2_u8, number.to_string()).hash(hasher),
        Value::String(text) => (3_u8, text).hash(hasher),
        Value::Array(items) => {
            (4_u8, items.len()).hash(hasher);
            for item in items {
                hash_value(item, &[], hasher);
            }
        }
        Value::Object(members) => {
            let kept = significant(members.iter().filter(|(key, _)| !skip.contains(&key.as_str())));
            (5_u8, kept.len()).hash(hasher);
            for (key, member) in kept {
                key.hash(hasher);
                hash_value(member, &[], hasher);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

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

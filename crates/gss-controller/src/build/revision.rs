//! The name of a template's revision.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::pod::template_annotations;
use api_types::GameServerSetView;

/// Value of the label `controller-revision-hash` on Pods made from the set's template as it is now: `<set>-<hash>`.
///
/// The hash covers what ends up in the Pod from the template: labels, annotations (network parameters included) and the
/// PodSpec, whatever the order of their keys. Sets whose templates mean the same have the same hash.
pub fn revision_name(set: &GameServerSetView) -> String {
    let template = &set.spec.game_server_template;
    let mut text = String::new();
    write_canonical(
        &json!({
            "metadata": { "labels": template.metadata.labels, "annotations": template_annotations(set) },
            "spec": template.spec,
        }),
        &mut text,
    );
    format!("{}-{}", set.metadata.name, safe_digits(fnv1a(text.as_bytes())))
}

/// JSON with sorted keys: `serde_json` may keep insertion order, depending on features other crates switch on.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().filter(|(_, value)| !value.is_null()).collect();
            entries.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (key, value) in entries {
                // Writing to a String cannot fail.
                let _ = write!(out, "{}:", Value::from(key.as_str()));
                write_canonical(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write_canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        scalar => {
            let _ = write!(out, "{scalar}");
        }
    }
}

/// FNV-1a, 32 bits: stable across versions and platforms, unlike the standard library's hasher.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

/// The number's digits as Kubernetes writes them in names: no vowels, no 0, 1 or 3, so that no word appears.
fn safe_digits(number: u32) -> String {
    number
        .to_string()
        .bytes()
        .map(|digit| char::from(b"456789bcdf"[usize::from(digit - b'0')]))
        .collect()
}

#[cfg(test)]
// Literals of `json!` read best where they are passed.
#[allow(clippy::needless_pass_by_value)]
mod tests {
    use super::*;

    fn set(template: Value) -> GameServerSetView {
        serde_json::from_value(json!({
            "metadata": { "name": "arena" },
            "spec": { "replicas": 1, "gameServerTemplate": template },
        }))
        .unwrap()
    }

    #[test]
    fn the_name_depends_on_the_meaning_of_the_template_only() {
        let one = set(json!({"spec": {"a": 1, "containers": [{"name": "g", "image": "g:1"}]}}));
        let same = set(
            json!({"reclaimPolicy": "Delete", "spec": {"containers": [{"image": "g:1", "name": "g"}], "a": 1}}),
        );
        let other = set(json!({"spec": {"a": 1, "containers": [{"name": "g", "image": "g:2"}]}}));
        assert_eq!(revision_name(&one), revision_name(&same));
        assert_ne!(revision_name(&one), revision_name(&other));
    }

    #[test]
    fn the_name_stays_what_it_was() {
        // A changed hash would make every Pod look outdated after an upgrade of the controller.
        assert_eq!(
            revision_name(&set(json!({"spec": {"containers": []}}))),
            "arena-5b59697c96"
        );
    }
}

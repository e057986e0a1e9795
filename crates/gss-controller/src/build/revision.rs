//! ControllerRevisions: their names and bodies.

use api_types::{GameServerSetView, OwnerRef, keys::label};
use serde_json::{Value, json};

use super::template::Template;

/// The longest value of a label: Pods carry the whole name of their revision in one.
const LABEL_LIMIT: usize = 63;

/// The name of a revision with this template: `<set>-<hash>`, the set's name cut where it has to be. `attempt` is 0, and more
/// where the names before are taken by other templates.
///
/// The hash covers what ends up in the Pod: labels, annotations (network parameters included) and the PodSpec, whatever the
/// spelling, see [`super::canonical`].
pub fn revision_name(set: &str, canonical: &str, attempt: u32) -> String {
    let mut text = canonical.to_owned();
    if attempt > 0 {
        text.push_str(&attempt.to_string());
    }
    let room = LABEL_LIMIT - 1 - MAX_DIGITS;
    if set.len() > room {
        // Two sets whose long names begin alike shall not meet in one revision.
        text.push_str(set);
    }
    let prefix: String = set.chars().take(room).collect();
    let prefix = prefix.trim_end_matches(['-', '.']);
    format!("{prefix}-{}", safe_digits(fnv1a(text.as_bytes())))
}

/// The ControllerRevision to create.
pub fn revision(set: &GameServerSetView, name: &str, number: i64, template: &Template) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": name,
            "namespace": set.metadata.namespace,
            "labels": { label::OWNER_GSS: set.metadata.name },
            "ownerReferences": [OwnerRef::to_set(&set.metadata.name, &set.metadata.uid)],
        },
        "data": template.to_data(),
        "revision": number,
    })
}

/// Decimal digits of a 32-bit number.
const MAX_DIGITS: usize = 10;

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

    fn template(template: Value) -> Template {
        let set: GameServerSetView = serde_json::from_value(json!({
            "metadata": { "name": "arena" },
            "spec": { "replicas": 1, "gameServerTemplate": template },
        }))
        .unwrap();
        Template::of(&set)
    }

    fn name(spec: Value) -> String {
        revision_name("arena", &template(spec).canonical(), 0)
    }

    #[test]
    fn the_name_depends_on_the_meaning_of_the_template_only() {
        let one = name(json!({"spec": {"a": 1, "containers": [{"name": "g", "image": "g:1"}]}}));
        let same = name(
            json!({"reclaimPolicy": "Delete", "spec": {"containers": [{"image": "g:1", "name": "g"}], "a": 1}}),
        );
        let other = name(json!({"spec": {"a": 1, "containers": [{"name": "g", "image": "g:2"}]}}));
        assert_eq!(one, same);
        assert_ne!(one, other);
    }

    #[test]
    fn the_name_stays_what_it_was() {
        // A changed hash costs nothing while the ControllerRevision is there, and every Pod's update once it is lost.
        assert_eq!(name(json!({"spec": {"containers": []}})), "arena-7cc88bd6c4");
    }

    #[test]
    fn a_name_fits_a_label_and_can_be_had_again_where_it_is_taken() {
        let long = "a".repeat(51) + "-b" + &"c".repeat(20);
        let text = template(json!({"spec": {"containers": []}})).canonical();
        let named = revision_name(&long, &text, 0);
        assert!(
            named.len() <= 63 && named.starts_with(&"a".repeat(51)) && !named.contains("--"),
            "{named}"
        );
        assert_ne!(
            named,
            revision_name(&long.replace('c', "d"), &text, 0),
            "one prefix, two sets"
        );
        assert_ne!(named, revision_name(&long, &text, 1));
    }

    #[test]
    fn data_is_read_back_as_it_was_written() {
        let written = template(json!({
            "metadata": { "labels": { "team": "red" }, "annotations": { "a": "b" } },
            "spec": { "containers": [{ "name": "g", "image": "g:1" }] },
        }));
        assert_eq!(Template::from_data(&written.to_data()), Some(written));
        assert_eq!(Template::from_data(&json!({ "spec": {} })), None);
    }
}

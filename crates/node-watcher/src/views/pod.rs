//! A Pod: which node it is on, and which evictions it tolerates.

use api_types::views::Meta;
use serde::Deserialize;

use super::Taint;

/// A Pod as this controller keeps it.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WirePod")]
pub(crate) struct PodView {
    /// Identity and owners.
    pub metadata: Meta,
    /// The node the Pod is bound to.
    pub node_name: Option<String>,
    /// Tolerations of `NoExecute` taints, those that every Pod gets left out.
    pub tolerations: Vec<Toleration>,
}

/// A toleration of `NoExecute` taints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Toleration {
    /// Key of the taints; empty for all.
    key: String,
    /// `Exists`, or `Equal` when empty.
    operator: String,
    /// Value of the taints under `Equal`.
    value: String,
    /// `NoExecute`, or empty for all effects.
    effect: String,
    /// How long; for good when absent.
    #[serde(rename = "tolerationSeconds")]
    seconds: Option<i64>,
}

impl Toleration {
    fn matches(&self, taint: &Taint) -> bool {
        let exists = self.operator == "Exists";
        (self.key == taint.key || (self.key.is_empty() && exists)) && (exists || self.value == taint.value)
    }
}

impl PodView {
    /// Whether the Pod may stay on a node with this taint for good. Of several tolerations the shortest counts.
    pub(crate) fn tolerates(&self, taint: &Taint) -> bool {
        let mut matching = self.tolerations.iter().filter(|it| it.matches(taint)).peekable();
        matching.peek().is_some() && matching.all(|it| it.seconds.is_none())
    }

    /// Whether a server's condition or label may differ between the two.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        (&self.metadata.uid, &self.node_name, &self.tolerations)
            != (&other.metadata.uid, &other.node_name, &other.tolerations)
    }
}

/// Keys of the tolerations that admission gives to every Pod; their taints repeat conditions.
const EVERY_POD: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

#[derive(Deserialize)]
struct WirePod {
    metadata: Meta,
    #[serde(default)]
    spec: WireSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSpec {
    node_name: Option<String>,
    tolerations: Option<Vec<Toleration>>,
}

impl From<WirePod> for PodView {
    fn from(pod: WirePod) -> Self {
        Self {
            metadata: pod.metadata.into_identity(),
            node_name: pod.spec.node_name.filter(|name| !name.is_empty()),
            tolerations: pod
                .spec
                .tolerations
                .into_iter()
                .flatten()
                .filter(|it| it.effect.is_empty() || it.effect == "NoExecute")
                .filter(|it| !EVERY_POD.contains(&it.key.as_str()))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn tolerates(tolerations: &Value) -> bool {
        let pod: PodView =
            serde_json::from_value(json!({"metadata": {}, "spec": {"tolerations": tolerations}})).unwrap();
        pod.tolerates(&Taint {
            key: "dedicated".into(),
            value: "games".into(),
        })
    }

    #[test]
    fn a_taint_is_tolerated_as_the_node_controller_sees_it() {
        assert!(!tolerates(&json!([])));
        assert!(tolerates(&json!([{"operator": "Exists"}])));
        assert!(tolerates(
            &json!([{"key": "dedicated", "operator": "Exists", "effect": "NoExecute"}])
        ));
        assert!(tolerates(&json!([{"key": "dedicated", "value": "games"}])));
        assert!(tolerates(
            &json!([{"key": "dedicated", "operator": "Equal", "value": "games"}])
        ));
        assert!(!tolerates(&json!([{"key": "dedicated", "value": "web"}])));
        assert!(!tolerates(&json!([{"value": "games"}])), "Equal without a key");
        assert!(!tolerates(&json!([{"key": "other", "operator": "Exists"}])));
        assert!(!tolerates(
            &json!([{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}])
        ));
    }

    #[test]
    fn a_toleration_with_an_end_is_none() {
        let limited = json!({"key": "dedicated", "operator": "Exists", "tolerationSeconds": 300});
        assert!(!tolerates(&json!([limited])));
        assert!(
            !tolerates(&json!([{"operator": "Exists"}, limited])),
            "the shortest counts"
        );
    }

    #[test]
    fn the_tolerations_of_every_pod_take_no_memory() {
        let pod: PodView = serde_json::from_value(json!({"metadata": {"labels": {"a": "b"}}, "spec": {"tolerations": [
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
            {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
        ]}}))
        .unwrap();
        assert_eq!((pod.tolerations.len(), pod.metadata.labels.len()), (0, 0));
    }
}

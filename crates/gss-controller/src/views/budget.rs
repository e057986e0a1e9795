//! A PodDisruptionBudget as this controller keeps it.

use std::collections::BTreeMap;

use api_types::{IntOrString, keys, keys::label, views::Meta};
use controller_kit::{
    resource::{POD_DISRUPTION_BUDGET, ResourceKind},
    watch::Watched,
};
use serde::Deserialize;

/// A PodDisruptionBudget without its status, which changes with every Pod and decides nothing here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "WireBudget")]
pub struct BudgetView {
    /// Metadata with the label that says who made it only, and without annotations.
    pub metadata: Meta,
    /// Which Pods it is about; `None`: none at all.
    pub selector: Option<Selector>,
    /// `spec.minAvailable`.
    pub min_available: Option<IntOrString>,
    /// `spec.maxUnavailable`.
    pub max_unavailable: Option<IntOrString>,
    /// `spec.unhealthyPodEvictionPolicy`.
    pub unhealthy: Option<String>,
}

/// A label selector.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Selector {
    /// Labels with exactly these values.
    pub match_labels: BTreeMap<String, String>,
    /// Further conditions; all must hold.
    pub match_expressions: Vec<Requirement>,
}

/// A condition on one label.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// Values of `In` and `NotIn`.
    pub values: Vec<String>,
}

impl Selector {
    /// Whether it selects a Pod whose labels are these.
    pub fn selects<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        let named = self
            .match_labels
            .iter()
            .all(|(key, value)| label(key) == Some(value));
        named
            && self.match_expressions.iter().all(|wanted| {
                let found = label(&wanted.key);
                let among = found.is_some_and(|found| wanted.values.iter().any(|value| value == found));
                match wanted.operator.as_str() {
                    "In" => among,
                    "NotIn" => !among,
                    "Exists" => found.is_some(),
                    "DoesNotExist" => found.is_none(),
                    // The API server accepts no other.
                    _ => false,
                }
            })
    }
}

/// The least `minAvailable` that counts as "never": more Pods than that no cluster has.
const BEYOND_ALL: i64 = 1_000_000;

impl BudgetView {
    /// Whether this controller made it.
    pub fn is_ours(&self) -> bool {
        self.metadata.name == keys::EVICTION_BUDGET
            && self.metadata.label(label::MANAGED_BY) == Some(keys::MANAGER)
    }

    /// Whether it selects a Pod whose labels are these.
    pub fn selects<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.selector
            .as_ref()
            .is_some_and(|selector| selector.selects(label))
    }

    /// Whether it refuses every eviction, whatever the number of Pods and however they are: only a `minAvailable` beyond any
    /// number of Pods does, see `docs/adr/0024-the-budget-of-protected-servers.md`.
    pub fn refuses_all(&self) -> bool {
        let many = |wanted: &IntOrString| matches!(wanted, IntOrString::Int(n) if *n >= BEYOND_ALL);
        self.min_available.as_ref().is_some_and(many) && self.unhealthy.as_deref() != Some("AlwaysAllow")
    }
}

impl Watched for BudgetView {
    const RESOURCE: ResourceKind = POD_DISRUPTION_BUDGET;

    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

#[derive(Deserialize)]
struct WireBudget {
    #[serde(default)]
    metadata: Meta,
    #[serde(default)]
    spec: WireSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSpec {
    selector: Option<Selector>,
    min_available: Option<IntOrString>,
    max_unavailable: Option<IntOrString>,
    unhealthy_pod_eviction_policy: Option<String>,
}

impl From<WireBudget> for BudgetView {
    fn from(wire: WireBudget) -> Self {
        let mut metadata = wire.metadata;
        metadata.annotations.clear();
        metadata.labels.retain(|key, _| key == label::MANAGED_BY);
        Self {
            metadata,
            selector: wire.spec.selector,
            min_available: wire.spec.min_available,
            max_unavailable: wire.spec.max_unavailable,
            unhealthy: wire.spec.unhealthy_pod_eviction_policy,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn budget(spec: &Value) -> BudgetView {
        serde_json::from_value(json!({ "metadata": { "name": "b" }, "spec": spec })).unwrap()
    }

    fn selects(selector: &Value, labels: &[(&str, &str)]) -> bool {
        let of = |key: &str| {
            labels
                .iter()
                .find(|(name, _)| *name == key)
                .map(|(_, value)| *value)
        };
        budget(&json!({ "selector": selector })).selects(of)
    }

    #[test]
    fn a_selector_selects_as_kubernetes_does() {
        let pod = [("a", "1"), ("b", "2")];
        assert!(selects(&json!({}), &pod), "an empty one selects everything");
        assert!(!selects(&Value::Null, &pod), "none selects nothing");
        assert!(selects(&json!({ "matchLabels": { "a": "1" } }), &pod));
        assert!(!selects(&json!({ "matchLabels": { "a": "1", "c": "3" } }), &pod));
        let where_ = |operator: &str, key: &str, values: &[&str]| {
            let one = json!({ "key": key, "operator": operator, "values": values });
            selects(&json!({ "matchExpressions": [one] }), &pod)
        };
        assert!(where_("In", "a", &["0", "1"]) && !where_("In", "c", &["3"]));
        assert!(where_("NotIn", "c", &["3"]) && !where_("NotIn", "a", &["1"]));
        assert!(where_("Exists", "b", &[]) && !where_("Exists", "c", &[]));
        assert!(where_("DoesNotExist", "c", &[]) && !where_("DoesNotExist", "b", &[]));
    }

    #[test]
    fn only_a_number_beyond_all_pods_refuses_everything() {
        let refuses = |spec: Value| budget(&spec).refuses_all();
        assert!(refuses(json!({ "minAvailable": i32::MAX })));
        for weak in [
            json!({ "maxUnavailable": 0 }),
            json!({ "maxUnavailable": "0%" }),
            json!({ "minAvailable": "100%" }),
            json!({ "minAvailable": 5 }),
            json!({ "minAvailable": i32::MAX, "unhealthyPodEvictionPolicy": "AlwaysAllow" }),
            json!({}),
        ] {
            assert!(!refuses(weak.clone()), "{weak}");
        }
    }
}

//! The PodDisruptionBudget of a namespace.

use api_types::{keys, keys::label};
use serde_json::{Map, Value, json};

use crate::views::Selector;

/// More than there can be Pods. Anything that counts Pods, or asks their set how many there shall be, allows evictions as soon as
/// there are more Pods than replicas: while servers drain, are held by a hook, or wait for their end.
const NEVER: i32 = i32::MAX;

/// As it is made.
pub fn made(namespace: &str, selector: &Selector) -> Value {
    let mut selector = written(selector, &[]);
    if let Value::Object(parts) = &mut selector {
        parts.retain(|_, part| !part.is_null());
    }
    json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {
            "name": keys::EVICTION_BUDGET,
            "namespace": namespace,
            "labels": { label::MANAGED_BY: keys::MANAGER },
        },
        "spec": { "minAvailable": NEVER, "selector": selector },
    })
}

/// The patch that brings it back to that. `surplus` are labels to take out of its selector.
pub fn restored(selector: &Selector, surplus: &[String]) -> Value {
    json!({ "spec": {
        "minAvailable": NEVER,
        "maxUnavailable": null,
        "unhealthyPodEvictionPolicy": null,
        "selector": written(selector, surplus),
    } })
}

fn written(selector: &Selector, surplus: &[String]) -> Value {
    let mut labels: Map<String, Value> = surplus.iter().map(|key| (key.clone(), Value::Null)).collect();
    labels.extend(
        selector
            .match_labels
            .iter()
            .map(|(key, value)| (key.clone(), json!(value))),
    );
    let expressions: Vec<Value> = selector
        .match_expressions
        .iter()
        .map(|wanted| json!({ "key": wanted.key, "operator": wanted.operator, "values": wanted.values }))
        .collect();
    let expressions = if expressions.is_empty() {
        Value::Null
    } else {
        json!(expressions)
    };
    json!({ "matchLabels": labels, "matchExpressions": expressions })
}

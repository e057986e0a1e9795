//! A Node: only what is wrong with it.

use api_types::views::Meta;
use serde::Deserialize;

/// A Node as this controller keeps it.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WireNode")]
pub(crate) struct NodeView {
    /// Identity.
    pub metadata: Meta,
    /// What is wrong with it.
    pub health: Health,
    /// Its first address of type ExternalIP.
    pub public_ip: Option<String>,
}

impl NodeView {
    /// Whether a server's condition or address may differ between the two.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        (&self.health, &self.public_ip) != (&other.health, &other.public_ip)
    }
}

/// What is wrong with a node; two equal ones give every server the same condition.
///
/// Times and messages are not in it: heartbeats move the first, and some agents count in the second.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Health {
    /// Whether the node is being deleted.
    pub terminating: bool,
    /// Conditions with the wrong status, `Ready` first, then by type.
    pub troubles: Vec<Trouble>,
    /// `NoExecute` taints that say something the conditions don't, by key.
    pub taints: Vec<Taint>,
}

impl Health {
    /// Whether nothing is wrong for any Pod.
    pub(crate) fn is_normal(&self) -> bool {
        !self.terminating && self.troubles.is_empty() && self.taints.is_empty()
    }
}

/// A condition with the wrong status.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Trouble {
    /// `Ready`, `MemoryPressure`, …
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Its reason; empty when it has none.
    pub reason: String,
}

/// A `NoExecute` taint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Taint {
    /// Its key.
    pub key: String,
    /// Its value; empty when it has none.
    pub value: String,
}

/// Type of the condition that every node has.
pub(crate) const READY: &str = "Ready";

/// Whether a node's condition has the status it should have.
///
/// OpenKruiseGame asks for `True` of `Ready` and `SufficientIP` only. Agents of cloud providers write `KernelReady`,
/// `NetworkingReady` and the like, which are `True` on a node that is well.
fn is_well(type_: &str, status: &str) -> bool {
    let wanted = if type_.ends_with(READY) || type_ == "SufficientIP" {
        "True"
    } else {
        "False"
    };
    status == wanted
}

/// Whether a `NoExecute` taint is more than a repetition of a condition. The node controller adds `not-ready` and
/// `unreachable` a moment after the condition changed: reading both would write each server twice.
fn is_own_statement(key: &str) -> bool {
    key == "node.kubernetes.io/out-of-service" || !key.starts_with("node.kubernetes.io/")
}

#[derive(Deserialize)]
struct WireNode {
    metadata: Meta,
    #[serde(default)]
    spec: WireSpec,
    #[serde(default)]
    status: WireStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireSpec {
    taints: Option<Vec<WireTaint>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireTaint {
    key: String,
    value: Option<String>,
    effect: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireStatus {
    conditions: Option<Vec<WireCondition>>,
    addresses: Option<Vec<WireAddress>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireAddress {
    #[serde(rename = "type")]
    type_: String,
    address: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireCondition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
    reason: Option<String>,
}

impl From<WireNode> for NodeView {
    fn from(node: WireNode) -> Self {
        let mut troubles: Vec<Trouble> = node
            .status
            .conditions
            .into_iter()
            .flatten()
            .filter(|condition| !is_well(&condition.type_, &condition.status))
            .map(|condition| Trouble {
                type_: condition.type_,
                status: condition.status,
                reason: condition.reason.unwrap_or_default(),
            })
            .collect();
        troubles.sort_unstable_by(|a, b| (a.type_ != READY, a).cmp(&(b.type_ != READY, b)));
        let mut taints: Vec<Taint> = node
            .spec
            .taints
            .into_iter()
            .flatten()
            .filter(|taint| taint.effect == "NoExecute" && is_own_statement(&taint.key))
            .map(|taint| Taint {
                key: taint.key,
                value: taint.value.unwrap_or_default(),
            })
            .collect();
        taints.sort_unstable();
        let public_ip = node
            .status
            .addresses
            .into_iter()
            .flatten()
            .find(|it| it.type_ == "ExternalIP" && !it.address.is_empty())
            .map(|it| it.address);
        Self {
            public_ip,
            health: Health {
                terminating: node.metadata.is_terminating(),
                troubles,
                taints,
            },
            metadata: node.metadata.into_identity(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn health(edit: impl FnOnce(&mut Value)) -> Health {
        let mut node = json!({
            "metadata": {"name": "node-1", "uid": "n1", "labels": {"a": "b"}},
            "spec": {"taints": [
                {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"},
                {"key": "dedicated", "value": "games", "effect": "NoSchedule"}]},
            "status": {"conditions": [
                {"type": "MemoryPressure", "status": "False", "reason": "KubeletHasSufficientMemory"},
                {"type": "KernelReady", "status": "True"},
                {"type": "SufficientIP", "status": "True"},
                {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready",
                    "lastHeartbeatTime": "2026-01-01T00:00:00Z"}]},
        });
        edit(&mut node);
        serde_json::from_value::<NodeView>(node).unwrap().health
    }

    #[test]
    fn a_node_that_is_well_has_nothing_in_its_view() {
        assert!(health(|_| {}).is_normal());
        assert!(
            serde_json::from_value::<NodeView>(json!({"metadata": {}}))
                .unwrap()
                .health
                .is_normal()
        );
    }

    #[test]
    fn each_condition_is_held_against_what_it_should_be() {
        let troubles = health(|node| {
            for (condition, status) in (0..4).zip(["True", "Unknown", "False", "Unknown"]) {
                node["status"]["conditions"][condition]["status"] = json!(status);
            }
        })
        .troubles;
        let types: Vec<_> = troubles.iter().map(|trouble| trouble.type_.as_str()).collect();
        assert_eq!(types, ["Ready", "KernelReady", "MemoryPressure", "SufficientIP"]);
        assert_eq!(
            (troubles[0].status.as_str(), troubles[0].reason.as_str()),
            ("Unknown", "KubeletReady")
        );
    }

    #[test]
    fn only_taints_that_evict_and_say_something_new_are_kept() {
        let taints = |taints: Value| health(|node| node["spec"]["taints"] = taints).taints;
        let kept = taints(json!([
            {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"},
            {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"},
            {"key": "maintenance", "effect": "NoExecute"},
            {"key": "maintenance", "effect": "NoSchedule"},
        ]));
        let keys: Vec<_> = kept.iter().map(|taint| taint.key.as_str()).collect();
        assert_eq!(keys, ["maintenance", "node.kubernetes.io/out-of-service"]);
    }

    #[test]
    fn heartbeats_messages_and_labels_change_nothing() {
        let before = health(|node| node["status"]["conditions"][3]["status"] = json!("False"));
        let after = health(|node| {
            node["status"]["conditions"][3]["status"] = json!("False");
            node["status"]["conditions"][3]["lastHeartbeatTime"] = json!("2026-01-01T00:05:00Z");
            node["status"]["conditions"][3]["message"] = json!("restarted 7 times");
            node["status"]["images"] = json!([{"names": ["game"]}]);
            node["metadata"]["labels"] = json!({});
            node["metadata"]["resourceVersion"] = json!("8");
        });
        assert_eq!(before, after);
    }
}

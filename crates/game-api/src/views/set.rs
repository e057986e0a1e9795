//! A GameServerSet: how long its servers may be silent.

use api_types::Meta;
use serde::Deserialize;

use super::identity;

/// A GameServerSet as this process keeps it.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WireSet")]
pub(crate) struct SetView {
    /// Identity.
    pub metadata: Meta,
    /// `spec.failurePolicy.heartbeatTimeoutSeconds`.
    pub heartbeat_timeout: Option<u32>,
}

#[derive(Deserialize)]
struct WireSet {
    metadata: Meta,
    #[serde(default)]
    spec: WireSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSpec {
    failure_policy: WirePolicy,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WirePolicy {
    heartbeat_timeout_seconds: Option<u32>,
}

impl From<WireSet> for SetView {
    fn from(set: WireSet) -> Self {
        Self {
            metadata: identity(set.metadata),
            heartbeat_timeout: set.spec.failure_policy.heartbeat_timeout_seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_set_without_a_policy_has_no_timeout() {
        let timeout = |spec: Value| {
            let set: SetView = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
            set.heartbeat_timeout
        };
        assert_eq!(timeout(json!({"replicas": 1})), None);
        assert_eq!(timeout(json!({"failurePolicy": {"behavior": "Delete"}})), None);
        assert_eq!(
            timeout(json!({"failurePolicy": {"heartbeatTimeoutSeconds": 30}})),
            Some(30)
        );
    }
}

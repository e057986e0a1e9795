//! Others that scale sets: HorizontalPodAutoscalers, and the ScaledObjects that KEDA makes them from.

use api_types::{
    keys::{GROUP, KIND_GAME_SERVER_SET},
    views::Meta,
};
use controller_kit::key::ObjectKey;
use serde::Deserialize;

/// A HorizontalPodAutoscaler: what it scales.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WireScaler")]
pub(crate) struct HpaView {
    /// Identity.
    pub metadata: Meta,
    /// The set it scales, where it scales one.
    pub set: Option<ObjectKey>,
}

/// A ScaledObject: what it scales.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WireScaler")]
pub(crate) struct ScaledObjectView {
    /// Identity.
    pub metadata: Meta,
    /// The set it scales, where it scales one.
    pub set: Option<ObjectKey>,
}

#[derive(Deserialize)]
struct WireScaler {
    metadata: Meta,
    #[serde(default)]
    spec: WireSpec,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireSpec {
    scale_target_ref: WireTarget,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireTarget {
    api_version: String,
    kind: String,
    name: String,
}

impl WireScaler {
    /// The target, whatever version of the group it names.
    fn set(&self) -> Option<ObjectKey> {
        let target = &self.spec.scale_target_ref;
        let group = target.api_version.split('/').next();
        let is_set = group == Some(GROUP) && target.kind == KIND_GAME_SERVER_SET;
        is_set.then(|| ObjectKey::new(self.metadata.namespace.as_str(), target.name.as_str()))
    }
}

impl From<WireScaler> for HpaView {
    fn from(wire: WireScaler) -> Self {
        Self {
            set: wire.set(),
            metadata: wire.metadata.into_identity().without_owners(),
        }
    }
}

impl From<WireScaler> for ScaledObjectView {
    fn from(wire: WireScaler) -> Self {
        Self {
            set: wire.set(),
            metadata: wire.metadata.into_identity().without_owners(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn target(target: &Value) -> Option<String> {
        let hpa: HpaView = serde_json::from_value(
            json!({"metadata": {"name": "h", "namespace": "games"}, "spec": {"scaleTargetRef": target}}),
        )
        .unwrap();
        hpa.set.map(|set| set.to_string())
    }

    #[test]
    fn only_a_set_of_ours_is_a_target() {
        let found = target(
            &json!({"apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "name": "arena"}),
        );
        assert_eq!(found.as_deref(), Some("games/arena"));
        let others = [
            json!({"apiVersion": "game.kruise.io/v1", "kind": "Deployment", "name": "arena"}),
            json!({"apiVersion": "apps/v1", "kind": "GameServerSet", "name": "arena"}),
            json!({"kind": "GameServerSet", "name": "arena"}),
            json!({}),
        ];
        assert!(others.iter().all(|other| target(other).is_none()));
    }
}

//! The parts of a Pod that controllers read.

use serde::{Deserialize, Deserializer};

use super::{Meta, keep::PodKeys, meta::keeping};
use crate::{
    keys::label,
    names::ordinal_of,
    state::{GameServerState, PodFacts, game_server_state},
};

/// A game server's Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "PodWire")]
pub struct PodView {
    /// Metadata; labels and annotations only under the prefixes that controllers read.
    pub metadata: Meta,
    /// `spec.nodeName`.
    pub node_name: Option<String>,
    /// Name and image of each of `spec.containers`.
    pub containers: Vec<ContainerImage>,
    /// Condition types of `spec.readinessGates`.
    pub readiness_gates: Vec<String>,
    /// `status.phase`.
    pub phase: Option<String>,
    /// `status.reason`.
    pub reason: Option<String>,
    /// Of `status.conditions` the one that is read: `Ready`. A Pod may carry hundreds of a user's own.
    pub conditions: Vec<PodConditionView>,
}

/// Name and image of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ContainerImage {
    /// Name of the container.
    pub name: String,
    /// Image as the spec names it.
    pub image: String,
}

/// A condition of a Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodConditionView {
    /// Condition type.
    #[serde(rename = "type")]
    pub type_: String,
    /// True, False or Unknown.
    pub status: String,
    /// Why, in one word.
    pub reason: Option<String>,
    /// RFC 3339 time of the last change of `status`.
    pub last_transition_time: Option<String>,
}

impl PodView {
    /// What the server's state depends on.
    pub fn facts(&self) -> PodFacts<'_> {
        PodFacts {
            phase: self.phase.as_deref(),
            terminating: self.metadata.is_terminating(),
            lifecycle: self.metadata.label(label::LIFECYCLE_STATE),
            ready: self
                .condition("Ready")
                .map(|condition| condition.status == "True"),
        }
    }

    /// State of the server.
    pub fn state(&self) -> GameServerState {
        game_server_state(self.facts())
    }

    /// Ordinal in the Pod's name.
    pub fn ordinal(&self) -> Option<u32> {
        ordinal_of(&self.metadata.name)
    }

    /// Name of the GameServerSet the Pod is labelled with.
    pub fn owner_set(&self) -> Option<&str> {
        self.metadata.label(label::OWNER_GSS)
    }

    /// The condition of this type.
    pub fn condition(&self, type_: &str) -> Option<&PodConditionView> {
        self.conditions.iter().find(|condition| condition.type_ == type_)
    }
}

#[derive(Deserialize)]
struct PodWire {
    #[serde(default, deserialize_with = "pod_meta")]
    metadata: Meta,
    #[serde(default)]
    spec: SpecWire,
    #[serde(default)]
    status: StatusWire,
}

fn pod_meta<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Meta, D::Error> {
    keeping::<PodKeys, D>(deserializer)
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SpecWire {
    node_name: Option<String>,
    containers: Vec<ContainerImage>,
    readiness_gates: Vec<GateWire>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GateWire {
    #[serde(default)]
    condition_type: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StatusWire {
    phase: Option<String>,
    reason: Option<String>,
    conditions: Vec<PodConditionView>,
}

impl From<PodWire> for PodView {
    fn from(mut wire: PodWire) -> Self {
        wire.spec.containers.shrink_to_fit();
        wire.status
            .conditions
            .retain(|condition| condition.type_ == "Ready");
        wire.status.conditions.shrink_to_fit();
        Self {
            metadata: wire.metadata,
            node_name: wire.spec.node_name,
            containers: wire.spec.containers,
            readiness_gates: wire
                .spec
                .readiness_gates
                .into_iter()
                .map(|gate| gate.condition_type)
                .collect(),
            phase: wire.status.phase,
            reason: wire.status.reason,
            conditions: wire.status.conditions,
        }
    }
}

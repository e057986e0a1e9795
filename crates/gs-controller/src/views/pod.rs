//! A Pod as this controller keeps it.

use std::time::Instant;

use api_types::{
    EvictionSafety,
    eviction::in_force,
    keys,
    state::{GameServerState, PodFacts, game_server_state},
    views::{Meta, OwnerRef},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::fingerprint::PodStatusFingerprint;

/// A Pod: what its GameServer's status is computed from.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WirePod")]
pub(crate) struct PodView {
    /// Identity, the labels and annotations under this project's prefixes, owners.
    pub metadata: Meta,
    /// Who may evict it, as its label and annotation say.
    pub eviction: Option<EvictionSafety>,
    /// The node the Pod is bound to.
    pub node_name: Option<String>,
    /// Names of the PersistentVolumeClaims its volumes use, in the order of the volumes.
    pub claims: Vec<String>,
    /// `status.phase`.
    pub phase: Option<String>,
    /// `status.reason`, such as `Evicted`.
    pub reason: Option<String>,
    /// `status.message`.
    pub message: Option<String>,
    /// `status.conditions`, those this controller reads.
    pub conditions: Vec<PodCondition>,
    /// Init containers, then containers, in the order of the Pod's status.
    pub containers: Vec<Container>,
    /// The whole status as the API server sent it: decoded again only when it is written to the GameServer.
    pub status: Option<Box<RawValue>>,
    /// What `status` is compared by.
    pub status_fingerprint: PodStatusFingerprint,
    /// When this version of the Pod was received.
    pub seen_at: Instant,
}

/// One of the Pod's conditions.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodCondition {
    /// `Ready`, `ContainersReady`, …
    #[serde(rename = "type")]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// The kubelet's reason; empty when there is none.
    #[serde(default)]
    pub reason: Option<String>,
    /// The kubelet's message; empty when there is none.
    #[serde(default)]
    pub message: Option<String>,
}

/// A container or init container of the Pod, as far as its trouble is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Container {
    /// Whether it is an init container.
    pub init: bool,
    /// What it does now.
    pub now: ContainerPhase,
    /// How it ended the last time, when it has been restarted.
    pub before: Option<Ended>,
}

/// What a container does now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum ContainerPhase {
    /// Not started.
    Waiting {
        /// Empty when the kubelet gives none.
        reason: String,
        /// Empty when the kubelet gives none.
        message: String,
    },
    /// Started.
    Running,
    /// Ended, and not (yet) started again.
    Ended(Ended),
    /// The kubelet has not said anything yet.
    #[default]
    Unknown,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Ended {
    /// Empty when the kubelet gives none.
    pub reason: String,
    /// Empty when the kubelet gives none.
    pub message: String,
    /// The process' exit code.
    pub exit_code: i32,
}

impl PodView {
    /// The game server state that this Pod shows.
    pub(crate) fn state(&self) -> GameServerState {
        game_server_state(PodFacts {
            phase: self.phase.as_deref(),
            terminating: self.metadata.is_terminating(),
            lifecycle: self.metadata.label(keys::label::LIFECYCLE_STATE),
            ready: self
                .condition("Ready")
                .map(|condition| condition.status == "True"),
        })
    }

    /// The condition of the given type, if the Pod has it.
    pub(crate) fn condition(&self, type_: &str) -> Option<&PodCondition> {
        self.conditions.iter().find(|condition| condition.type_ == type_)
    }

    /// The GameServerSet that controls this Pod.
    pub(crate) fn set(&self) -> Option<&OwnerRef> {
        self.metadata
            .controller()
            .filter(|owner| owner.kind == "GameServerSet" && owner.api_version.starts_with(keys::GROUP))
    }
}

/// The conditions that decide the state or `PodNormal`; a Pod may carry hundreds of a user's own.
const READ_CONDITIONS: [&str; 4] = ["PodScheduled", "Initialized", "ContainersReady", "Ready"];

/// Labels and annotations that this controller reads from a Pod.
const READ_LABELS: [&str; 2] = [keys::label::OWNER_GSS, keys::label::LIFECYCLE_STATE];

#[derive(Deserialize)]
struct WirePod {
    metadata: Meta,
    #[serde(default)]
    spec: WireSpec,
    #[serde(default)]
    status: Option<Box<RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSpec {
    node_name: Option<String>,
    volumes: Option<Vec<WireVolume>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireVolume {
    persistent_volume_claim: Option<WireClaim>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireClaim {
    claim_name: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireStatus {
    phase: Option<String>,
    reason: Option<String>,
    message: Option<String>,
    conditions: Option<Vec<PodCondition>>,
    init_container_statuses: Option<Vec<WireContainer>>,
    container_statuses: Option<Vec<WireContainer>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireContainer {
    state: Option<WireState>,
    last_state: Option<WireState>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireState {
    waiting: Option<WireWaiting>,
    running: Option<serde::de::IgnoredAny>,
    terminated: Option<Ended>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireWaiting {
    reason: String,
    message: String,
}

impl From<WirePod> for PodView {
    fn from(pod: WirePod) -> Self {
        let raw = pod.status.as_deref().map_or("{}", RawValue::get);
        // The text was valid JSON a moment ago; only a field of an impossible type can fail here. Such a Pod keeps
        // its fingerprint and gets the state Unknown rather than hiding the whole Pod.
        let status: WireStatus = serde_json::from_str(raw).unwrap_or_default();
        let fingerprint = serde_json::from_str(raw).unwrap_or_default();
        let containers = |init: bool, list: Option<Vec<WireContainer>>| {
            list.into_iter()
                .flatten()
                .map(move |container| Container::from_wire(init, container))
        };
        let mut conditions: Vec<PodCondition> = status.conditions.unwrap_or_default();
        conditions.retain(|condition| READ_CONDITIONS.contains(&condition.type_.as_str()));
        let mut containers: Vec<Container> = containers(true, status.init_container_statuses)
            .chain(containers(false, status.container_statuses))
            .collect();
        // Lists grow by doubling from four, and there are thousands of these.
        conditions.shrink_to_fit();
        containers.shrink_to_fit();
        let mut metadata = pod.metadata;
        let eviction = in_force(
            metadata.annotation(keys::annotation::SAFE_TO_EVICT),
            metadata.label(keys::label::SAFE_TO_EVICT),
        );
        metadata.labels.retain(|key, _| READ_LABELS.contains(&key));
        metadata.annotations.clear();
        Self {
            metadata,
            eviction,
            node_name: pod.spec.node_name.filter(|name| !name.is_empty()),
            claims: pod
                .spec
                .volumes
                .into_iter()
                .flatten()
                .filter_map(|volume| Some(volume.persistent_volume_claim?.claim_name))
                .collect(),
            phase: status.phase,
            reason: status.reason,
            message: status.message,
            conditions,
            containers,
            status_fingerprint: fingerprint,
            status: pod.status,
            seen_at: Instant::now(),
        }
    }
}

impl Container {
    fn from_wire(init: bool, container: WireContainer) -> Self {
        let state = container.state.unwrap_or_default();
        let now = match (state.waiting, state.running, state.terminated) {
            (_, Some(_), _) => ContainerPhase::Running,
            (_, None, Some(ended)) => ContainerPhase::Ended(ended),
            (Some(WireWaiting { reason, message }), None, None) => {
                ContainerPhase::Waiting { reason, message }
            }
            (None, None, None) => ContainerPhase::Unknown,
        };
        Self {
            init,
            now,
            before: container.last_state.and_then(|state| state.terminated),
        }
    }
}

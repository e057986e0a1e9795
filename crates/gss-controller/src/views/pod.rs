//! A Pod as this controller keeps it.

use api_types::{
    GameServerState,
    keys::{self, label},
    state::{PodFacts, game_server_state},
    views::Meta,
};
use controller_kit::{
    resource::{self, ResourceKind},
    watch::Watched,
};
use serde::Deserialize;

/// A game server's Pod: what it was made from, what the kubelet says about it, and what holds it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "WirePod")]
pub struct PodView {
    /// Metadata with all labels, since hooks may name any, and the annotations that controllers write.
    pub metadata: Meta,
    /// The node the Pod is bound to.
    pub node_name: Option<String>,
    /// `spec.containers`, in their order.
    pub containers: Vec<Container>,
    /// Ports of its node that its containers open.
    pub host_ports: Vec<u16>,
    /// How many `spec.initContainers` there are.
    pub init_containers: usize,
    /// Names of the PersistentVolumeClaims its volumes use, in the order of the volumes.
    pub claims: Vec<String>,
    /// Condition types of `spec.readinessGates`.
    pub readiness_gates: Vec<String>,
    /// `status.phase`.
    pub phase: Option<String>,
    /// `status.reason`, such as `Evicted`.
    pub reason: Option<String>,
    /// Those of `status.conditions` that are read: [`READ_CONDITIONS`] and the readiness gates'.
    pub conditions: Vec<PodCondition>,
    /// `status.containerStatuses`.
    pub container_statuses: Vec<ContainerStatus>,
}

/// One of `spec.containers`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// The image as the spec names it.
    pub image: String,
    /// CPU and memory asked for.
    pub resources: Resources,
}

/// What the kubelet says about a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// The container's name.
    pub name: String,
    /// The image as the runtime names it: often longer than in the spec.
    pub image: String,
    /// The image's digest, or the runtime's own id of it.
    #[serde(rename = "imageID")]
    pub image_id: String,
    /// The runtime's id of this very run of the container; empty before it was started.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// Whether it passes its readiness probe.
    pub ready: bool,
    /// Why it is not started: `state.waiting.reason`.
    #[serde(rename = "state", deserialize_with = "waiting_reason")]
    pub waiting: Option<String>,
    /// CPU and memory in force; nothing where the kubelet does not say.
    #[serde(deserialize_with = "null_as_default")]
    pub resources: Resources,
}

/// CPU and memory of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// The most it may use.
    #[serde(deserialize_with = "null_as_default")]
    pub limits: Amounts,
    /// What is set aside for it.
    #[serde(deserialize_with = "null_as_default")]
    pub requests: Amounts,
}

/// Amounts as Kubernetes writes quantities.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Amounts {
    /// Cores.
    pub cpu: Option<String>,
    /// Bytes.
    pub memory: Option<String>,
}

/// A condition of a Pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodCondition {
    /// Condition type.
    #[serde(rename = "type")]
    pub type_: String,
    /// True, False or Unknown.
    pub status: String,
    /// Why, in one word.
    pub reason: Option<String>,
    /// Why, in words.
    pub message: Option<String>,
    /// RFC 3339 time of the last change of `status`.
    pub last_transition_time: Option<String>,
}

impl PodView {
    /// State of the server.
    pub fn state(&self) -> GameServerState {
        game_server_state(PodFacts {
            phase: self.phase.as_deref(),
            terminating: self.metadata.is_terminating(),
            lifecycle: self.metadata.label(label::LIFECYCLE_STATE),
            ready: self
                .condition("Ready")
                .map(|condition| condition.status == "True"),
        })
    }

    /// Name of the GameServerSet the Pod is labelled with.
    pub fn owner_set(&self) -> Option<&str> {
        self.metadata.label(label::OWNER_GSS)
    }

    /// The condition of this type.
    pub fn condition(&self, type_: &str) -> Option<&PodCondition> {
        self.conditions.iter().find(|condition| condition.type_ == type_)
    }

    /// Whether the Pod has this readiness gate.
    pub fn has_gate(&self, type_: &str) -> bool {
        self.readiness_gates.iter().any(|gate| gate == type_)
    }

    /// The container of this name in the spec.
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.name == name)
    }

    /// What the kubelet says about the container of this name.
    pub fn container_status(&self, name: &str) -> Option<&ContainerStatus> {
        self.container_statuses.iter().find(|status| status.name == name)
    }
}

impl Watched for PodView {
    const RESOURCE: ResourceKind = resource::POD;

    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

/// The Pod condition with which Kubernetes announces a disruption, a moment before it deletes the Pod.
pub(crate) const DISRUPTION_TARGET: &str = "DisruptionTarget";

/// Conditions that are kept beside those of readiness gates. A Pod has three more from its kubelet, and may have hundreds of a user's own.
const READ_CONDITIONS: [&str; 5] = [
    "Ready",
    "PodScheduled",
    DISRUPTION_TARGET,
    keys::KRUISE_POD_READY,
    keys::IN_PLACE_UPDATE_READY,
];

/// Prefixes of the annotations that are kept; a user's own may be of any size.
const READ_ANNOTATIONS: [&str; 3] = [keys::GAME_PREFIX, "lifecycle.apps.kruise.io/", "apps.kruise.io/"];

#[derive(Deserialize)]
struct WirePod {
    #[serde(default)]
    metadata: Meta,
    #[serde(default)]
    spec: WireSpec,
    #[serde(default)]
    status: WireStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSpec {
    node_name: Option<String>,
    #[serde(deserialize_with = "null_as_default")]
    containers: Vec<WireContainer>,
    #[serde(deserialize_with = "null_as_default")]
    init_containers: Vec<serde::de::IgnoredAny>,
    #[serde(deserialize_with = "null_as_default")]
    volumes: Vec<WireVolume>,
    #[serde(deserialize_with = "null_as_default")]
    readiness_gates: Vec<WireGate>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireContainer {
    name: String,
    image: String,
    #[serde(deserialize_with = "null_as_default")]
    resources: Resources,
    #[serde(deserialize_with = "null_as_default")]
    ports: Vec<WirePort>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WirePort {
    host_port: u16,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireGate {
    condition_type: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
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
    #[serde(deserialize_with = "null_as_default")]
    conditions: Vec<PodCondition>,
    #[serde(deserialize_with = "null_as_default")]
    container_statuses: Vec<ContainerStatus>,
}

/// `null`, which Go writes for empty lists and structs in some places, is the default.
fn null_as_default<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn waiting_reason<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct State {
        waiting: Option<Waiting>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Waiting {
        reason: Option<String>,
    }
    let state = Option::<State>::deserialize(deserializer)?;
    Ok(state
        .and_then(|state| state.waiting?.reason)
        .filter(|reason| !reason.is_empty()))
}

impl From<WirePod> for PodView {
    fn from(mut wire: WirePod) -> Self {
        // Lists grow by doubling from four, and there are thousands of these.
        wire.spec.containers.shrink_to_fit();
        let gates = &wire.spec.readiness_gates;
        wire.status.conditions.retain(|condition| {
            let type_ = condition.type_.as_str();
            READ_CONDITIONS.contains(&type_) || gates.iter().any(|gate| gate.condition_type == type_)
        });
        wire.status.conditions.shrink_to_fit();
        wire.status.container_statuses.shrink_to_fit();
        let mut metadata = wire.metadata;
        metadata
            .annotations
            .retain(|key, _| READ_ANNOTATIONS.iter().any(|prefix| key.starts_with(prefix)));
        let containers = wire.spec.containers;
        let ports = containers.iter().flat_map(|container| &container.ports);
        Self {
            metadata,
            node_name: wire.spec.node_name.filter(|name| !name.is_empty()),
            host_ports: ports
                .map(|port| port.host_port)
                .filter(|port| *port > 0)
                .collect(),
            containers: containers
                .into_iter()
                .map(|container| Container {
                    name: container.name,
                    image: container.image,
                    resources: container.resources,
                })
                .collect(),
            init_containers: wire.spec.init_containers.len(),
            claims: wire
                .spec
                .volumes
                .into_iter()
                .filter_map(|volume| Some(volume.persistent_volume_claim?.claim_name))
                .collect(),
            readiness_gates: wire
                .spec
                .readiness_gates
                .into_iter()
                .map(|gate| gate.condition_type)
                .collect(),
            phase: wire.status.phase,
            reason: wire.status.reason,
            conditions: wire.status.conditions,
            container_statuses: wire.status.container_statuses,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_kept_without_what_nobody_reads() {
        let pod: PodView = serde_json::from_value(json!({
            "metadata": {
                "name": "arena-3", "uid": "u", "labels": { "team.example.com/any": "red" }, "finalizers": ["example.com/save"],
                "annotations": { "game.kruise.io/a": "1", "apps.kruise.io/inplace-update-state": "{}", "huge": "…" },
            },
            "spec": {
                "nodeName": "n1", "initContainers": [{ "name": "i" }],
                "containers": [
                    { "name": "game", "image": "game:1", "ports": [{ "containerPort": 1, "hostPort": 8000 }, { "containerPort": 2 }],
                        "resources": { "limits": { "cpu": "1", "example.com/gpu": "2" } } },
                    { "name": "side", "image": "side:1", "resources": {} },
                ],
                "volumes": [{ "name": "a", "emptyDir": {} }, { "name": "b", "persistentVolumeClaim": { "claimName": "b-arena-3" } }],
                "readinessGates": [{ "conditionType": "InPlaceUpdateReady" }, { "conditionType": "example.com/warm" }],
            },
            "status": {
                "phase": "Running",
                "conditions": [
                    { "type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "m" },
                    { "type": "Initialized", "status": "True" },
                    { "type": "example.com/warm", "status": "True" },
                    { "type": "example.com/any", "status": "True" },
                ],
                "containerStatuses": [{ "name": "game", "image": "docker.io/game:1", "imageID": "sha256:1", "containerID": "c://1",
                    "ready": true, "state": { "waiting": { "reason": "ErrImagePull" } }, "resources": { "requests": { "memory": "1Gi" } } }],
            },
        }))
        .unwrap();
        assert_eq!(pod.metadata.label("team.example.com/any"), Some("red"));
        assert_eq!(pod.metadata.annotations.len(), 2);
        assert_eq!(pod.host_ports, [8000]);
        assert_eq!(
            (pod.init_containers, pod.claims.as_slice()),
            (1, &["b-arena-3".to_owned()][..])
        );
        assert_eq!(
            pod.container("game").unwrap().resources.limits.cpu.as_deref(),
            Some("1")
        );
        let status = pod.container_status("game").unwrap();
        assert_eq!(
            (status.image_id.as_str(), status.container_id.as_str()),
            ("sha256:1", "c://1")
        );
        assert_eq!(status.resources.requests.memory.as_deref(), Some("1Gi"));
        assert_eq!(status.waiting.as_deref(), Some("ErrImagePull"));
        assert_eq!(pod.condition("Ready").unwrap().message.as_deref(), Some("m"));
        assert!(pod.has_gate("InPlaceUpdateReady"));
        assert!(pod.condition("example.com/warm").is_some());
        assert_eq!(pod.conditions.len(), 2);
    }

    #[test]
    fn nulls_and_absent_parts_are_empty() {
        let pod: PodView = serde_json::from_value(json!({
            "metadata": { "name": "arena-3" },
            "spec": { "containers": [{ "name": "game", "resources": null }], "volumes": null, "initContainers": null },
            "status": { "conditions": null, "containerStatuses": null },
        }))
        .unwrap();
        assert_eq!(pod.containers.len(), 1);
        assert!(pod.conditions.is_empty() && pod.claims.is_empty() && pod.init_containers == 0);
    }
}

//! A Pod: its containers, how they run, and what its service qualities say.

use std::{collections::BTreeMap, sync::Arc};

use api_types::{
    keys::{self, label},
    views::Meta,
};
use jiff::Timestamp;
use serde::Deserialize;

/// A Pod as this controller keeps it.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WirePod")]
pub(crate) struct PodView {
    /// Identity and owners.
    pub metadata: Meta,
    /// Name of the set.
    pub set: Arc<str>,
    /// Label `gs-opsState`.
    pub ops_state: Option<Arc<str>>,
    /// Its address.
    pub ip: Option<String>,
    /// Containers that run as long as the Pod does, in the order of the spec, sidecars last.
    pub containers: Vec<Container>,
    /// Conditions of service qualities, by the quality's name.
    pub qualities: BTreeMap<String, Condition>,
}

/// A container of a Pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Container {
    /// Its name.
    pub name: String,
    /// Its named ports.
    pub ports: Vec<(String, u16)>,
    /// Its process; `None` while it does not run.
    pub running: Option<Running>,
}

/// A container that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Running {
    /// Its id, without the runtime's name.
    pub id: String,
    /// When it was started.
    pub since: Option<Timestamp>,
}

/// What a Pod's condition says of a service quality.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Condition {
    #[serde(rename = "type")]
    type_: String,
    /// True, False or Unknown.
    pub status: String,
    /// Why, in one word.
    pub reason: Option<String>,
    /// The result.
    pub message: Option<String>,
    /// RFC 3339 time of the run that gave it.
    pub last_probe_time: Option<String>,
}

impl PodView {
    /// Whether this Pod belongs to the set with this UID. One that OpenKruise's StatefulSet still controls is probed and
    /// acted on by OpenKruise and OpenKruiseGame.
    pub(crate) fn is_of(&self, set_uid: &str) -> bool {
        self.metadata
            .controller()
            .is_some_and(|owner| owner.uid == set_uid && owner.kind == keys::KIND_GAME_SERVER_SET)
    }

    /// Whether what is probed, and where, may differ between the two; or what a condition should say.
    pub(crate) fn probed_otherwise(&self, other: &Self) -> bool {
        let seen = |it: &Self| (it.metadata.owner_references.clone(), it.containers.clone());
        self.acted_on_otherwise(other) || self.ip != other.ip || seen(self) != seen(other)
    }

    /// Whether what results there are may differ between the two.
    pub(crate) fn acted_on_otherwise(&self, other: &Self) -> bool {
        (&self.metadata.uid, &self.metadata.deletion_timestamp)
            != (&other.metadata.uid, &other.metadata.deletion_timestamp)
            || self.metadata.owner_references != other.metadata.owner_references
            || self.qualities != other.qualities
    }
}

#[derive(Deserialize)]
struct WirePod {
    metadata: Meta,
    #[serde(default)]
    spec: WireSpec,
    #[serde(default)]
    status: WireStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSpec {
    containers: Vec<WireContainer>,
    init_containers: Option<Vec<WireContainer>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireContainer {
    name: String,
    ports: Option<Vec<WirePort>>,
    restart_policy: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WirePort {
    name: Option<String>,
    container_port: u16,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireStatus {
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    conditions: Option<Vec<Condition>>,
    container_statuses: Option<Vec<WireContainerStatus>>,
    init_container_statuses: Option<Vec<WireContainerStatus>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireContainerStatus {
    name: String,
    #[serde(rename = "containerID")]
    container_id: Option<String>,
    state: WireState,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireState {
    running: Option<WireRunning>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireRunning {
    started_at: Option<String>,
}

impl From<WirePod> for PodView {
    fn from(pod: WirePod) -> Self {
        let WirePod {
            mut metadata,
            spec,
            status,
        } = pod;
        let sidecars = spec
            .init_containers
            .into_iter()
            .flatten()
            .filter(|container| container.restart_policy.as_deref() == Some("Always"));
        let statuses: Vec<_> = status
            .container_statuses
            .into_iter()
            .chain(status.init_container_statuses)
            .flatten()
            .collect();
        let containers = spec.containers.into_iter().chain(sidecars);
        Self {
            set: metadata
                .labels
                .remove(label::OWNER_GSS)
                .unwrap_or_else(|| "".into()),
            ops_state: metadata.labels.remove(label::GS_OPS_STATE),
            metadata: metadata.into_identity(),
            ip: status.pod_ip.filter(|ip| !ip.is_empty()),
            containers: containers.map(|wire| container(wire, &statuses)).collect(),
            qualities: status
                .conditions
                .into_iter()
                .flatten()
                .filter_map(|mut condition| {
                    let name = condition.type_.strip_prefix(keys::GAME_PREFIX)?.to_owned();
                    condition.type_ = String::new();
                    Some((name, condition))
                })
                .collect(),
        }
    }
}

fn container(wire: WireContainer, statuses: &[WireContainerStatus]) -> Container {
    let status = statuses.iter().find(|status| status.name == wire.name);
    let running = status.and_then(|status| {
        let running = status.state.running.as_ref()?;
        let id = status.container_id.as_deref()?;
        Some(Running {
            id: id.split_once("://").map_or(id, |(_, id)| id).to_owned(),
            since: running.started_at.as_deref().and_then(|time| time.parse().ok()),
        })
    });
    let ports = wire.ports.into_iter().flatten();
    Container {
        ports: ports
            .filter_map(|port| Some((port.name?, port.container_port)))
            .collect(),
        name: wire.name,
        running,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_needed_of_a_pod_is_kept_and_nothing_else() {
        let pod: PodView = serde_json::from_value(json!({
            "metadata": {"name": "arena-0", "labels": {"game.kruise.io/owner-gss": "arena", "game.kruise.io/gs-opsState": "None",
                "app": "x"}},
            "spec": {
                "containers": [{"name": "game", "ports": [{"name": "health", "containerPort": 8080}, {"containerPort": 1}]}],
                "initContainers": [{"name": "setup"}, {"name": "agent", "restartPolicy": "Always"}],
            },
            "status": {
                "podIP": "10.0.0.1",
                "conditions": [{"type": "Ready", "status": "True"},
                    {"type": "game.kruise.io/healthy", "status": "False", "message": "gate"}],
                "containerStatuses": [{"name": "game", "containerID": "containerd://abc",
                    "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}],
                "initContainerStatuses": [{"name": "agent", "containerID": "containerd://def", "state": {"waiting": {}}}],
            },
        }))
        .unwrap();
        assert_eq!((&*pod.set, pod.ops_state.as_deref()), ("arena", Some("None")));
        assert!(pod.metadata.labels.is_empty());
        let names: Vec<_> = pod.containers.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["game", "agent"]);
        assert_eq!(pod.containers[0].ports, [("health".to_owned(), 8080)]);
        assert_eq!(pod.containers[0].running.as_ref().unwrap().id, "abc");
        assert_eq!(pod.containers[1].running, None);
        assert_eq!(pod.qualities.len(), 1);
        assert_eq!(pod.qualities["healthy"].message.as_deref(), Some("gate"));
    }
}

//! A GameServer as this controller keeps it.

use api_types::{
    EvictionInForce, EvictionSafety,
    int_or_string::IntOrString,
    keys,
    state::GameServerState,
    views::{Meta, OwnerRef},
};
use serde::Deserialize;

use crate::{conditions::Condition, fingerprint::PodStatusFingerprint};

/// A GameServer: what is compared with the Pod, and nothing more.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WireGameServer")]
pub(crate) struct GameServerView {
    /// Identity, owners, and the few labels and annotations this controller writes or acts on.
    pub metadata: Meta,
    /// `spec.opsState`, for the metrics.
    pub ops_state: Option<String>,
    /// `spec.updatePriority` as `status` shows it.
    pub update_priority: String,
    /// `spec.deletionPriority` as `status` shows it.
    pub deletion_priority: String,
    /// This controller's part of the stored status.
    pub status: StoredStatus,
}

/// This controller's part of a GameServer's stored status.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct StoredStatus {
    /// `status.desiredState`; empty while no status has been written.
    pub desired_state: String,
    /// `status.currentState`, if it is one of the known states.
    pub current_state: Option<GameServerState>,
    /// `status.nodeName`.
    pub node_name: Option<String>,
    /// `status.updatePriority`; empty when absent or not a string.
    pub update_priority: String,
    /// `status.deletionPriority`; empty when absent or not a string.
    pub deletion_priority: String,
    /// What `status.podStatus` is compared by.
    pub pod_fingerprint: PodStatusFingerprint,
    /// The conditions that this controller owns.
    pub conditions: Vec<Condition>,
    /// `status.eviction.safe`.
    pub eviction: Option<EvictionSafety>,
}

/// What a GameServer's controller reference says about the server it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Belonging {
    /// To this very Pod, or to the set that controls it.
    Current,
    /// To an earlier Pod of the same name, or to an earlier set.
    Earlier,
    /// It has no controller: somebody made it by hand, or a backup was restored without owners.
    Nobody,
}

impl Belonging {
    /// Whom the GameServer with this metadata belongs to, seen from a Pod with the given UID and set.
    pub(crate) fn of(metadata: &Meta, pod_uid: &str, set: &OwnerRef) -> Self {
        match metadata.controller() {
            None => Self::Nobody,
            Some(owner) if owner.uid == pod_uid || owner.uid == set.uid => Self::Current,
            Some(_) => Self::Earlier,
        }
    }
}

impl GameServerView {
    /// Whether it is to be deleted as soon as its Pod is gone.
    pub(crate) fn is_retired(&self) -> bool {
        self.metadata
            .label(keys::label::GS_DELETING)
            .is_some_and(|value| value == "true")
    }

    /// The value of one of the annotations this controller keeps.
    pub(crate) fn annotation(&self, key: &str) -> &str {
        self.metadata.annotation(key).unwrap_or_default()
    }
}

/// A priority as status and labels show it: always a string, `"0"` when the spec has none.
fn shown(priority: Option<&IntOrString>) -> String {
    priority.map_or_else(|| "0".to_owned(), IntOrString::to_label_string)
}

const READ_LABELS: [&str; 2] = [keys::label::OWNER_GSS, keys::label::GS_DELETING];
const READ_ANNOTATIONS: [&str; 2] = [
    keys::annotation::GS_TEMPLATE_METADATA_HASH,
    keys::annotation::GS_TEMPLATE_METADATA_KEYS,
];

#[derive(Deserialize)]
struct WireGameServer {
    metadata: Meta,
    #[serde(default)]
    spec: WireSpec,
    #[serde(default)]
    status: WireStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSpec {
    ops_state: Option<String>,
    update_priority: Option<IntOrString>,
    deletion_priority: Option<IntOrString>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireStatus {
    desired_state: Option<String>,
    current_state: Option<String>,
    node_name: Option<String>,
    update_priority: Option<IntOrString>,
    deletion_priority: Option<IntOrString>,
    pod_status: Option<PodStatusFingerprint>,
    conditions: Option<Vec<Condition>>,
    eviction: Option<EvictionInForce>,
}

impl From<WireGameServer> for GameServerView {
    fn from(game_server: WireGameServer) -> Self {
        let mut metadata = game_server.metadata;
        metadata.labels.retain(|key, _| READ_LABELS.contains(&key));
        metadata
            .annotations
            .retain(|key, _| READ_ANNOTATIONS.contains(&key));
        let spec = game_server.spec;
        Self {
            metadata,
            update_priority: shown(spec.update_priority.as_ref()),
            deletion_priority: shown(spec.deletion_priority.as_ref()),
            ops_state: spec.ops_state,
            status: game_server.status.into(),
        }
    }
}

impl From<WireStatus> for StoredStatus {
    fn from(status: WireStatus) -> Self {
        // A priority stored as a number (by an older controller) is not what we would write: it reads as "other".
        let text = |priority: Option<IntOrString>| match priority {
            Some(IntOrString::String(text)) => text,
            _ => String::new(),
        };
        let mut conditions: Vec<Condition> = status.conditions.unwrap_or_default();
        conditions.retain(Condition::is_ours);
        // Lists grow by doubling from four, and there are thousands of these.
        conditions.shrink_to_fit();
        Self {
            desired_state: status.desired_state.unwrap_or_default(),
            current_state: status.current_state.and_then(|state| state.parse().ok()),
            node_name: status.node_name,
            update_priority: text(status.update_priority),
            deletion_priority: text(status.deletion_priority),
            pod_fingerprint: status.pod_status.unwrap_or_default(),
            conditions,
            eviction: status.eviction.and_then(|eviction| eviction.safe),
        }
    }
}

//! A GameServerSet: whether its GameServers outlive their Pods.

use api_types::{ReclaimPolicy, views::Meta};
use serde::Deserialize;

/// A GameServerSet as this controller keeps it.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WireSet")]
pub(crate) struct SetView {
    /// Identity.
    pub metadata: Meta,
    /// Whether a GameServer outlives its Pod (`reclaimPolicy: Delete`), and has the label of the Pod before when the next is bound.
    pub keeps_game_servers: bool,
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
    game_server_template: WireTemplate,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireTemplate {
    reclaim_policy: Option<ReclaimPolicy>,
}

impl From<WireSet> for SetView {
    fn from(set: WireSet) -> Self {
        Self {
            metadata: set.metadata.into_identity(),
            keeps_game_servers: set.spec.game_server_template.reclaim_policy == Some(ReclaimPolicy::Delete),
        }
    }
}

//! A GameServer: what it says about its node.

use api_types::{GameServerCondition, keys, views::Meta};
use serde::Deserialize;

/// A GameServer as this controller keeps it.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WireGameServer")]
pub(crate) struct GameServerView {
    /// Identity and owners.
    pub metadata: Meta,
    /// Label `node-name`.
    pub node_label: Option<String>,
    /// Condition `NodeNormal`.
    pub condition: Option<GameServerCondition>,
    /// `status.publicIP`.
    pub public_ip: Option<String>,
}

impl GameServerView {
    /// Whether what is to be written may differ between the two.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        let seen = |it: &Self| (it.metadata.uid.clone(), it.metadata.owner_references.clone());
        seen(self) != seen(other)
            || (&self.node_label, &self.condition, &self.public_ip)
                != (&other.node_label, &other.condition, &other.public_ip)
    }
}

#[derive(Deserialize)]
struct WireGameServer {
    metadata: Meta,
    #[serde(default)]
    status: WireStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireStatus {
    #[serde(rename = "publicIP")]
    public_ip: Option<String>,
    conditions: Option<Vec<GameServerCondition>>,
}

impl From<WireGameServer> for GameServerView {
    fn from(game_server: WireGameServer) -> Self {
        let mut metadata = game_server.metadata;
        Self {
            node_label: metadata
                .labels
                .remove(keys::label::NODE_NAME)
                .map(|name| name.to_string()),
            metadata: metadata.into_identity(),
            public_ip: game_server.status.public_ip,
            condition: game_server
                .status
                .conditions
                .into_iter()
                .flatten()
                .find(|condition| condition.type_ == keys::condition::NODE_NORMAL),
        }
    }
}

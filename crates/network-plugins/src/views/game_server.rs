//! A GameServer: what it says about the server's network.

use api_types::{GameServerCondition, NetworkStatus, keys, views::Meta};
use serde::Deserialize;

use super::{is_same, null_as_default};

/// A GameServer as this controller keeps it.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WireGameServer")]
pub(crate) struct GameServerView {
    /// Identity and owners.
    pub metadata: Meta,
    /// `status.networkStatus`.
    pub network: NetworkStatus,
    /// Condition `NetworkReady`.
    pub condition: Option<GameServerCondition>,
}

impl GameServerView {
    /// Whether it says anything about a network.
    pub(crate) fn has_network(&self) -> bool {
        self.condition.is_some() || self.network != NetworkStatus::default()
    }

    /// Whether what is to be written may differ between the two.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        !is_same(&self.metadata, &other.metadata)
            || self.network != other.network
            || self.condition != other.condition
    }
}

#[derive(Deserialize)]
struct WireGameServer {
    metadata: Meta,
    #[serde(default)]
    status: WireStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireStatus {
    #[serde(deserialize_with = "null_as_default")]
    network_status: NetworkStatus,
    #[serde(deserialize_with = "null_as_default")]
    conditions: Vec<GameServerCondition>,
}

impl From<WireGameServer> for GameServerView {
    fn from(game_server: WireGameServer) -> Self {
        Self {
            metadata: game_server.metadata.into_identity(),
            network: game_server.status.network_status,
            condition: game_server
                .status
                .conditions
                .into_iter()
                .find(|condition| condition.type_ == keys::condition::NETWORK_READY),
        }
    }
}

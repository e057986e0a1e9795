//! A GameServer: what actions may change of it, and what has been acted on.

use api_types::{GameServerSpec, ServiceQualityCondition, keys::annotation, views::Meta};
use serde::Deserialize;

use crate::plan::Record;

/// A GameServer as this controller keeps it.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WireGameServer")]
pub(crate) struct GameServerView {
    /// Metadata; labels and annotations are what actions may change.
    pub metadata: Meta,
    /// What operators, allocators and service qualities want of the server.
    pub spec: GameServerSpec,
    /// Whether it is being taken away.
    pub claimed: bool,
    /// `status.serviceQualitiesConditions`.
    pub conditions: Vec<ServiceQualityCondition>,
    /// What has been acted on.
    pub record: Record,
}

impl GameServerView {
    /// Whether there may be something to do for the one and not for the other. What people write into the spec is
    /// nothing to act on: only results are.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        let seen = |it: &Self| (it.metadata.uid.clone(), it.metadata.owner_references.clone());
        seen(self) != seen(other) || self.conditions != other.conditions || self.record != other.record
    }
}

#[derive(Deserialize)]
struct WireGameServer {
    metadata: Meta,
    #[serde(default)]
    spec: GameServerSpec,
    #[serde(default)]
    status: WireStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireStatus {
    service_qualities_conditions: Option<Vec<ServiceQualityCondition>>,
    deletion_claim: Option<serde::de::IgnoredAny>,
}

impl From<WireGameServer> for GameServerView {
    fn from(game_server: WireGameServer) -> Self {
        let mut metadata = game_server.metadata;
        let record = metadata.annotations.remove(annotation::SERVICE_QUALITY_ACTED);
        Self {
            record: record.map_or_else(Record::default, |text| Record::read(&text)),
            metadata,
            spec: game_server.spec,
            claimed: game_server.status.deletion_claim.is_some(),
            conditions: game_server
                .status
                .service_qualities_conditions
                .unwrap_or_default(),
        }
    }
}

//! A GameServer: what its server may read of it, and what it has reported.

use std::sync::Arc;

use api_types::{DeletionClaim, Meta, Report, views::shared};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{PodView, identity};
use crate::plan::entry::Seen;

/// A GameServer as this process keeps it.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WireGameServer")]
pub(crate) struct GameServerView {
    /// Identity and owners.
    pub metadata: Meta,
    /// `spec.opsState`.
    pub ops_state: Option<Arc<str>>,
    /// `spec.markedForDeletion`.
    pub marked: bool,
    /// `status.currentState`.
    pub state: Option<Arc<str>>,
    /// `status.deletionClaim`.
    pub claim: Option<DeletionClaim>,
    /// `status.networkStatus`, as it is.
    pub network: Option<Arc<RawValue>>,
    /// What the server reported, and the version that says so.
    pub seen: Seen,
}

impl GameServerView {
    /// Whether this very Pod is being taken away, and why.
    pub(crate) fn claim_on(&self, pod: &PodView) -> Option<&DeletionClaim> {
        self.claim
            .as_ref()
            .filter(|claim| claim.pod_uid == pod.metadata.uid)
    }
}

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
    marked_for_deletion: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireStatus {
    current_state: Option<String>,
    deletion_claim: Option<DeletionClaim>,
    network_status: Option<Box<RawValue>>,
    players: Option<api_types::ReportedPlayers>,
    reported: Option<Box<api_types::Reported>>,
}

impl From<WireGameServer> for GameServerView {
    fn from(server: WireGameServer) -> Self {
        let (spec, status) = (server.spec, server.status);
        let seen = Seen {
            resource_version: server.metadata.resource_version.clone(),
            report: Report {
                players: status.players,
                reported: status.reported,
            },
        };
        Self {
            metadata: identity(server.metadata),
            ops_state: spec.ops_state.as_deref().map(shared),
            marked: spec.marked_for_deletion.unwrap_or_default(),
            state: status.current_state.as_deref().map(shared),
            claim: status.deletion_claim,
            network: status.network_status.map(Arc::from),
            seen,
        }
    }
}

//! The parts of GameServers and GameServerSets that controllers read.

use serde::Deserialize;

use super::Meta;
use crate::{
    game_server::{DeletionClaim, GameServerSpec},
    game_server_set::{GameServerSetSpec, GameServerSetStatus},
    keys::label,
    names::ordinal_of,
    ops_state,
};

/// A GameServer without its status, of which only the deletion claim is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "GameServerWire")]
pub struct GameServerView {
    /// Metadata without `kubectl`'s copy of the object.
    pub metadata: Meta,
    /// What operators, allocators and service qualities want of the server.
    pub spec: GameServerSpec,
    /// Whether, and why, the server is being taken away.
    pub deletion_claim: Option<DeletionClaim>,
}

impl GameServerView {
    /// The opsState to act on.
    pub fn ops_state(&self) -> &str {
        ops_state::normalise(self.spec.ops_state.as_deref())
    }

    /// Ordinal in the GameServer's name.
    pub fn ordinal(&self) -> Option<u32> {
        ordinal_of(&self.metadata.name)
    }

    /// Name of the GameServerSet the GameServer is labelled with.
    pub fn owner_set(&self) -> Option<&str> {
        self.metadata.label(label::OWNER_GSS)
    }
}

#[derive(Deserialize)]
struct GameServerWire {
    #[serde(default)]
    metadata: Meta,
    #[serde(default)]
    spec: GameServerSpec,
    #[serde(default)]
    status: ClaimWire,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClaimWire {
    deletion_claim: Option<DeletionClaim>,
}

impl From<GameServerWire> for GameServerView {
    fn from(wire: GameServerWire) -> Self {
        Self {
            metadata: wire.metadata,
            spec: wire.spec,
            deletion_claim: wire.status.deletion_claim,
        }
    }
}

/// A GameServerSet; its controller needs all of it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct GameServerSetView {
    /// Metadata without `kubectl`'s copy of the object.
    pub metadata: Meta,
    /// How many servers of what kind are wanted.
    pub spec: GameServerSetSpec,
    /// How the servers are.
    pub status: GameServerSetStatus,
}

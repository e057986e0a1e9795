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

/// A GameServer without its status, of which only the deletion claim is read, and whether there are players.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "GameServerWire")]
pub struct GameServerView {
    /// Metadata without `kubectl`'s copy of the object.
    pub metadata: Meta,
    /// What operators, allocators and service qualities want of the server.
    pub spec: GameServerSpec,
    /// Whether, and why, the server is being taken away.
    pub deletion_claim: Option<DeletionClaim>,
    /// UID of the Pod that reported players, while it has some. How many is not kept: it changes all the time.
    pub played_on: Option<Box<str>>,
}

impl GameServerView {
    /// The opsState to act on.
    pub fn ops_state(&self) -> &str {
        ops_state::normalise(self.spec.ops_state.as_deref())
    }

    /// Whether there are players on this Pod.
    pub fn has_players(&self, pod_uid: &str) -> bool {
        self.played_on.as_deref() == Some(pod_uid)
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
    players: Option<PlayersWire>,
    reported: Option<ReportedWire>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PlayersWire {
    count: u32,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ReportedWire {
    #[serde(rename = "podUID")]
    pod_uid: Box<str>,
}

impl From<GameServerWire> for GameServerView {
    fn from(wire: GameServerWire) -> Self {
        let status = wire.status;
        let playing = status.players.is_some_and(|players| players.count > 0);
        let reported = status
            .reported
            .filter(|reported| playing && !reported.pod_uid.is_empty());
        Self {
            metadata: wire.metadata,
            spec: wire.spec,
            deletion_claim: status.deletion_claim,
            played_on: reported.map(|reported| reported.pod_uid),
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

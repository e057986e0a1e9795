//! The state of a game server, computed from its Pod.
//!
//! The rule is here once: gs-controller writes it to `GameServer.status.currentState` and pod-sync to the Pod label
//! `game.kruise.io/gs-state`, each straight from the Pod, so neither waits for the other.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::keys::lifecycle;

/// State of a game server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GameServerState {
    /// The Pod's phase is `Succeeded`, `Unknown` or not yet known.
    Unknown,
    /// The Pod is pending.
    Creating,
    /// The Pod runs and is ready.
    Ready,
    /// The Pod runs and is not ready.
    NotReady,
    /// The Pod has failed.
    Crash,
    /// An in-place update is under way.
    Updating,
    /// The Pod is terminating.
    Deleting,
    /// A deletion waits for the `preDelete` hook: drain, save, then let go.
    PreDelete,
    /// An in-place update waits for its hook.
    PreUpdate,
}

impl GameServerState {
    /// Every state, in declaration order.
    pub const ALL: [Self; 9] = [
        Self::Unknown,
        Self::Creating,
        Self::Ready,
        Self::NotReady,
        Self::Crash,
        Self::Updating,
        Self::Deleting,
        Self::PreDelete,
        Self::PreUpdate,
    ];

    /// The label value and `status.currentState` of this state.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Creating => "Creating",
            Self::Ready => "Ready",
            Self::NotReady => "NotReady",
            Self::Crash => "Crash",
            Self::Updating => "Updating",
            Self::Deleting => "Deleting",
            Self::PreDelete => "PreDelete",
            Self::PreUpdate => "PreUpdate",
        }
    }
}

impl fmt::Display for GameServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A string that names no [`GameServerState`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a game server state")]
pub struct UnknownState(pub String);

impl FromStr for GameServerState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| UnknownState(text.to_owned()))
    }
}

/// What the state depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodFacts<'a> {
    /// `status.phase`.
    pub phase: Option<&'a str>,
    /// Whether `metadata.deletionTimestamp` is set.
    pub terminating: bool,
    /// Label `lifecycle.apps.kruise.io/state`.
    pub lifecycle: Option<&'a str>,
    /// Status of the `Ready` condition; `None` where the Pod has no such condition.
    pub ready: Option<bool>,
}

/// The state of the server whose Pod shows these facts.
///
/// A terminating Pod is `Deleting` in every phase: a pending one would else look like a server that is about to come.
pub fn game_server_state(facts: PodFacts<'_>) -> GameServerState {
    if facts.terminating {
        return GameServerState::Deleting;
    }
    match facts.phase {
        Some("Running") => running_state(facts),
        Some("Pending") => GameServerState::Creating,
        Some("Failed") => GameServerState::Crash,
        _ => GameServerState::Unknown,
    }
}

fn running_state(facts: PodFacts<'_>) -> GameServerState {
    match facts.lifecycle {
        Some(lifecycle::UPDATING) => GameServerState::Updating,
        Some(lifecycle::PREPARING_UPDATE) => GameServerState::PreUpdate,
        Some(lifecycle::PREPARING_DELETE) => GameServerState::PreDelete,
        _ if facts.ready == Some(true) => GameServerState::Ready,
        // No Ready condition yet is not an unknown state: the server runs and nobody vouches for it.
        _ => GameServerState::NotReady,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(
        phase: &str,
        terminating: bool,
        lifecycle: Option<&str>,
        ready: Option<bool>,
    ) -> GameServerState {
        let phase = (!phase.is_empty()).then_some(phase);
        game_server_state(PodFacts {
            phase,
            terminating,
            lifecycle,
            ready,
        })
    }

    #[test]
    fn state_table() {
        use GameServerState as S;
        let table = [
            ("Running", None, Some(true), S::Ready),
            ("Running", None, Some(false), S::NotReady),
            ("Running", None, None, S::NotReady),
            ("Running", Some("Updating"), Some(true), S::Updating),
            ("Running", Some("PreparingUpdate"), Some(true), S::PreUpdate),
            ("Running", Some("PreparingDelete"), Some(false), S::PreDelete),
            ("Running", Some("Updated"), Some(true), S::Ready),
            ("Running", Some("Normal"), Some(true), S::Ready),
            ("Running", Some("PreparingNormal"), Some(false), S::NotReady),
            ("Running", Some("SomethingElse"), Some(true), S::Ready),
            ("Pending", None, None, S::Creating),
            ("Pending", Some("PreparingDelete"), None, S::Creating),
            ("Failed", None, Some(false), S::Crash),
            ("Succeeded", None, Some(false), S::Unknown),
            ("Unknown", None, None, S::Unknown),
            ("", None, None, S::Unknown),
        ];
        for (phase, lifecycle, ready, expected) in table {
            assert_eq!(
                state(phase, false, lifecycle, ready),
                expected,
                "{phase} {lifecycle:?} {ready:?}"
            );
            assert_eq!(
                state(phase, true, lifecycle, ready),
                S::Deleting,
                "terminating {phase} {lifecycle:?}"
            );
        }
    }

    #[test]
    fn text_forms_agree() {
        for state in GameServerState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.to_string());
        }
        assert_eq!(
            "ready".parse::<GameServerState>(),
            Err(UnknownState("ready".into()))
        );
    }
}

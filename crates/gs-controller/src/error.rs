//! What can go wrong while a game server is brought up to date. Each is repeated after the key's backoff.

use std::time::Duration;

use controller_kit::{
    queue::ReconcileError,
    write::{FailedWrite, WriteError},
};

/// A failed attempt to bring one game server up to date.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A write was refused, or its outcome is unknown.
    #[error(transparent)]
    Write(#[from] FailedWrite),
    /// The Pod names a GameServerSet that the cache does not have (yet).
    #[error("the GameServerSet that controls the Pod has not been seen yet")]
    SetNotSeen,
    /// A GameServer of this name belongs to another Pod and is still there.
    #[error("a GameServer of this name belongs to an earlier server and is not gone yet")]
    NameTaken,
    /// The Pod's status cannot be decoded.
    #[error("the Pod's status is not JSON: {0}")]
    PodStatus(#[from] serde_json::Error),
}

impl Error {
    /// Says what was being done when the write failed.
    pub(crate) fn write(doing: &'static str) -> impl FnOnce(WriteError) -> Self {
        move |error| Self::Write(FailedWrite::write(doing)(error))
    }
}

impl ReconcileError for Error {
    fn category(&self) -> &'static str {
        match self {
            Self::Write(failed) => failed.category(),
            Self::SetNotSeen => "set_not_seen",
            Self::NameTaken => "name_taken",
            Self::PodStatus(_) => "pod_status",
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Write(failed) => failed.retry_after(),
            _ => None,
        }
    }
}

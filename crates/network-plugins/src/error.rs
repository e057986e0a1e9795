//! What can go wrong while a server's network is brought up to date. Each is repeated after the key's backoff.

use std::time::Duration;

use controller_kit::{queue::ReconcileError, write::WriteError};

use crate::problem::Problem;

/// A failed run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A write that was refused, or whose outcome is unknown.
    #[error("{doing}: {source}")]
    Write {
        /// What was being done.
        doing: &'static str,
        /// What the API server says.
        source: WriteError,
    },
    /// Something is in the way whose end no watch tells of.
    #[error("{}", .0.message)]
    Blocked(Problem),
}

impl Error {
    /// Says what was being done when the write failed.
    pub(crate) fn write(doing: &'static str) -> impl FnOnce(WriteError) -> Self {
        move |source| Self::Write { doing, source }
    }
}

impl ReconcileError for Error {
    fn category(&self) -> &'static str {
        match self {
            Self::Write { source, .. } => source.category(),
            Self::Blocked(_) => "blocked",
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Write { source, .. } => source.retry_after(),
            Self::Blocked(_) => None,
        }
    }
}

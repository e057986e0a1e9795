//! What can go wrong while a server's network is brought up to date. Each is repeated after the key's backoff.

use std::time::Duration;

use controller_kit::{
    queue::ReconcileError,
    write::{FailedWrite, WriteError},
};

use crate::problem::Problem;

/// A failed run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A write that was refused, or whose outcome is unknown.
    #[error(transparent)]
    Write(#[from] FailedWrite),
    /// Something is in the way whose end no watch tells of.
    #[error("{}", .0.message)]
    Blocked(Problem),
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
            Self::Blocked(_) => "blocked",
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Write(failed) => failed.retry_after(),
            Self::Blocked(_) => None,
        }
    }
}

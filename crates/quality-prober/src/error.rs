//! What can go wrong while a Pod or a GameServer is brought up to date. Each is repeated after the key's backoff.

use std::time::Duration;

use controller_kit::{queue::ReconcileError, write::WriteError};

/// A request that was refused, or whose outcome is unknown. A probe that fails is no error: it is what is written.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {source}")]
pub(crate) struct Error {
    doing: &'static str,
    source: WriteError,
}

impl Error {
    /// Says what was being done when the request failed.
    pub(crate) fn write(doing: &'static str) -> impl FnOnce(WriteError) -> Self {
        move |source| Self { doing, source }
    }
}

impl ReconcileError for Error {
    fn category(&self) -> &'static str {
        self.source.category()
    }

    fn retry_after(&self) -> Option<Duration> {
        self.source.retry_after()
    }
}

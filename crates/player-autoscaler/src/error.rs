//! What can go wrong while a set is scaled. Each is repeated after the key's backoff.

use std::time::Duration;

use controller_kit::{queue::ReconcileError, write::WriteError};

/// A write that was refused, or whose outcome is unknown.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {source}")]
pub(crate) struct Error {
    doing: &'static str,
    source: WriteError,
}

impl Error {
    /// Says what was being done when the write failed.
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

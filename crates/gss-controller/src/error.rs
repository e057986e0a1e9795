//! Why a pass did not get to its end.

use std::time::Duration;

use controller_kit::{queue::ReconcileError, write::WriteError};

/// What ended a pass. Every error leads to another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The decision was made from something that has changed since: plan again.
    #[error("stale: {0}")]
    Stale(&'static str),
    /// The namespace is being deleted, and the set with it.
    #[error("the namespace is being deleted")]
    NamespaceEnding,
    /// The API server refused Pods of this set.
    #[error("cannot create Pods: {0}")]
    Create(WriteError),
    /// Any other write.
    #[error("{action}: {error}")]
    Write {
        /// What was being done.
        action: &'static str,
        /// What the API server said.
        error: WriteError,
    },
}

impl Error {
    /// Turns the error of a write into one that says what was being done.
    pub fn during(action: &'static str) -> impl Fn(WriteError) -> Self {
        move |error| match error {
            // Both mean that the object is not the one the plan was made from.
            WriteError::Conflict(_) | WriteError::NotFound => Self::Stale(action),
            error => Self::Write { action, error },
        }
    }
}

impl ReconcileError for Error {
    fn category(&self) -> &'static str {
        match self {
            Self::Stale(_) => "conflict",
            Self::NamespaceEnding => "namespace_ending",
            Self::Create(error) | Self::Write { error, .. } => error.category(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Stale(_) | Self::NamespaceEnding => None,
            Self::Create(error) | Self::Write { error, .. } => error.retry_after(),
        }
    }
}

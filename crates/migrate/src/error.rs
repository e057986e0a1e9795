//! Why the command could not do what it was asked for.

use controller_kit::write::WriteError;

/// What ended a run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A read.
    #[error("cannot read {what}: {error}")]
    Read {
        /// What was read.
        what: String,
        /// Why it failed.
        error: Box<kube::Error>,
    },
    /// A write.
    #[error("cannot {action}: {error}")]
    Write {
        /// What was being done.
        action: String,
        /// What the API server said.
        error: WriteError,
    },
    /// Something did not happen in time.
    #[error("{0}")]
    Late(String),
    /// The cluster changes faster than steps can be taken.
    #[error("gave up after {0} rounds: objects change all the time; run the command again")]
    Restless(u32),
}

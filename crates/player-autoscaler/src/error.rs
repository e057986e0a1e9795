//! What can go wrong while a set is scaled. Each is repeated after the key's backoff.

/// A write that was refused, or whose outcome is unknown.
pub(crate) use controller_kit::write::FailedWrite as Error;

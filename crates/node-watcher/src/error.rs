//! What can go wrong while a GameServer is brought up to date. Each is repeated after the key's backoff.

/// A write that was refused, or whose outcome is unknown. A node that is not there is no error: it is what is written.
pub(crate) use controller_kit::write::FailedWrite as Error;

//! What can go wrong while a Pod or a GameServer is brought up to date. Each is repeated after the key's backoff.

/// A request that was refused, or whose outcome is unknown. A probe that fails is no error: it is what is written.
pub(crate) use controller_kit::write::FailedWrite as Error;

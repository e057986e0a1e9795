//! Objects as they are sent to the API server. Pure.

pub mod pod;
pub mod record;
pub mod revision;

//! Objects as they are sent to the API server. Pure.

pub mod claim;
pub mod game_server;
pub mod pod;
pub mod record;
pub mod revision;

//! Objects as they are sent to the API server. Pure.

pub mod game_server;
pub mod pod;
pub mod record;
pub mod revision;

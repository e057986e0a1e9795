//! Objects as they are sent to the API server. Pure.

pub mod budget;
pub mod canonical;
pub mod claim;
pub mod game_api;
pub mod game_server;
pub mod in_place;
pub mod live;
pub mod pod;
pub mod quantity;
pub mod record;
pub mod revision;
pub mod template;

//! What is kept of the objects that are watched.

mod game_server;
mod set;

pub(crate) use game_server::GameServerView;
pub(crate) use set::SetView;

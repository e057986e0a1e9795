//! What this controller keeps of the objects it watches.

mod game_server;
mod pod;
mod set;

pub(crate) use game_server::GameServerView;
pub(crate) use pod::{Condition, Container, PodView, Running};
pub(crate) use set::SetView;

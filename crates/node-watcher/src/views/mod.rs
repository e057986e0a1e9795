//! What this controller keeps of the objects it watches: a few hundred bytes each.

mod game_server;
mod node;
mod pod;
mod set;

pub(crate) use game_server::GameServerView;
pub(crate) use node::{NodeView, Taint, Trouble};
pub(crate) use pod::PodView;
pub(crate) use set::SetView;

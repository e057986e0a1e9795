//! What this controller keeps of the objects it watches: a few hundred bytes each.

mod game_server;
mod scaler;
mod set;

pub(crate) use game_server::GameServerView;
pub(crate) use scaler::{HpaView, ScaledObjectView};
pub(crate) use set::SetView;

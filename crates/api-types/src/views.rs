//! The parts of objects that the controllers watch.
//!
//! They are decoded straight from the watch's bytes: managed fields, environment, volumes and the rest of a Pod are
//! skipped by the decoder and never enter memory. What a game server costs in memory is what is listed here.

mod game_server;
mod keep;
mod meta;
mod pod;
mod scaled;
mod shared;
mod string_map;

pub use game_server::{GameServerSetView, GameServerView};
pub use meta::{Meta, OwnerRef};
pub use pod::{ContainerImage, PodConditionView, PodView};
pub use scaled::ScaledServer;
pub use shared::shared;
pub use string_map::StringMap;

#[cfg(test)]
mod tests;

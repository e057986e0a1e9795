//! The narrow forms in which this controller keeps what it watches.
//!
//! Each is deserialised straight from the watch and holds only the fields that are read here.

mod game_server;
mod pod;
mod set;
mod volume;

pub use game_server::{Belonging, GameServerView, StoredStatus};
pub use pod::{Container, ContainerPhase, PodView};
pub use set::{RESERVED, SetView};
pub use volume::{ClaimView, VolumeView};

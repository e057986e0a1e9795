//! The narrow forms in which this controller keeps what it watches.
//!
//! Each is deserialised straight from the watch and holds only the fields that are read here.

mod game_server;
mod pod;
mod set;
mod volume;

pub(crate) use game_server::{Belonging, GameServerView, StoredStatus};
pub(crate) use pod::{Container, ContainerPhase, PodView};
pub(crate) use set::{RESERVED, SetView};
pub(crate) use volume::{ClaimView, VolumeView};

//! The functions behind `cargo xtask`, for its own commands and for end-to-end tests.

pub mod bench;
mod cargo;
pub mod cluster;
pub mod demo;
pub mod faults;
pub mod fleet;
pub mod gen_crds;
pub mod test;
pub mod trial;

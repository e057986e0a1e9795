//! The functions behind `cargo xtask`, for its own commands and for end-to-end tests.

mod alerts;
pub mod bench;
mod cargo;
pub mod cluster;
mod debian;
pub mod demo;
mod envoy;
pub mod faults;
pub mod fleet;
pub mod gen_crds;
mod prometheus;
pub mod test;
pub mod trial;

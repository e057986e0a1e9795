//! The functions behind `cargo xtask`, for its own commands and for end-to-end tests.

mod alerts;
pub mod bench;
mod cargo;
pub mod chart;
pub mod cluster;
mod debian;
pub mod demo;
mod envoy;
pub mod faults;
pub mod fleet;
pub mod gen_crds;
mod generated;
pub mod image;
mod lines;
#[cfg(test)]
mod links;
pub mod local;
pub mod observability;
mod pip;
mod prometheus;
pub mod rbac;
pub mod rights;
pub mod test;
pub mod trial;

//! The controllers on simulated nodes: what becomes of sets, servers and Pods, whoever changes what.
//!
//! A cluster with `kwok` nodes and running controllers is expected: `cargo xtask test --only kwok`, see docs/testing.md.

mod autoscaling;
mod claim;
mod deletion;
mod disruption;
mod documented;
mod hooks;
mod ids;
mod lifetime;
mod neighbours;
mod networks;
mod nodes;
mod ops_state;
mod plugin;
mod scale;
mod update;
mod volumes;

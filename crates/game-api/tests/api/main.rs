//! game-api against a real API server without nodes: the tests make Pods with codes, as gss-controller does, and call as game
//! servers do.
//!
//! It runs as the program that is shipped, restricted to the test's namespace.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod callers;
mod clients;
mod compat;
mod process;
mod refused;
mod replicas;
mod reports;
mod serving;
mod world;

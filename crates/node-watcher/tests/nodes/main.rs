//! node-watcher against a real API server without nodes: the tests write Nodes as kubelets do.
//!
//! The controller runs as the program that is shipped, one process for each test, restricted to the test's namespace.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod condition;
mod label;
mod process;
mod rest;
mod rights;
mod world;

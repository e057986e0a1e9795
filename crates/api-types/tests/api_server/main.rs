//! The definitions against a real API server: they install, refuse what is bad with words that help, and accept the rest.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, also in its own functions"
)]

mod claim;
mod cluster;
mod definitions;
mod manifests;
mod objects;
mod stored;

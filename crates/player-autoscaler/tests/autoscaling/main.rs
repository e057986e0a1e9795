//! player-autoscaler against a real API server without nodes: the tests write the sets' status as gss-controller does, and the
//! servers' players as game-api does.
//!
//! The controller runs as the program that is shipped, one process for each test, restricted to the test's namespace.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod others;
mod rights;
mod scaling;
mod world;

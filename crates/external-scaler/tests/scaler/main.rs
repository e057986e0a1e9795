//! external-scaler against a real API server without nodes: the tests write servers' states as gs-controller does, and ask as KEDA
//! does. KEDA itself asks in `cargo xtask trial keda`.
//!
//! The program that is shipped runs, one process for each test, restricted to the test's namespace.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod answers;
mod client;
mod push;
mod rights;
mod tls;
mod world;

//! quality-prober against a real API server without nodes: the tests write Pods' status as kubelets do, and answer network
//! probes themselves. Commands need containers: `e2e/tests/kubelet`.
//!
//! The controller runs as the program that is shipped, one process for each test, restricted to the test's namespace.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod actions;
mod probes;
mod process;
mod rights;
mod world;

//! network-plugins against a real API server without nodes: the tests play gss-controller, gs-controller, kubelet and cloud.
//!
//! The controller runs as the program that is shipped, one process for each test, restricted to the test's namespace.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "helpers of tests are tests too, and literals of `json!` read best where they are passed"
)]

mod balancer;
mod ingress;
mod node_port;
mod owners;
mod rest;
mod rights;
mod shared;
mod world;

//! gss-controller on a real API server without nodes: the tests play kubelet, gs-controller and allocator.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "helpers of tests are tests too, and literals of `json!` read best where they are passed"
)]

mod births;
mod claims;
mod disruption;
mod game_api;
mod hooks;
mod players;
mod process;
mod restricted;
mod scaling;
mod survivors;
mod volumes;
mod world;
mod writers;

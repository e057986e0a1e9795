//! The kit against a real API server: `cargo xtask cluster up`, or `GAMEKEEPER_TEST_KUBECONFIG`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests are tests too"
)]
#![allow(
    clippy::needless_pass_by_value,
    reason = "`json!` literals read best without `&`"
)]

mod cluster;
mod event_records;
mod front;
mod watch_faults;
mod watches;
mod writes;

//! What the controllers' tests on a real API server share: the cluster, a namespace of one's own, a controller as a
//! process, its documented rights, and waiting.
//!
//! Only ever a dev-dependency. Everything here fails by panicking, as a test does; the cluster is the one that
//! `GAMEKEEPER_TEST_KUBECONFIG` names, or `cargo xtask cluster up` made.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod cluster;
mod namespace;
mod process;
mod rights;
mod wait;

pub use cluster::{client, client_without_retries, connect, install_crds, kubeconfig};
pub use namespace::{TestNamespace, condition, is_code, uid};
pub use process::Process;
pub use rights::{Scope, allow, rules, service_account};
pub use wait::{PATIENCE, eventually, pause};

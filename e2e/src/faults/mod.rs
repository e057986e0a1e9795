//! Systematic fault injection: a proxy before each controller, an observer beside them, workloads, and what must hold.
//!
//! | module | what it is |
//! |---|---|
//! | [`gate`], `stream` | the proxy: records every request and injects faults |
//! | `door` | the same for trouble that lasts and strikes every request |
//! | [`fault`] | a fault as data, and as a line that replays it |
//! | [`ledger`] | every request and what became of it |
//! | [`history`] | what the API server stored, revision by revision, watched past the proxy |
//! | [`invariants`], `updates`, `claims`, `ownership` | what must hold of both |
//! | [`outcome`] | the end state, to be compared with a clean run's |
//! | [`stage`], [`workloads`], [`rest`] | what users do, and what it must lead to |
//! | [`plan`] | which faults are tried, derived from a clean run |
//!
//! `cargo xtask faults` runs it; `docs/faults.md` says how to read it.

mod allocations;
mod call;
mod claims;
mod door;
pub mod fault;
pub mod gate;
pub mod history;
pub mod invariants;
pub mod ledger;
pub mod outcome;
mod ownership;
mod past;
pub mod plan;
pub mod rest;
pub mod stage;
mod stream;
mod updates;
pub mod workloads;

pub use allocations::Allocations;
pub use call::Call;
pub use door::{Door, Trouble};
pub use fault::{Action, Fault, Moment, Site};
pub use gate::{Crash, Gate, Gates};
pub use history::{History, Observer};
pub use invariants::{Traffic, Violation};
pub use ledger::{Entry, Ledger};
pub use outcome::Outcome;
pub use plan::Plan;
pub use stage::{NotInTime, Stage};
pub use workloads::Workload;

/// Acknowledged allocations that were lost: a violation of I1.
#[derive(Debug, thiserror::Error)]
#[error("acknowledged allocations were lost: {}", .0.join(", "))]
pub struct Lost(pub Vec<String>);

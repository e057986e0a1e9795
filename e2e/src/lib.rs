//! What the end-to-end tests share: a namespace each, waits for conditions, and a full account of a failure.
//!
//! The controllers run already, as processes (`cargo xtask test` starts them); nothing here starts or stops one.
//!
//! | module | what it is |
//! |---|---|
//! | [`cluster`] | the client, the files of the repository |
//! | [`world`] | one test's namespace from its making to its deletion; waiting |
//! | [`act`] | what a test does to the cluster: apply, patch, scale, delete, hold |
//! | [`snapshot`] | what the cluster looks like now, and every version a Pod had |
//! | [`table`] | what `kubectl get` would print |
//! | [`container`] | commands run in a real container |
//! | [`faults`] | fault injection: the proxy, the observer, the workloads and the invariants of `cargo xtask faults` |
//! | [`gateway`] | what tells a real Envoy where game servers are, for `cargo xtask trial shutdown` |
//! | [`ports`] | ports for programs that have to be told one |
//! | [`reasons`] | what the reasons of events and conditions mean; each test is held against it |
//! | [`okg`] | a set as OpenKruiseGame and OpenKruise leave it |

mod account;
pub mod act;
pub mod cluster;
pub mod container;
pub mod faults;
pub mod gateway;
pub mod okg;
pub mod ports;
pub mod reasons;
pub mod snapshot;
pub mod table;
mod watching;
pub mod world;

pub use snapshot::Snapshot;
pub use world::{World, in_default, in_namespace};

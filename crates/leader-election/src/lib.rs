//! Leases: one leader, or N shards shared evenly, decided on monotonic time.
//!
//! | | |
//! |---|---|
//! | reads | its Lease (GET every `retry` and a watch while it waits; nothing while it leads); of a shard group, one LIST every `retry` and a watch |
//! | writes | Leases only: POST where there is none, PUT with `resourceVersion`, DELETE of member leases with UID and `resourceVersion` |
//! | field manager | [`FIELD_MANAGER`] |
//! | metrics | [`METRICS`]; `docs/metrics.md` |
//! | RBAC | `leases` in one namespace: get, create, update, watch; for shards also list and delete |
//!
//! | module | what it is |
//! |---|---|
//! | [`mod@step`] | the election of one lease, pure; its documentation says why two never lead at once |
//! | [`record`] | what a Lease says; the one rule for the age of a record |
//! | [`Elector`] | sends what `step` asks for, publishes [`Leadership`] |
//! | [`shards`] | N shards over the live replicas; [`shards::plan_shards`] is pure |
//! | [`args`] | flags |
//!
//! Leadership saves work, it protects nothing: a request sent within a term may be applied after it, and a machine that is suspended does not
//! count the time. Every write that acts on a decision carries its own UID and `resourceVersion` for that.

mod api;
pub mod args;
mod config;
mod elector;
mod metrics;
pub mod record;
pub mod shards;
pub mod step;
mod wakeup;

#[cfg(test)]
mod simulation;

pub use api::FIELD_MANAGER;
pub use config::{ConfigError, LeaseConfig, MAX_DURATION, MIN_DURATION, Timing};
pub use elector::{Elector, Leadership, LeadershipLost};
pub use metrics::METRICS;

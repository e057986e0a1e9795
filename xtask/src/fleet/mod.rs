//! The controllers as processes on this machine, each with the ServiceAccount and the RBAC it has in a real installation.
//!
//! Demo, trials, benchmarks and end-to-end tests all start them through here, so that nothing is ever tried as cluster admin.

mod install;
mod logs;
mod options;
mod process;
mod programs;
mod rest;
mod scrape;
mod tether;

pub(crate) use install::{SYSTEM_NAMESPACE, routed_kubeconfig, service_account_kubeconfig};
pub use install::{apply_yaml, client_for, client_without_retries, install, wait_for_crds};
pub use options::{FleetOptions, Profile};
pub use process::{Controller, ControllerProcess, Fleet};
pub use programs::{build_beside, build_controllers};
pub(crate) use rest::{Readings, writes, written_between};
pub(crate) use scrape::http_get;
pub use scrape::{Scrape, Usage};
pub(crate) use tether::tethered;

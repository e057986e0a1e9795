//! Taking over what OpenKruiseGame and OpenKruise left, without restarting a server; the way back; and what our controllers do
//! with it afterwards.
//!
//! A cluster with `kwok` nodes is expected, our CRDs and RBAC in it, and no controllers: these tests start their own, each in
//! its namespace, from the programs beside this one. `cargo xtask test --only kwok`, see docs/testing.md.

mod controllers;
mod refusals;
mod resume;
mod rights;
mod rollback;
mod take_over;
mod tools;

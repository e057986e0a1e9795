//! What to do next, decided from plain data.
//!
//! Nothing here knows a client, a clock or chance: the same observation always gives the same plan.
//!
//! | module | decides |
//! |---|---|
//! | [`ids`] | nothing: sets of ids as intervals |
//! | [`server`] | nothing: what is known of one server |
//! | [`record`] | nothing: the stored plan and its parsed form |
//! | [`scale`] | which ids shall exist, which Pods go, which are created |
//! | [`kill`] | the replicas after opsState `Kill` |

pub mod ids;
pub mod kill;
pub mod record;
pub mod scale;
pub mod server;
mod victims;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod ids_tests;
#[cfg(test)]
mod oracle;

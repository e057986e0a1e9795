//! Stands where the control plane of a gateway would: tells a running Envoy what Ingresses, Services and EndpointSlices say.
//!
//! | module | what it is |
//! |---|---|
//! | `backends` | from the objects to what is served where; pure |
//! | `files` | from that to the files that Envoy follows; pure |
//! | `discovery` | the watches, and writing what changed |
//!
//! Envoy follows the files itself (`path_config_source`), so each is replaced in one step. A server that is out of the
//! endpoints gets no new connection; those it has live on, for nothing here or in Envoy's settings ends them.

mod backends;
mod discovery;
mod files;

pub use backends::Backend;
pub use discovery::{Discovery, Seen, Settings};
pub use files::Empty;

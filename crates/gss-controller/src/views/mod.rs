//! The narrow forms in which this controller keeps what it watches, beyond those that all controllers share.
//!
//! Each is decoded straight from the watch's bytes and holds only the fields that are read here.

mod claim;
mod pod;
mod revision;

pub use claim::ClaimView;
pub use pod::{Amounts, Container, ContainerStatus, PodCondition, PodView, Resources};
pub use revision::{RevisionView, StoredTemplate};

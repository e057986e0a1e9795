//! The narrow forms in which this controller keeps what it watches, beyond those that all controllers share.
//!
//! Each is decoded straight from the watch's bytes and holds only the fields that are read here.

mod budget;
mod claim;
mod game_server;
mod pod;
mod removed;
mod revision;

pub use budget::{BudgetView, Requirement, Selector};
pub use claim::ClaimView;
pub use game_server::{GameServerView, Heard};
pub(crate) use pod::DISRUPTION_TARGET;
pub use pod::{Amounts, Container, ContainerStatus, PodCondition, PodView, Resources};
pub use removed::RemovedView;
pub use revision::{RevisionView, StoredTemplate};

controller_kit::watched! {
    GameServerView => controller_kit::resource::GAME_SERVER,
    RemovedView => controller_kit::resource::POD,
}

//! What this controller keeps of the objects it watches.

mod game_server;
mod pod;
mod set;

pub(crate) use game_server::GameServerView;
pub(crate) use pod::{Condition, Container, PodView, Running};
pub(crate) use set::SetView;

use api_types::views::Meta;

/// Who an object is, and who owns it.
fn identity(mut metadata: Meta) -> Meta {
    metadata.labels.clear();
    metadata.annotations.clear();
    metadata.finalizers.clear();
    metadata
}

//! What is kept of the objects that are watched.

mod game_server;
mod set;

pub(crate) use game_server::GameServerView;
pub(crate) use set::SetView;

use api_types::views::Meta;

/// Who an object is.
fn identity(mut metadata: Meta) -> Meta {
    metadata.labels.clear();
    metadata.annotations.clear();
    metadata.finalizers.clear();
    metadata.owner_references.clear();
    metadata
}

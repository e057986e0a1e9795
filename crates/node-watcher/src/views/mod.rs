//! What this controller keeps of the objects it watches: a few hundred bytes each.

mod game_server;
mod node;
mod pod;

pub(crate) use game_server::GameServerView;
pub(crate) use node::{NodeView, Taint, Trouble};
pub(crate) use pod::PodView;

use api_types::views::Meta;

/// Who an object is, and who owns it.
fn identity(mut metadata: Meta) -> Meta {
    metadata.labels.clear();
    metadata.annotations.clear();
    metadata.finalizers.clear();
    metadata
}

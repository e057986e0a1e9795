//! What this controller keeps of the objects it watches: a few hundred bytes each.

mod game_server;
mod scaler;
mod set;

pub(crate) use game_server::GameServerView;
pub(crate) use scaler::{HpaView, ScaledObjectView};
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

//! What this process keeps of the objects it watches: a few hundred bytes for each server.

mod game_server;
mod pod;
mod set;

pub(crate) use game_server::GameServerView;
pub(crate) use pod::PodView;
pub(crate) use set::SetView;

use api_types::{Meta, keys::label};

/// Who an object is, who owns it and which set it is labelled with.
fn identity(mut metadata: Meta) -> Meta {
    let mut labels = std::mem::take(&mut metadata.labels);
    labels.retain(|key, _| key == label::OWNER_GSS);
    Meta {
        labels,
        creation_timestamp: None,
        ..metadata.into_identity()
    }
}

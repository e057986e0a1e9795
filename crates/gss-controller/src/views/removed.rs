//! A Pod that was taken out of its set, as this controller keeps it: it has a name that no server can have meanwhile.

use api_types::{keys::label, views::Meta};
use serde::Deserialize;

/// A failed server's Pod, left running for people to look at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Wire")]
pub struct RemovedView {
    /// Identity, and the label that says where it came from.
    pub metadata: Meta,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    metadata: Meta,
}

impl From<Wire> for RemovedView {
    fn from(wire: Wire) -> Self {
        let mut metadata = wire.metadata;
        metadata.annotations.clear();
        metadata.finalizers.clear();
        metadata.labels.retain(|key, _| key == label::REMOVED_FROM_GSS);
        Self { metadata }
    }
}

//! A GameServerSet: how many servers are wanted.

use api_types::views::Meta;
use serde::Deserialize;

/// A GameServerSet as it is kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WireSet")]
pub(crate) struct SetView {
    /// Identity.
    pub metadata: Meta,
    /// How many servers are wanted.
    pub replicas: i32,
}

#[derive(Deserialize)]
struct WireSet {
    metadata: Meta,
    #[serde(default)]
    spec: WireSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireSpec {
    replicas: i32,
}

impl From<WireSet> for SetView {
    fn from(set: WireSet) -> Self {
        Self {
            metadata: set.metadata.into_identity().without_owners(),
            replicas: set.spec.replicas,
        }
    }
}

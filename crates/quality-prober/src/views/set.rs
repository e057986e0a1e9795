//! A GameServerSet: its service qualities.

use api_types::{ServiceQuality, views::Meta};
use serde::Deserialize;

/// A GameServerSet as this controller keeps it.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WireSet")]
pub(crate) struct SetView {
    /// Identity.
    pub metadata: Meta,
    /// `spec.serviceQualities`.
    pub qualities: Vec<ServiceQuality>,
}

impl SetView {
    /// Whether probes or actions may differ between the two.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        (&self.metadata.uid, &self.qualities) != (&other.metadata.uid, &other.qualities)
    }
}

#[derive(Deserialize)]
struct WireSet {
    metadata: Meta,
    #[serde(default)]
    spec: WireSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSpec {
    service_qualities: Option<Vec<ServiceQuality>>,
}

impl From<WireSet> for SetView {
    fn from(set: WireSet) -> Self {
        Self {
            metadata: set.metadata.into_identity(),
            qualities: set.spec.service_qualities.unwrap_or_default(),
        }
    }
}

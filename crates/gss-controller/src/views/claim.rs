//! A PersistentVolumeClaim as this controller keeps it.

use api_types::{keys::label, views::Meta};
use controller_kit::{
    resource::{self, ResourceKind},
    watch::Watched,
};
use serde::Deserialize;

/// A game server's volume claim: whose it is, and how it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "WireClaim")]
pub struct ClaimView {
    /// Metadata with the owner label only, and without annotations.
    pub metadata: Meta,
    /// `status.phase`: Pending, Bound or Lost.
    pub phase: Option<String>,
}

impl Watched for ClaimView {
    const RESOURCE: ResourceKind = resource::PVC;

    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

#[derive(Deserialize)]
struct WireClaim {
    #[serde(default)]
    metadata: Meta,
    #[serde(default)]
    status: WireStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireStatus {
    phase: Option<String>,
}

impl From<WireClaim> for ClaimView {
    fn from(wire: WireClaim) -> Self {
        let mut metadata = wire.metadata;
        metadata.annotations.clear();
        metadata.labels.retain(|key, _| key == label::OWNER_GSS);
        Self {
            metadata,
            phase: wire.status.phase,
        }
    }
}

//! PersistentVolumeClaims and PersistentVolumes as this controller keeps them.

use api_types::views::Meta;
use serde::Deserialize;

/// A PersistentVolumeClaim: whether it is bound, and to what.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WireClaim")]
pub(crate) struct ClaimView {
    /// Identity only.
    pub metadata: Meta,
    /// The PersistentVolume it is bound to.
    pub volume_name: Option<String>,
}

/// A PersistentVolume: whether something is wrong with it, and whose it is.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WireVolume")]
pub(crate) struct VolumeView {
    /// Identity only.
    pub metadata: Meta,
    /// Namespace and name of the claim bound to it.
    pub claim: Option<(String, String)>,
    /// `status.reason`: set when the volume failed; empty otherwise.
    pub reason: String,
    /// `status.message`.
    pub message: String,
}

#[derive(Deserialize)]
struct WireClaim {
    metadata: Meta,
    #[serde(default)]
    spec: WireClaimSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireClaimSpec {
    volume_name: Option<String>,
}

#[derive(Deserialize)]
struct WireVolume {
    metadata: Meta,
    #[serde(default)]
    spec: WireVolumeSpec,
    #[serde(default)]
    status: WireVolumeStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireVolumeSpec {
    claim_ref: Option<WireClaimRef>,
}

#[derive(Deserialize)]
struct WireClaimRef {
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireVolumeStatus {
    reason: Option<String>,
    message: Option<String>,
}

impl From<WireClaim> for ClaimView {
    fn from(claim: WireClaim) -> Self {
        Self {
            metadata: claim.metadata.into_identity().without_owners(),
            volume_name: claim.spec.volume_name.filter(|name| !name.is_empty()),
        }
    }
}

impl From<WireVolume> for VolumeView {
    fn from(volume: WireVolume) -> Self {
        Self {
            metadata: volume.metadata.into_identity().without_owners(),
            claim: volume.spec.claim_ref.map(|claim| (claim.namespace, claim.name)),
            reason: volume.status.reason.unwrap_or_default(),
            message: volume.status.message.unwrap_or_default(),
        }
    }
}

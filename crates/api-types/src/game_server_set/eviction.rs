//! Who may evict servers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::open_enum::{empty_as_none, open_enum};

/// Whether node drains and the cluster autoscaler may evict servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Eviction {
    /// Never: no eviction. OnUpgrade: node drains may evict, the cluster autoscaler may not. Always: both may.
    /// WhenIdle: both may, except for servers that are Allocated or have players. Absent means Never, unless the
    /// installation says otherwise (--default-eviction); a template with annotation
    /// cluster-autoscaler.kubernetes.io/safe-to-evict: "true" then means Always.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "empty_as_none"
    )]
    pub safe: Option<EvictionSafety>,
}

open_enum! {
    /// Who may evict a server.
    EvictionSafety {
        /// Nobody.
        Never,
        /// Node drains.
        OnUpgrade,
        /// Node drains and the cluster autoscaler.
        Always,
        /// Both, while the server is not Allocated and has no players.
        WhenIdle,
    }
}

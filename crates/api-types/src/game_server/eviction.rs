//! Who may evict one server now.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{game_server_set::EvictionSafety, open_enum::empty_as_none};

/// Who may evict one server, as its Pod shows it now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EvictionInForce {
    /// Never: nobody. OnUpgrade: node drains. Always: node drains and the cluster autoscaler. A server of a set with
    /// WhenIdle changes between Never and Always.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "empty_as_none"
    )]
    pub safe: Option<EvictionSafety>,
}

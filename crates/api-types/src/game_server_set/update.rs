//! How a set is updated and scaled.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    int_or_string::IntOrString,
    open_enum::{empty_as_none, open_enum},
};

/// How Pods are brought to a new template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateStrategy {
    /// RollingUpdate (the default) or OnDelete, which updates a Pod only when you delete it. Where rollingUpdate is
    /// given, RollingUpdate is meant.
    #[serde(
        rename = "type",
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "empty_as_none"
    )]
    pub type_: Option<UpdateStrategyType>,
    /// Settings of RollingUpdate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling_update: Option<RollingUpdate>,
}

open_enum! {
    /// Who starts the update of a Pod.
    UpdateStrategyType {
        /// The controller, within the limits of `rollingUpdate`.
        RollingUpdate,
        /// Whoever deletes the Pod.
        OnDelete,
    }
}

/// Settings of a rolling update.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollingUpdate {
    /// How many Pods stay on the old template. Absent means 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    /// How many Pods may be out of service at once: a number of at least 1, or a percentage. Absent means 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<IntOrString>,
    /// ReCreate (the default) deletes and creates the Pod. InPlaceIfPossible changes images in place and recreates for
    /// anything else. InPlaceOnly refuses anything else.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "empty_as_none"
    )]
    pub pod_update_policy: Option<PodUpdatePolicy>,
    /// Whether the update is halted. Absent means false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Settings of updates in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_place_update_strategy: Option<InPlaceUpdateStrategy>,
    /// Seconds a Pod must have been ready to count as available; at most 300. Absent means 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ready_seconds: Option<i32>,
}

open_enum! {
    /// How a Pod is brought to a new template.
    PodUpdatePolicy {
        /// It is deleted and created again.
        ReCreate,
        /// In place where only images differ, else as ReCreate.
        InPlaceIfPossible,
        /// In place, or not at all.
        InPlaceOnly,
    }
}

/// Settings of updates in place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InPlaceUpdateStrategy {
    /// Seconds between taking the Pod out of service and changing its images. Absent means 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_period_seconds: Option<i32>,
}

/// How the set grows and shrinks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleStrategy {
    /// How many servers may be unavailable while the set grows: a number of at least 1, or a percentage. Absent means no
    /// limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<IntOrString>,
    /// General (the default) uses the ordinals of scaled-in servers again. ReserveIds adds them to reserveGameServerIds.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "empty_as_none"
    )]
    pub scale_down_strategy_type: Option<ScaleDownStrategyType>,
    /// Whether servers with opsState Allocated are never chosen for scale-in. Where fewer are wanted than are allocated,
    /// the set waits and says so in condition ScaleInBlocked. Absent means false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protect_allocated: Option<bool>,
}

open_enum! {
    /// What becomes of the ordinals of scaled-in servers.
    ScaleDownStrategyType {
        /// They may be used again.
        General,
        /// They are reserved.
        ReserveIds,
    }
}

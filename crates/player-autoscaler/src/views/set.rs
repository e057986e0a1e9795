//! A GameServerSet: how it is to be scaled, and whether it is at rest.

use api_types::{
    Condition, PlayerAutoscaling, PlayerAutoscalingStatus,
    keys::condition::{NEEDS_INTERVENTION, SCALE_IN_BLOCKED},
    views::Meta,
};
use serde::Deserialize;

/// A GameServerSet as this controller keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "WireSet")]
pub(crate) struct SetView {
    /// Identity.
    pub metadata: Meta,
    /// How many servers are wanted.
    pub replicas: i32,
    /// Players that one server takes.
    pub capacity: Option<u32>,
    /// How it is to be scaled.
    pub settings: Option<PlayerAutoscaling>,
    /// What this controller said last.
    pub status: Option<PlayerAutoscalingStatus>,
    /// Generation that gss-controller has acted on.
    pub observed_generation: i64,
    /// Servers that are available.
    pub available: i32,
    /// Whether the set waits for a person.
    pub needs_intervention: bool,
    /// Whether servers with players keep the set above its replicas.
    pub scale_in_blocked: bool,
}

impl SetView {
    /// Whether this controller has, or had, anything to do with the set.
    pub(crate) fn concerns(&self) -> bool {
        self.settings.is_some() || self.status.is_some()
    }

    /// Whether the plan may differ between the two.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        let stripped = |view: &Self| {
            let mut view = view.clone();
            view.metadata.resource_version.clear();
            view
        };
        stripped(self) != stripped(other)
    }
}

#[derive(Deserialize)]
struct WireSet {
    metadata: Meta,
    #[serde(default)]
    spec: WireSpec,
    #[serde(default)]
    status: WireStatus,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireSpec {
    replicas: i32,
    players: Option<WirePlayers>,
    player_autoscaling: Option<PlayerAutoscaling>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WirePlayers {
    capacity: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireStatus {
    observed_generation: i64,
    available_replicas: i32,
    conditions: Vec<Condition>,
    player_autoscaling: Option<PlayerAutoscalingStatus>,
}

impl From<WireSet> for SetView {
    fn from(set: WireSet) -> Self {
        let holds = |type_: &str| {
            let mut conditions = set.status.conditions.iter();
            conditions.any(|found| found.type_ == type_ && found.status == "True")
        };
        Self {
            replicas: set.spec.replicas,
            capacity: set.spec.players.as_ref().and_then(|players| players.capacity),
            needs_intervention: holds(NEEDS_INTERVENTION),
            scale_in_blocked: holds(SCALE_IN_BLOCKED),
            settings: set.spec.player_autoscaling,
            status: set.status.player_autoscaling,
            observed_generation: set.status.observed_generation,
            available: set.status.available_replicas,
            metadata: set.metadata.into_identity().without_owners(),
        }
    }
}

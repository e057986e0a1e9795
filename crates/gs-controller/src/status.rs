//! This controller's part of a GameServer's status (pure).
//!
//! The part is written whole, by server-side apply under this controller's own field manager: a field that vanished
//! from the Pod vanishes from the status, and conditions of other writers stay untouched.

use std::time::Duration;

use api_types::{EvictionSafety, keys, state::GameServerState};
use controller_kit::bug;
use serde_json::{Value, json};

use crate::{
    conditions::{self, Claim, Condition},
    fingerprint::{self, PodStatusFingerprint},
    views::{GameServerView, PodView, StoredStatus},
};

/// The state every server is meant to be in.
const DESIRED_STATE: &str = "Ready";

/// How long a difference may wait to be written, so that the next one can go with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    /// For the first status of a starting server. A Pod that becomes Ready within it costs one status write, not two.
    pub birth: Duration,
    /// What is added to it for each server that is between two states now. A status costs the API server about this
    /// much of its time: when a thousand servers start at once, writing that each of them has begun to would be what
    /// keeps them from being ready.
    pub birth_in_a_crowd: Duration,
    /// The most it comes to.
    pub birth_at_most: Duration,
    /// For details of a server whose state stays Creating or Deleting: each kubelet writes three to five of them on
    /// the way up and again on the way down.
    pub details: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            birth: Duration::from_secs(3),
            birth_in_a_crowd: Duration::from_millis(10),
            birth_at_most: Duration::from_secs(10),
            details: Duration::from_secs(3),
        }
    }
}

impl Patience {
    /// How long a first status may wait while so many servers are `unsettled`.
    fn birth_among(&self, unsettled: usize) -> Duration {
        let crowd = u32::try_from(unsettled).unwrap_or(u32::MAX);
        self.birth
            .saturating_add(self.birth_in_a_crowd.saturating_mul(crowd))
            .min(self.birth_at_most)
    }
}

/// What the status should say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Desired {
    /// `currentState`.
    pub state: GameServerState,
    /// `nodeName`.
    pub node_name: Option<String>,
    /// `updatePriority`, always a string.
    pub update_priority: String,
    /// `deletionPriority`, always a string.
    pub deletion_priority: String,
    /// Fingerprint of `podStatus`.
    pub pod_fingerprint: PodStatusFingerprint,
    /// `PodNormal` and `PersistentVolumeNormal`.
    pub conditions: [Condition; 2],
    /// `eviction.safe`: who may evict the server now.
    pub eviction: Option<EvictionSafety>,
}

/// A Warning event to publish with a status write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Warning {
    /// The condition's reason.
    pub reason: String,
    /// The condition's message.
    pub message: String,
}

/// Computes the status of `game_server` from its Pod and the Pod's volume claims. `now` is RFC 3339.
pub(crate) fn desired(pod: &PodView, game_server: &GameServerView, claims: &[Claim], now: &str) -> Desired {
    let previous = &game_server.status.conditions;
    Desired {
        state: pod.state(),
        node_name: pod.node_name.clone(),
        update_priority: game_server.update_priority.clone(),
        deletion_priority: game_server.deletion_priority.clone(),
        pod_fingerprint: pod.status_fingerprint,
        conditions: [
            conditions::pod_normal(pod).into_condition(keys::condition::POD_NORMAL, previous, now),
            conditions::persistent_volume_normal(claims).into_condition(
                keys::condition::PERSISTENT_VOLUME_NORMAL,
                previous,
                now,
            ),
        ],
        eviction: pod.eviction.clone(),
    }
}

impl Desired {
    /// Whether `stored` already says this.
    pub(crate) fn is_stored(&self, stored: &StoredStatus) -> bool {
        stored.desired_state == DESIRED_STATE
            && stored.current_state == Some(self.state)
            // Stored before there was the field, it comes with the next change: no fleet is written anew for it.
            && (stored.node_name.is_none() || stored.node_name == self.node_name)
            && stored.update_priority == self.update_priority
            && stored.deletion_priority == self.deletion_priority
            && stored.pod_fingerprint == self.pod_fingerprint
            && stored.eviction == self.eviction
            && self
                .conditions
                .iter()
                .all(|condition| stored.conditions.contains(condition))
    }

    /// How long writing this may wait.
    ///
    /// Anything an allocator or a person would act on is written at once: any state but Creating, priorities, a change
    /// of state. What may wait is a starting server's first status and the details of a server that starts or ends; the
    /// longer, the more servers are `unsettled`, unless there is bad news.
    pub(crate) fn may_wait(&self, stored: &StoredStatus, patience: &Patience, unsettled: usize) -> Duration {
        use GameServerState::{Creating, Deleting, NotReady};
        let birth = if self.is_bad_news() {
            patience.birth
        } else {
            patience.birth_among(unsettled)
        };
        let priorities_shown = stored.current_state.is_none()
            || (stored.update_priority == self.update_priority
                && stored.deletion_priority == self.deletion_priority);
        match (stored.current_state, self.state) {
            _ if !priorities_shown => Duration::ZERO,
            (Some(Creating), Creating) | (Some(Deleting), Deleting) => patience.details,
            (_, Creating) | (None | Some(Creating), NotReady) => birth,
            _ if self.differs_in_eviction_only(stored) => patience.details,
            _ => Duration::ZERO,
        }
    }

    /// Whether who may evict the server is all that changed. Under WhenIdle that comes with each allocation, and whoever evicts
    /// asks the Pod: games that come and go within a few seconds cost no write.
    fn differs_in_eviction_only(&self, stored: &StoredStatus) -> bool {
        let otherwise_same = Self {
            eviction: stored.eviction.clone(),
            ..self.clone()
        };
        stored.eviction != self.eviction && otherwise_same.is_stored(stored)
    }

    /// Whether a condition says more than every starting server's does.
    fn is_bad_news(&self) -> bool {
        let mut bad = self.conditions.iter().filter(|condition| !condition.is_true());
        bad.any(|condition| !conditions::is_merely_starting(&condition.reason))
    }

    /// Whether it says that the server is ready.
    pub(crate) fn is_ready(&self) -> bool {
        self.state == GameServerState::Ready
    }

    /// The body of the server-side apply. `pod_status` is the Pod's status, whole.
    pub(crate) fn body(&self, pod_status: Value, now: &str) -> Value {
        let mut body = json!({
            "status": {
                "desiredState": DESIRED_STATE,
                "currentState": self.state.as_str(),
                "updatePriority": self.update_priority,
                "deletionPriority": self.deletion_priority,
                "podStatus": fingerprint::without_nulls(pod_status),
                "lastTransitionTime": now,
                "conditions": self.conditions,
            },
        });
        if let Some(node) = &self.node_name {
            body["status"]["nodeName"] = json!(node);
        }
        if let Some(safe) = &self.eviction {
            body["status"]["eviction"] = json!({ "safe": safe });
        }
        if bug::active("foreign-field") {
            body["status"]["deletionClaim"] = Value::Null;
        }
        body
    }

    /// The events that go with writing this over `stored`: one for each condition that is newly `False`, or `False`
    /// for another reason.
    ///
    /// Left out is what every server goes through: containers that are not ready while it starts, and whatever its
    /// containers say while it is being deleted. OKG warns there too; that is an event (a request, an object in etcd)
    /// for each server born and each server deleted, and hides the warnings that matter.
    pub(crate) fn warnings(&self, stored: &StoredStatus) -> Vec<Warning> {
        let is_news = |condition: &&Condition| {
            let before = stored
                .conditions
                .iter()
                .find(|before| before.type_ == condition.type_);
            let was_well = before.is_some_and(Condition::is_true);
            let merely_starting = condition.type_ == keys::condition::POD_NORMAL
                && conditions::is_merely_starting(&condition.reason)
                && (self.state == GameServerState::Creating || !was_well);
            !condition.is_true()
                && before.is_none_or(|before| !before.says_the_same(condition))
                && self.state != GameServerState::Deleting
                && !merely_starting
        };
        self.conditions
            .iter()
            .filter(is_news)
            .map(|condition| Warning {
                reason: condition.reason.clone(),
                message: condition.message.clone(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;

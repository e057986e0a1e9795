//! The conditions `PodNormal` and `PersistentVolumeNormal` (pure).
//!
//! Something missing (a claim, a volume) is a reason for a `False` condition, never an error: a server in trouble is
//! exactly the one whose status must not freeze.

use api_types::keys;
use serde::{Deserialize, Serialize};

use crate::views::{Container, ContainerPhase, PodView};

/// A condition of a GameServer, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Condition {
    /// One of [`keys::condition`].
    #[serde(rename = "type")]
    pub type_: String,
    /// `True` or `False`.
    pub status: String,
    /// Why; empty when `True`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The same in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// RFC 3339; moves when status, reason or message change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<String>,
}

impl Condition {
    /// Whether this controller is its writer.
    pub(crate) fn is_ours(&self) -> bool {
        [
            keys::condition::POD_NORMAL,
            keys::condition::PERSISTENT_VOLUME_NORMAL,
        ]
        .contains(&self.type_.as_str())
    }

    /// Whether it says that all is well.
    pub(crate) fn is_true(&self) -> bool {
        self.status == "True"
    }

    /// Whether both say the same, whatever their times.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        (&self.type_, &self.status, &self.reason, &self.message)
            == (&other.type_, &other.status, &other.reason, &other.message)
    }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Whether all is well.
    pub well: bool,
    /// Reasons, joined by `"; "`.
    pub reason: String,
    /// Messages, joined by `"; "`.
    pub message: String,
}

/// One volume claim of a Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The claim's namespace, that is the Pod's.
    pub namespace: String,
    /// The claim's name.
    pub name: String,
    /// What is known about it.
    pub state: ClaimState,
}

/// What is known about a volume claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ClaimState {
    /// There is no such claim.
    Missing,
    /// The claim is not bound, or bound to a volume that does not exist.
    Unbound,
    /// The claim is bound; whether the volume is well cannot be seen from here.
    Bound,
    /// The claim is bound to a volume with this status reason and message, both empty when it is well.
    Volume {
        /// `status.reason` of the volume.
        reason: String,
        /// `status.message` of the volume.
        message: String,
    },
}

/// Reason of a `True` PersistentVolumeNormal that rests on the claims alone.
pub(crate) const VOLUMES_NOT_WATCHED: &str = "PersistentVolumesNotWatched";

/// Whether the Pod and its containers are well.
///
/// An init container that ended with exit code 0 is no trouble; every other ending is.
pub(crate) fn pod_normal(pod: &PodView) -> Verdict {
    let mut trouble = Trouble::default();
    if let Some(reason) = pod.reason.as_deref().filter(|reason| !reason.is_empty()) {
        trouble.add(reason, pod.message.as_deref().unwrap_or_default());
    }
    let containers_ready = pod
        .condition("ContainersReady")
        .is_some_and(|condition| condition.status == "True");
    for condition in &pod.conditions {
        let bad = condition.status != "True"
            && match condition.type_.as_str() {
                "PodScheduled" | "Initialized" | "ContainersReady" => true,
                // With containers that are not ready this says nothing new; otherwise a readiness gate is closed.
                "Ready" => containers_ready,
                _ => false,
            };
        if bad {
            trouble.add(
                condition.reason.as_deref().unwrap_or_default(),
                condition.message.as_deref().unwrap_or_default(),
            );
        }
    }
    let mut containers = Trouble::default();
    for (reason, message) in pod.containers.iter().filter_map(container_trouble) {
        containers.add(&reason, &message);
    }
    // A container that is merely being made has a reason and no message: the Pod's conditions already say so.
    if !containers.reason.is_empty() && !containers.message.is_empty() {
        trouble.add(&containers.reason, &containers.message);
    }
    trouble.into()
}

/// Whether every claimed volume is bound and well.
pub(crate) fn persistent_volume_normal(claims: &[Claim]) -> Verdict {
    let mut trouble = Trouble::default();
    for Claim {
        namespace,
        name,
        state,
    } in claims
    {
        match state {
            ClaimState::Missing => trouble.add(
                "PersistentVolumeClaim Not Found",
                &format!("There is no pvc named {namespace}/{name} in cluster"),
            ),
            ClaimState::Unbound => trouble.add(
                "PersistentVolume Not Found",
                &format!("There is no pv which pvc {namespace}/{name} is bound with"),
            ),
            ClaimState::Volume { reason, message } if !reason.is_empty() => trouble.add(reason, message),
            ClaimState::Volume { .. } | ClaimState::Bound => {}
        }
    }
    let mut verdict = Verdict::from(trouble);
    if verdict.well && claims.iter().any(|claim| claim.state == ClaimState::Bound) {
        VOLUMES_NOT_WATCHED.clone_into(&mut verdict.reason);
        "every claim is bound; the volumes themselves are not watched".clone_into(&mut verdict.message);
    }
    verdict
}

/// Reasons that every server goes through on its way up; none of them is news.
const BIRTH: [&str; 4] = [
    "ContainersNotReady",
    "ContainersNotInitialized",
    "ContainerCreating",
    "PodInitializing",
];

/// Whether a condition's reason says only what every starting server's Pod says.
pub(crate) fn is_merely_starting(reason: &str) -> bool {
    reason.split("; ").all(|reason| BIRTH.contains(&reason))
}

impl Verdict {
    /// The condition of the given type; its time is that of `previous` unless something else changed.
    pub(crate) fn into_condition(self, type_: &str, previous: &[Condition], now: &str) -> Condition {
        let condition = Condition {
            type_: type_.to_owned(),
            status: if self.well { "True" } else { "False" }.to_owned(),
            reason: self.reason,
            message: self.message,
            last_transition_time: Some(now.to_owned()),
        };
        match previous
            .iter()
            .find(|previous| previous.says_the_same(&condition))
        {
            Some(same) if same.last_transition_time.is_some() => same.clone(),
            _ => condition,
        }
    }
}

/// Reasons and messages of several troubles, joined.
#[derive(Default)]
struct Trouble {
    found: bool,
    reason: String,
    message: String,
}

impl Trouble {
    /// Adds one trouble; a reason or a message already said is not said again.
    fn add(&mut self, reason: &str, message: &str) {
        self.found = true;
        join(&mut self.reason, reason);
        join(&mut self.message, message);
    }
}

fn join(text: &mut String, more: &str) {
    if text.contains(more) {
        return;
    }
    if !text.is_empty() {
        text.push_str("; ");
    }
    text.push_str(more);
}

impl From<Trouble> for Verdict {
    fn from(trouble: Trouble) -> Self {
        Self {
            well: !trouble.found,
            reason: bounded(trouble.reason, MAX_REASON),
            message: bounded(trouble.message, MAX_MESSAGE),
        }
    }
}

/// Bounds of the stored texts, in bytes. A Pod's own messages are bounded by the kubelet, their sum is not.
const MAX_REASON: usize = 1024;
const MAX_MESSAGE: usize = 16 * 1024;

fn bounded(mut text: String, max: usize) -> String {
    if text.len() > max {
        let end = (0..=max - 3)
            .rev()
            .find(|&end| text.is_char_boundary(end))
            .unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Reason and message of a container's trouble, if it has one.
fn container_trouble(container: &Container) -> Option<(String, String)> {
    let ended = match &container.now {
        ContainerPhase::Waiting { reason, message } if !reason.is_empty() => {
            return Some((reason.clone(), message.clone()));
        }
        ContainerPhase::Ended(ended) if !ended.reason.is_empty() => ended,
        ContainerPhase::Running => return None,
        _ => container
            .before
            .as_ref()
            .filter(|ended| !ended.reason.is_empty())?,
    };
    if container.init && ended.exit_code == 0 {
        return None;
    }
    Some((
        format!("ContainerTerminated:{}", ended.reason),
        format!("{} ExitCode: {}", ended.message, ended.exit_code),
    ))
}

#[cfg(test)]
mod tests;

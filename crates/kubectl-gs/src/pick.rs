//! Which server is allocated. Pure.
//!
//! Candidates are Pods, because their labels can be asked for: state Ready, opsState None. Whether one really is free is its
//! GameServer's to say, and decided from the version that the allocation is then conditional on.

use std::{collections::BTreeSet, fmt};

use api_types::{GameServer, NetworkStatus, ReportedHealth, keys, names, ops_state};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::server::{annotation, claim, label, name, set, speaks_for, state, uid};

/// From how many of the best one is taken at random. All taking the best would meet at the same server; all taking any
/// would spread allocations over the ids that a scale-in takes first.
pub const SPREAD: usize = 50;

/// What keeps a server from being allocated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// It has no Pod.
    NoPod,
    /// Its GameServer is about an earlier Pod of the name.
    EarlierPod,
    /// Pod or GameServer is being deleted.
    Terminating,
    /// It is claimed for deletion, for this reason; the API server would refuse it.
    Claimed(String),
    /// It is marked for deletion.
    Marked,
    /// Its id is given up.
    Going,
    /// It was taken out of its set, or never belonged to one.
    NoSet,
    /// Its opsState is another.
    OpsState(String),
    /// Its state is another.
    State(String),
    /// A lifecycle hook or an update holds its Pod.
    Lifecycle(String),
    /// It says that it has failed.
    Failed,
    /// It is cut off from its network on purpose.
    NetworkDisabled,
    /// Players can't reach it yet: this is its network's state.
    Network(String),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPod => f.write_str("it has no Pod"),
            Self::EarlierPod => f.write_str("its GameServer is about an earlier Pod of its name"),
            Self::Terminating => f.write_str("it is being deleted"),
            Self::Claimed(reason) => write!(f, "it is claimed for deletion ({reason})"),
            Self::Marked => f.write_str("it is marked for deletion"),
            Self::Going => f.write_str("its id is given up"),
            Self::NoSet => f.write_str("it belongs to no set"),
            Self::OpsState(value) => write!(f, "its opsState is {value}"),
            Self::State(value) if value.is_empty() => f.write_str("it has no state yet"),
            Self::State(value) => write!(f, "its state is {value}"),
            Self::Lifecycle(value) => write!(f, "its Pod is held in {value}"),
            Self::Failed => f.write_str("it reported that it has failed"),
            Self::NetworkDisabled => f.write_str("its network is disabled"),
            Self::Network(value) => write!(f, "its network is {value}"),
        }
    }
}

/// The first thing that keeps this server from being allocated, the most lasting first; `None` where it is free.
///
/// A server that is free but for an opsState is told so last: it is what `allocate` itself changes.
pub fn obstacle(server: &GameServer, pod: Option<&ObjectMeta>) -> Option<Obstacle> {
    let Some(pod) = pod else {
        return Some(Obstacle::NoPod);
    };
    leaving(server, pod)
        .or_else(|| not_ready(server, pod))
        .or_else(|| no_network(server, pod))
        .or_else(|| match ops_state::normalise(server.spec.ops_state.as_deref()) {
            ops_state::NONE => None,
            other => Some(Obstacle::OpsState(other.to_owned())),
        })
}

fn leaving(server: &GameServer, pod: &ObjectMeta) -> Option<Obstacle> {
    let terminating = pod.deletion_timestamp.is_some() || server.metadata.deletion_timestamp.is_some();
    if terminating {
        return Some(Obstacle::Terminating);
    }
    if !speaks_for(server, uid(pod)) {
        return Some(Obstacle::EarlierPod);
    }
    if let Some(claim) = claim(server) {
        return Some(Obstacle::Claimed(claim.reason.clone()));
    }
    if server.spec.marked_for_deletion == Some(true) {
        return Some(Obstacle::Marked);
    }
    if label(&server.metadata, keys::label::GS_DELETING) == Some("true") {
        return Some(Obstacle::Going);
    }
    let owned = label(&server.metadata, keys::label::OWNER_GSS).is_some()
        && label(pod, keys::label::OWNER_GSS) == label(&server.metadata, keys::label::OWNER_GSS);
    (!owned).then_some(Obstacle::NoSet)
}

fn not_ready(server: &GameServer, pod: &ObjectMeta) -> Option<Obstacle> {
    let lifecycle = label(pod, keys::label::LIFECYCLE_STATE).unwrap_or_default();
    if !matches!(lifecycle, "" | keys::lifecycle::NORMAL) {
        return Some(Obstacle::Lifecycle(lifecycle.to_owned()));
    }
    // Each is the Pod's state, told by another controller; what one of them does not know yet, the other may.
    let told = [
        label(pod, keys::label::GS_STATE).unwrap_or_default(),
        state(server),
    ];
    if let Some(other) = told.into_iter().find(|state| *state != "Ready") {
        return Some(Obstacle::State(other.to_owned()));
    }
    let report = server
        .status
        .as_ref()
        .and_then(|status| status.reported.as_deref());
    let failed = report
        .is_some_and(|report| report.pod_uid == uid(pod) && report.health == Some(ReportedHealth::Failed));
    failed.then_some(Obstacle::Failed)
}

fn no_network(server: &GameServer, pod: &ObjectMeta) -> Option<Obstacle> {
    if server.spec.network_disabled == Some(true) {
        return Some(Obstacle::NetworkDisabled);
    }
    annotation(pod, keys::annotation::NETWORK_TYPE).filter(|plugin| !plugin.is_empty())?;
    let network: Option<&NetworkStatus> = server
        .status
        .as_ref()
        .and_then(|status| status.network_status.as_ref());
    let now = network.and_then(|network| network.current_network_state.as_deref());
    (now != Some("Ready")).then(|| Obstacle::Network(now.unwrap_or("not ready yet").to_owned()))
}

/// A Pod whose server may be free.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its metadata.
    pub pod: ObjectMeta,
}

impl Candidate {
    /// Where it sorts: those that a scale-in takes last come first, so that allocated servers are seldom in its way.
    pub fn rank(&self) -> (i64, u32, &str) {
        let priority = label(&self.pod, keys::label::GS_DELETE_PRIORITY);
        let name = name(&self.pod);
        (
            priority.and_then(|text| text.parse().ok()).unwrap_or_default(),
            names::ordinal_of(name).unwrap_or(u32::MAX),
            name,
        )
    }
}

/// Selector of the Pods that may be free, of these sets or of all.
pub fn selector(sets: &[String]) -> String {
    let owner = keys::label::OWNER_GSS;
    let sets = match sets {
        [] => owner.to_owned(),
        [set] => format!("{owner}={set}"),
        sets => format!("{owner} in ({})", sets.join(",")),
    };
    format!(
        "{sets},{}=Ready,{}={}",
        keys::label::GS_STATE,
        keys::label::GS_OPS_STATE,
        ops_state::NONE
    )
}

/// The candidates in order, without those that can't be free.
pub fn candidates(pods: impl IntoIterator<Item = ObjectMeta>) -> Vec<Candidate> {
    let mut all: Vec<Candidate> = pods
        .into_iter()
        .filter(|pod| pod.deletion_timestamp.is_none() && set(pod).is_some())
        .map(|pod| Candidate { pod })
        .collect();
    all.sort_by(|a, b| a.rank().cmp(&b.rank()));
    all
}

/// One of the first [`SPREAD`] that were not tried yet, as the dice say; `None` where all were tried.
pub fn choose<'a>(candidates: &'a [Candidate], tried: &BTreeSet<String>, dice: u64) -> Option<&'a Candidate> {
    let left: Vec<&Candidate> = candidates
        .iter()
        .filter(|candidate| !tried.contains(uid(&candidate.pod)))
        .take(SPREAD)
        .collect();
    let sides = u64::try_from(left.len()).unwrap_or(u64::MAX);
    let at = dice.checked_rem(sides)?;
    left.get(usize::try_from(at).ok()?).copied()
}

#[cfg(test)]
#[path = "pick_tests.rs"]
mod tests;

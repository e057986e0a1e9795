//! What to do about one game server (pure).

use std::time::Duration;

use serde_json::Value;

use crate::{
    build,
    conditions::Claim,
    status::{self, Desired, Patience},
    views::{Belonging, GameServerView, PodView, SetView},
};

/// Everything known about one game server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observed<'a> {
    /// Its Pod.
    pub pod: Option<&'a PodView>,
    /// Its GameServer.
    pub game_server: Option<&'a GameServerView>,
    /// The GameServerSet with the name that the Pod's controller reference gives.
    pub set: Option<&'a SetView>,
    /// The Pod's volume claims.
    pub claims: &'a [Claim],
}

/// The time, as plain data.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment<'a> {
    /// Wall clock, RFC 3339: for what is written.
    pub now: &'a str,
    /// How long ago this version of the Pod was seen.
    pub pod_age: Duration,
    /// How long a difference has been known and not written; zero when there was none.
    pub waiting: Duration,
    /// How many servers have such a difference, or became ready and are not shown so yet.
    pub unsettled: usize,
}

/// How long things may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// How long a Pod of which the scheduler has said nothing yet is without a GameServer. One made after the scheduling
    /// carries the node's name from its birth; one made before costs a patch by node-watcher. Of 5,000 Pods created in
    /// 43 s the slowest waited 8 s for its node; with 3 s here, one server in seven had to be patched.
    pub scheduling: Duration,
    /// How long a status may wait.
    pub status: Patience,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            scheduling: Duration::from_secs(10),
            status: Patience::default(),
        }
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Plan {
    /// Nothing, until something changes.
    Rest,
    /// Nothing yet: the Pod's set is not in the cache, though the Pod says that it exists.
    AwaitSet,
    /// Nothing yet: look again after this long.
    Wait(Duration),
    /// Make the GameServer.
    Create(Creation),
    /// The GameServer's Pod is gone for good: delete it, if it is still what was looked at.
    Retire {
        /// UID of the GameServer.
        uid: String,
        /// The version in which it was marked as going.
        resource_version: String,
    },
    /// Bring the GameServer up to date.
    Update(Update),
}

/// A GameServer to be made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Creation {
    /// UID of a GameServer of the same name that belonged to an earlier Pod: deleted first.
    pub replaces: Option<String>,
    /// The new object.
    pub body: Value,
}

/// Changes of an existing GameServer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Update {
    /// UID of the GameServer.
    pub uid: String,
    /// Merge patch of labels and annotations.
    pub metadata: Option<Value>,
    /// New status.
    pub status: StatusStep,
}

/// What to do about the status.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum StatusStep {
    /// It is right.
    Keep,
    /// It may wait this much longer.
    Later(Duration),
    /// Write it.
    Write(Box<Desired>),
}

/// Decides what to do about one game server.
pub(crate) fn plan(observed: &Observed<'_>, moment: &Moment<'_>, limits: &Limits) -> Plan {
    match (observed.pod, observed.game_server) {
        (None, None) => Plan::Rest,
        (None, Some(game_server)) => without_pod(game_server),
        // Its delete event comes, and then a new one is made.
        (Some(_), Some(game_server)) if game_server.metadata.is_terminating() => Plan::Rest,
        (Some(pod), None) => create(pod, observed.set, None, moment, limits),
        (Some(pod), Some(game_server)) => {
            let Some(owner) = pod.set() else { return Plan::Rest };
            match Belonging::of(&game_server.metadata, &pod.metadata.uid, owner) {
                Belonging::Earlier => create(
                    pod,
                    observed.set,
                    Some(game_server.metadata.uid.clone()),
                    moment,
                    limits,
                ),
                Belonging::Current | Belonging::Nobody => update(pod, game_server, observed, moment, limits),
            }
        }
    }
}

/// Without a Pod, a GameServer that is marked as going is deleted. Every other waits: for its next Pod, or, when it
/// is owned by its Pod, for the garbage collector.
///
/// The mark counts whenever it comes, before the Pod is gone or after: the decision is taken from the state, not from
/// the event. The deletion carries the version in which the mark was seen, so that an id that is wanted again keeps
/// its record.
fn without_pod(game_server: &GameServerView) -> Plan {
    let metadata = &game_server.metadata;
    if game_server.is_retired() && !metadata.is_terminating() {
        Plan::Retire {
            uid: metadata.uid.clone(),
            resource_version: metadata.resource_version.clone(),
        }
    } else {
        Plan::Rest
    }
}

fn create(
    pod: &PodView,
    set: Option<&SetView>,
    replaces: Option<String>,
    moment: &Moment<'_>,
    limits: &Limits,
) -> Plan {
    // Only what a set controls gets a GameServer: the label alone proves nothing, anybody can write it.
    let Some(owner) = pod.set() else { return Plan::Rest };
    // A server that is going must not be announced as a new one.
    if pod.metadata.is_terminating() {
        return Plan::Rest;
    }
    match set {
        None => Plan::AwaitSet,
        // The Pod of an earlier set with this name, soon to be collected. Should the cache be the older one, the
        // set's own event brings this Pod back.
        Some(set) if set.metadata.uid != owner.uid => Plan::Rest,
        Some(set) => create_when_scheduled(pod, set, replaces, moment, limits),
    }
}

fn create_when_scheduled(
    pod: &PodView,
    set: &SetView,
    replaces: Option<String>,
    moment: &Moment<'_>,
    limits: &Limits,
) -> Plan {
    // A Pod that fits on no node, or is held back by a gate, may stay so for hours, and its GameServer says why.
    let undecided = pod.node_name.is_none() && pod.condition("PodScheduled").is_none();
    match limits.scheduling.saturating_sub(moment.pod_age) {
        left if undecided && !left.is_zero() => Plan::Wait(left),
        _ => Plan::Create(Creation {
            replaces,
            body: build::game_server(pod, set),
        }),
    }
}

fn update(
    pod: &PodView,
    game_server: &GameServerView,
    observed: &Observed<'_>,
    moment: &Moment<'_>,
    limits: &Limits,
) -> Plan {
    let owner = pod.set().map(|owner| owner.uid.as_str());
    let set = observed
        .set
        .filter(|set| Some(set.metadata.uid.as_str()) == owner);
    let metadata = build::metadata_patch(set, game_server);
    let desired = status::desired(pod, game_server, observed.claims, moment.now);
    let status = if desired.is_stored(&game_server.status) {
        StatusStep::Keep
    } else {
        match desired
            .may_wait(&game_server.status, &limits.status, moment.unsettled)
            .saturating_sub(moment.waiting)
        {
            Duration::ZERO => StatusStep::Write(Box::new(desired)),
            left => StatusStep::Later(left),
        }
    };
    if metadata.is_none() && status == StatusStep::Keep {
        return Plan::Rest;
    }
    Plan::Update(Update {
        uid: game_server.metadata.uid.clone(),
        metadata,
        status,
    })
}

#[cfg(test)]
mod tests;

//! What is said about a server's network: the Pod's annotation, and the GameServer's status (pure).

use api_types::{GameServerCondition, NetworkAddress, NetworkStatus, keys};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    go_json::go_json,
    plan::{Observed, Report},
    problem::{Problem, Reason},
};

#[cfg(test)]
mod tests;

/// How long a new server may be on its way before it is said what it waits for, in seconds. One that is ready within it costs
/// one write of its status.
const BIRTH: i64 = 10;

/// States of a network.
const READY: &str = "Ready";
const NOT_READY: &str = "NotReady";
const WAITING: &str = "Waiting";

/// What is to be written.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Writes {
    /// The Pod's annotation.
    pub annotation: Option<String>,
    /// Body of the apply of the GameServer's status.
    pub game_server: Option<Value>,
    /// A Warning event.
    pub warning: Option<Problem>,
    /// What became of it, for the metrics: seconds from the GameServer's creation to its network's being ready.
    pub became_ready: Option<i64>,
    /// When to look again though nothing changed, in seconds.
    pub again: Option<u64>,
}

/// The annotation, with OpenKruiseGame's fields in their order. It leaves the times to the GameServer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Annotation<'a> {
    #[serde(skip_serializing_if = "slice_is_empty")]
    internal_addresses: &'a [NetworkAddress],
    #[serde(skip_serializing_if = "slice_is_empty")]
    external_addresses: &'a [NetworkAddress],
    current_network_state: &'a str,
    create_time: Option<&'a str>,
    last_transition_time: Option<&'a str>,
}

// Serde passes a reference to the field, which is a reference itself.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn slice_is_empty(slice: &&[NetworkAddress]) -> bool {
    slice.is_empty()
}

/// What is to be written about a server with a network whose Pod is there.
pub(crate) fn compute(observed: &Observed<'_>, report: &Report, now: Timestamp) -> Writes {
    let Some(pod) = observed.pod else {
        return Writes::default();
    };
    let stored = observed
        .game_server
        .filter(|found| !found.metadata.is_terminating() && found.metadata.is_record_of(&pod.metadata));
    if let Some(wait) = birth(observed, report, now) {
        return Writes {
            again: Some(wait),
            ..Writes::default()
        };
    }
    let state = match &report.problem {
        None => READY,
        Some(problem) if problem.reason == Reason::WaitingForNode => WAITING,
        Some(_) => NOT_READY,
    };
    let mut writes = Writes {
        annotation: annotation(observed, report, state),
        ..Writes::default()
    };
    let Some(game_server) = stored else {
        // Its GameServer's creation is an event.
        return writes;
    };
    let time = rfc3339(now);
    let before = &game_server.network;
    let after = network_status(observed, report, state, before, &time);
    let condition = condition(report, game_server.condition.as_ref(), &time);
    let is_news = game_server.condition.as_ref() != Some(&condition);
    if is_news || after != *before {
        writes.warning = report
            .problem
            .clone()
            .filter(|problem| problem.reason.is_error() && is_news);
        if state == READY && before.current_network_state.as_deref() != Some(READY) {
            writes.became_ready = seconds_since(game_server.metadata.creation_timestamp.as_deref(), now);
        }
        writes.game_server = Some(body(&after, before, Some(&condition)));
    }
    writes
}

/// The body that takes back all that was said about a network which is no longer asked for.
pub(crate) fn nothing(before: &NetworkStatus) -> Value {
    body(&NetworkStatus::default(), before, None)
}

/// How long a new server has before it is said what it waits for; `None` when it is to be said now.
fn birth(observed: &Observed<'_>, report: &Report, now: Timestamp) -> Option<u64> {
    let pod = observed.pod?;
    let silent = pod.facts.network_status.is_none()
        && observed
            .game_server
            .is_none_or(|found| found.network.current_network_state.is_none());
    let waits = report
        .problem
        .as_ref()
        .is_some_and(|problem| problem.reason.is_waiting());
    if !silent || !waits {
        return None;
    }
    let age = seconds_since(pod.metadata.creation_timestamp.as_deref(), now)?;
    u64::try_from(BIRTH - age).ok().filter(|left| *left > 0)
}

fn seconds_since(creation: Option<&str>, now: Timestamp) -> Option<i64> {
    let created: Timestamp = creation?.parse().ok()?;
    Some((now.as_second() - created.as_second()).max(0))
}

/// The annotation's new text; `None` where the one that is there says the same, in whatever words.
fn annotation(observed: &Observed<'_>, report: &Report, state: &str) -> Option<String> {
    let text = observed.pod?.facts.network_status.as_deref();
    let stored: Option<NetworkStatus> = text.and_then(|text| serde_json::from_str(text).ok());
    let says = |stored: &NetworkStatus| {
        stored.internal_addresses == report.addresses.internal
            && stored.external_addresses == report.addresses.external
            && stored.current_network_state.as_deref() == Some(state)
    };
    if stored.as_ref().is_some_and(says) {
        return None;
    }
    Some(go_json(&Annotation {
        internal_addresses: &report.addresses.internal,
        external_addresses: &report.addresses.external,
        current_network_state: state,
        create_time: None,
        last_transition_time: None,
    }))
}

fn network_status(
    observed: &Observed<'_>,
    report: &Report,
    state: &str,
    before: &NetworkStatus,
    time: &str,
) -> NetworkStatus {
    let facts = observed.pod.map(|pod| &pod.facts);
    let desired = if facts.is_some_and(|facts| facts.disabled) {
        NOT_READY
    } else {
        READY
    };
    let same = before.desired_network_state.as_deref() == Some(desired)
        && before.current_network_state.as_deref() == Some(state);
    let moved = before.last_transition_time.clone().filter(|_| same);
    NetworkStatus {
        network_type: facts.map(|facts| facts.network_type.to_string()),
        internal_addresses: report.addresses.internal.clone(),
        external_addresses: report.addresses.external.clone(),
        desired_network_state: Some(desired.to_owned()),
        current_network_state: Some(state.to_owned()),
        create_time: before.create_time.clone().or_else(|| Some(time.to_owned())),
        last_transition_time: moved.or_else(|| Some(time.to_owned())),
    }
}

fn condition(report: &Report, before: Option<&GameServerCondition>, time: &str) -> GameServerCondition {
    let (status, reason, message) = match &report.problem {
        None => ("True", READY, report.note.as_deref()),
        Some(problem) => ("False", problem.reason.as_str(), Some(problem.message.as_str())),
    };
    let message = message.map(|message| message.chars().take(MAX_MESSAGE).collect());
    let mut condition = GameServerCondition {
        type_: keys::condition::NETWORK_READY.to_owned(),
        status: status.to_owned(),
        last_probe_time: None,
        last_transition_time: before.and_then(|before| before.last_transition_time.clone()),
        reason: Some(reason.to_owned()),
        message,
    };
    if before != Some(&condition) {
        condition.last_transition_time = Some(time.to_owned());
    }
    condition
}

/// Bound of the stored text; a refusal of the API server may be long.
const MAX_MESSAGE: usize = 4096;

/// The whole own part of the status. What is left out vanishes, as far as nobody else has written it; lists that another writer
/// (OpenKruiseGame, before a take-over) has left there are emptied by name.
fn body(after: &NetworkStatus, before: &NetworkStatus, condition: Option<&GameServerCondition>) -> Value {
    let mut network = serde_json::to_value(after).unwrap_or_default();
    for (field, now, then) in [
        (
            "internalAddresses",
            &after.internal_addresses,
            &before.internal_addresses,
        ),
        (
            "externalAddresses",
            &after.external_addresses,
            &before.external_addresses,
        ),
    ] {
        if now.is_empty() && !then.is_empty() {
            network[field] = json!([]);
        }
    }
    let conditions: Vec<_> = condition.into_iter().collect();
    json!({ "status": { "networkStatus": network, "conditions": conditions } })
}

fn rfc3339(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

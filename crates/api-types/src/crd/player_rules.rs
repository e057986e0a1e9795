//! Bounds and rules about players, draining and failures.

use super::rule::{Node, at};

/// Message of the rule that orders reports of players and the deletion of an empty server.
pub(super) const EMPTY_CLAIM: &str =
    "this game server is being deleted because nobody was on it: it takes no players any more";

/// The longest waits are a week: beyond, a wait without an end is meant.
const WEEK: i64 = 604_800;

/// Of GameServerSets.
pub(super) fn set_nodes() -> Vec<Node> {
    vec![
        at("spec.players.capacity").range(1, 1_000_000),
        at("spec.players.drainTimeoutSeconds").range(1, WEEK),
        at("spec.failurePolicy.maxFailures").range(0, 1_000_000),
        at("spec.failurePolicy.heartbeatTimeoutSeconds").range(5, WEEK),
    ]
}

/// Of GameServers.
///
/// A report and the claim on an empty server are writes to one object: whichever comes second is refused, so that a server
/// is never deleted as empty after the API server has acknowledged that somebody is on it.
pub(super) fn server_nodes() -> Vec<Node> {
    let claimed_as_empty = "has(self.status) && has(self.status.deletionClaim) && has(self.status.deletionClaim.empty) && \
                            self.status.deletionClaim.empty";
    let players = "has(self.status.players) && has(self.status.players.count) && self.status.players.count > 0 && \
                   has(self.status.reported) && has(self.status.reported.podUID) && \
                   self.status.reported.podUID == self.status.deletionClaim.podUID";
    vec![
        at("").rule(&format!("!({claimed_as_empty}) || !({players})"), EMPTY_CLAIM),
        at("status.nodeName").max_length(253),
        at("status.publicIP").max_length(64),
    ]
}

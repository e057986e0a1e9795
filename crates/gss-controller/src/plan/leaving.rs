//! Servers that leave for reasons of their own, whatever the replicas are: marked ones, failed ones, and those that an update
//! replaces while players are on them.
//!
//! Two things can become of the server's id. Where the Pod goes at once, the next one has the same name, as with every other
//! replacement. Where the Pod stays, because players are on it or because people are to look at it, its name stays taken for
//! nobody knows how long: the id leaves the plan, and another one takes its place in the same decision.

use api_types::keys::claim_reason;

use super::{
    ids::IdSet,
    scale::ScaleInput,
    server::{Server, Stage},
};

/// Servers that leave, by id; decided by others than the scale planner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leaving {
    /// An update replaces them, and players are on them.
    pub drained: IdSet,
    /// They have failed and are taken out of the set, running.
    pub removed: IdSet,
    /// They have failed and are replaced.
    pub failed: IdSet,
    /// Their Pods have ended and stay as they are: too many have failed.
    pub kept: IdSet,
    /// Their names belong to Pods that were taken out of the set earlier.
    pub occupied: IdSet,
}

/// The ids that are not in the plan any more, though a Pod has their name.
pub(super) fn gone_from_plan(input: &ScaleInput<'_>) -> IdSet {
    let leaving = input.leaving;
    let others: IdSet = input
        .servers
        .iter()
        .filter(|server| match server.stage() {
            Some(Stage::Draining) => true,
            Some(Stage::Claimed(reason)) => reason == claim_reason::REMOVED,
            _ => is_to_drain(input, server),
        })
        .map(|server| server.id)
        .collect();
    others.union(&leaving.removed).union(&leaving.occupied)
}

/// Whether a running server goes and has to wait for its players, because it is marked or an update replaces it.
fn is_to_drain(input: &ScaleInput<'_>, server: &Server) -> bool {
    let waits = server.is_live() && server.players > 0;
    waits && (goes_by_mark(input, server) || input.leaving.drained.contains(server.id))
}

/// Whether the mark of a server counts: not while it is Allocated and protected. `Kill` is the stronger order.
pub(super) fn goes_by_mark(input: &ScaleInput<'_>, server: &Server) -> bool {
    let protected = input.protect_allocated && server.standing.allocated;
    server.marked && !protected && !server.standing.is_kill()
}

/// Why a running server that is to go is claimed: with players on it, it waits for them, where that is wanted.
pub(super) fn reason_of(input: &ScaleInput<'_>, server: &Server) -> &'static str {
    if server.standing.is_kill() {
        return claim_reason::KILL;
    }
    if input.leaving.removed.contains(server.id) {
        return claim_reason::REMOVED;
    }
    if input.leaving.failed.contains(server.id) {
        return claim_reason::FAILED;
    }
    let marked = goes_by_mark(input, server);
    match server.players {
        0 if marked => claim_reason::MARKED,
        0 => claim_reason::SCALE_IN,
        _ if marked || input.drains => claim_reason::DRAINING,
        _ => claim_reason::SCALE_IN,
    }
}

//! Which ids a scale-in gives up.

use std::cmp::Reverse;

use super::{
    ids::{Id, IdSet},
    server::{Server, Stage},
};

/// How cheaply an id can be given up; the cheapest come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cost {
    /// An earlier plan chose it and its Pod still runs. Choosing another one now could cost both: whoever acts on
    /// the earlier plan may already be claiming this one. An allocated or maintained server is chosen afresh.
    Chosen,
    /// Its operators want it gone, by opsState or by mark. Before the ids without a server, since replicas were lowered for
    /// its sake.
    Kill,
    /// No Pod and no GameServer: nobody notices.
    Missing,
    /// No players: the Pod is going away, has ended, or is yet to be made again for a surviving GameServer.
    Idle,
    /// A running server, in the order of OpenKruiseGame.
    Live,
}

type Order = (Cost, Reverse<i32>, Reverse<i64>, u32, Reverse<Id>);

/// Picks `count` of the `pool` ids: cheapest first, then higher opsState weight, higher deletion priority, fewer players
/// where they count, higher id.
///
/// `current` is what the record desires: a live server of the pool outside it was chosen earlier. `kept` are ids that
/// may not be chosen; fewer than `count` are returned when too few others are left.
pub(super) fn choose(
    pool: &IdSet,
    current: &IdSet,
    kept: &IdSet,
    servers: &[Server],
    by_players: bool,
    count: u64,
) -> IdSet {
    if count == 0 {
        return IdSet::new();
    }
    let candidates = pool.difference(kept);
    let known: IdSet = servers.iter().map(|server| server.id).collect();
    let missing = candidates.difference(&known);

    let mut ordered: Vec<(Order, Id)> = servers
        .iter()
        .filter(|server| candidates.contains(server.id))
        .map(|server| (order(server, current, by_players), server.id))
        .collect();
    ordered.sort_unstable();

    // The missing ids may be two billion: they are taken as intervals between those dearer and those cheaper.
    let before_missing = ordered.partition_point(|((cost, ..), _)| *cost < Cost::Missing);
    let (dearer, rest) = ordered.split_at(before_missing);
    let first: IdSet = dearer.iter().take(clamp(count)).map(|(_, id)| *id).collect();
    let of_missing = missing.highest(count - first.len());
    let taken = first.union(&of_missing);
    let others: IdSet = rest
        .iter()
        .take(clamp(count - taken.len()))
        .map(|(_, id)| *id)
        .collect();
    taken.union(&others)
}

fn clamp(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn order(server: &Server, current: &IdSet, by_players: bool) -> Order {
    let standing = server.standing;
    let cost = if server.is_live() && !current.contains(server.id) && standing.weight >= 0 {
        Cost::Chosen
    } else if standing.is_kill() || server.marked {
        Cost::Kill
    } else if matches!(server.stage(), Some(Stage::Live)) {
        Cost::Live
    } else {
        Cost::Idle
    };
    (
        cost,
        Reverse(standing.weight),
        Reverse(server.deletion_priority),
        if by_players { server.players } else { 0 },
        Reverse(server.id),
    )
}

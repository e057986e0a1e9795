//! What the status says about players.

use api_types::SetPlayers;

use crate::{
    observe::Observed,
    plan::{ids::Id, server::Stage},
};

/// Whether this server waits for its last player.
pub(super) fn drains(observed: &Observed, id: Id) -> bool {
    let servers = &observed.servers;
    let at = servers.binary_search_by_key(&id, |server| server.id).ok();
    at.and_then(|at| servers.get(at))
        .is_some_and(|server| server.stage() == Some(&Stage::Draining))
}

/// Servers that wait for their last player; nothing for sets that have never had to do with players.
pub(super) fn draining(observed: &Observed) -> Option<i32> {
    let draining = observed
        .servers
        .iter()
        .filter(|server| server.stage() == Some(&Stage::Draining))
        .count();
    let asked = observed.set.spec.players.is_some() || observed.set.status.draining_replicas.is_some();
    (asked || draining > 0).then(|| i32::try_from(draining).unwrap_or(i32::MAX))
}

/// Players on the servers that count: those that run and stay.
pub(super) fn sum(observed: &Observed) -> Option<SetPlayers> {
    let players = observed.set.spec.players.as_ref()?;
    let each = players.capacity.and_then(|capacity| u32::try_from(capacity).ok());
    let (mut count, mut capacity) = (0_i64, 0_i64);
    for server in observed.servers.iter().filter(|server| server.is_live()) {
        count += i64::from(server.players);
        let uid = server.pod.as_ref().map(|pod| pod.uid.as_str());
        let heard = observed
            .game_servers
            .get(&server.id)
            .zip(uid)
            .and_then(|(found, uid)| found.heard_of(uid));
        let own = heard.and_then(|heard| heard.capacity);
        capacity += i64::from(own.or(each).unwrap_or(0));
    }
    Some(SetPlayers {
        count,
        capacity: (each.is_some() || capacity > 0).then_some(capacity),
        load_percent: (capacity > 0)
            .then(|| i32::try_from(count.saturating_mul(100) / capacity).unwrap_or(i32::MAX)),
    })
}

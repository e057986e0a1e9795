//! Servers and players of each set, counted. Pure.

use std::collections::BTreeMap;

use api_types::{GameServer, GameServerSet, ops_state};
use serde::Serialize;

use crate::server::{leaving, name, namespace, ops_state, players, set, state};

/// What a set has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Load {
    /// Namespace of the set.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Servers it should have.
    pub desired: i64,
    /// Servers it has.
    pub servers: u32,
    /// Of those that stay, by state.
    pub states: BTreeMap<String, u32>,
    /// Of those that stay, by opsState.
    pub ops_states: BTreeMap<String, u32>,
    /// Those that are Ready, not allocated and stay.
    pub free: u32,
    /// Those that are on their way out.
    pub leaving: u32,
    /// Players on all of them.
    pub players: u64,
    /// Players that those that stay take, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u64>,
}

impl Load {
    /// Servers in this state.
    pub fn in_state(&self, state: &str) -> u32 {
        self.states.get(state).copied().unwrap_or_default()
    }

    /// Servers with this opsState.
    pub fn with_ops_state(&self, ops_state: &str) -> u32 {
        self.ops_states.get(ops_state).copied().unwrap_or_default()
    }

    /// Players in percent of the capacity, rounded down.
    pub fn percent(&self) -> Option<u64> {
        let capacity = self.capacity.filter(|capacity| *capacity > 0)?;
        Some(self.players.saturating_mul(100) / capacity)
    }

    fn count(&mut self, server: &GameServer, of_set: Option<u32>) {
        self.servers += 1;
        let (on_it, reported) = players(server).unwrap_or_default();
        self.players += u64::from(on_it);
        if leaving(server).is_some() {
            self.leaving += 1;
            return;
        }
        let (state, ops_state) = (state(server), ops_state(server));
        let known = if state.is_empty() { "Unknown" } else { state };
        *self.states.entry(known.to_owned()).or_default() += 1;
        *self.ops_states.entry(ops_state.to_owned()).or_default() += 1;
        self.free += u32::from(state == "Ready" && ops_state == ops_state::NONE);
        if let Some(takes) = reported.or(of_set) {
            *self.capacity.get_or_insert(0) += u64::from(takes);
        }
    }
}

/// One load for each set, in the order of their names. Servers of no set that is there count nowhere.
pub fn loads(sets: &[GameServerSet], servers: &[GameServer]) -> Vec<Load> {
    let mut loads: BTreeMap<(String, String), (Option<u32>, Load)> = BTreeMap::new();
    for found in sets {
        let key = (
            namespace(&found.metadata).to_owned(),
            name(&found.metadata).to_owned(),
        );
        let players = found.spec.players.as_ref();
        let capacity = players
            .and_then(|players| players.capacity)
            .and_then(|capacity| u32::try_from(capacity).ok());
        let load = Load {
            namespace: key.0.clone(),
            name: key.1.clone(),
            desired: found.spec.replicas.into(),
            ..Load::default()
        };
        loads.insert(key, (capacity, load));
    }
    for server in servers {
        let Some(owner) = set(&server.metadata) else {
            continue;
        };
        let key = (namespace(&server.metadata).to_owned(), owner.to_owned());
        if let Some((capacity, load)) = loads.get_mut(&key) {
            load.count(server, *capacity);
        }
    }
    loads.into_values().map(|(_, load)| load).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn server(set: &str, status: &Value, spec: &Value) -> GameServer {
        serde_json::from_value(json!({
            "metadata": {"name": "x", "namespace": "games", "labels": {"game.kruise.io/owner-gss": set}},
            "spec": spec, "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn servers_that_leave_have_players_and_no_room() {
        let sets: Vec<GameServerSet> = serde_json::from_value(json!([
            {"metadata": {"name": "arena", "namespace": "games"}, "spec": {"replicas": 4, "players": {"capacity": 10}}},
            {"metadata": {"name": "lobby", "namespace": "games"}, "spec": {"replicas": 0}},
        ]))
        .unwrap();
        let on_it = |count: u32, capacity: Option<u32>| {
            let mut status =
                json!({"currentState": "Ready", "players": {"count": count}, "reported": {"podUID": "p"}});
            if let Some(capacity) = capacity {
                status["players"]["capacity"] = json!(capacity);
            }
            status
        };
        let mut drains = on_it(4, None);
        drains["deletionClaim"] =
            json!({"podUID": "p", "reason": "Draining", "time": "2026-01-01T00:00:00Z"});
        let servers = [
            server("arena", &on_it(8, None), &json!({"opsState": "Allocated"})),
            server("arena", &on_it(0, Some(30)), &json!({})),
            server("arena", &drains, &json!({})),
            server("arena", &json!({}), &json!({})),
            server("gone", &on_it(5, None), &json!({})),
        ];
        let loads = loads(&sets, &servers);
        assert_eq!(loads.len(), 2);
        let arena = &loads[0];
        assert_eq!((arena.servers, arena.free, arena.leaving), (4, 1, 1));
        assert_eq!((arena.in_state("Ready"), arena.in_state("Unknown")), (2, 1));
        assert_eq!(arena.with_ops_state("Allocated"), 1);
        assert_eq!(
            (arena.players, arena.capacity, arena.percent()),
            (12, Some(50), Some(24))
        );
        assert_eq!((loads[1].servers, loads[1].percent()), (0, None));
    }
}

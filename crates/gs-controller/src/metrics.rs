//! Metrics of this controller. No label takes an object's name or a value a user can choose freely.

use std::{collections::BTreeMap, time::Duration};

use api_types::{ops_state, state::GameServerState};
use metric_table::Values::OneOf;
use metrics::{counter, gauge, histogram};

use crate::views::GameServerView;

metric_table::metrics! {
    BY_STATE: Gauge "gamekeeper_gs_by_state" ["state" in OneOf(&STATES)] =
        "Game servers by status.currentState, counted every 10 s; None before the first status";
    BY_OPS_STATE: Gauge "gamekeeper_gs_by_ops_state" ["ops_state" in OneOf(&SHOWN_OPS_STATES)] =
        "Game servers by spec.opsState, counted every 10 s; a set's own words count as Other";
    CREATED: Counter "gamekeeper_gs_created_total" [] = "GameServers created";
    DELETED: Counter "gamekeeper_gs_deleted_total" ["reason" in OneOf(&["retired", "replaced"])] =
        "GameServers deleted; retired: the Pod is gone and its set no longer wants it; replaced: it belonged to an \
         earlier Pod";
    READY_SECONDS: Histogram "gamekeeper_gs_ready_to_status_seconds" [] =
        "From seeing a Pod become ready to the API server's answer to the status that says so";
}

/// Label value of a game server without a status.
const NO_STATE: &str = "None";
/// Label value of an opsState that is a user's own word.
const OTHER: &str = "Other";
const OPS_STATES: [&str; 5] = [
    ops_state::NONE,
    ops_state::ALLOCATED,
    ops_state::MAINTAINING,
    ops_state::WAIT_TO_BE_DELETED,
    ops_state::KILL,
];
const SHOWN_OPS_STATES: [&str; 6] = {
    let [a, b, c, d, e] = OPS_STATES;
    [a, b, c, d, e, OTHER]
};
const STATES: [&str; 10] = {
    let [a, b, c, d, e, f, g, h, i] = GameServerState::ALL;
    [
        a.as_str(),
        b.as_str(),
        c.as_str(),
        d.as_str(),
        e.as_str(),
        f.as_str(),
        g.as_str(),
        h.as_str(),
        i.as_str(),
        NO_STATE,
    ]
};

/// Why a GameServer was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deletion {
    /// Its Pod is gone and its set no longer wants it.
    Retired,
    /// It belonged to an earlier Pod of the same name.
    Replaced,
}

/// Registers the descriptions; call once, after the recorder is installed.
pub(crate) fn describe() {
    metric_table::describe(METRICS);
}

/// Game servers by state and by opsState.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    by_state: BTreeMap<&'static str, u32>,
    by_ops_state: BTreeMap<&'static str, u32>,
}

impl Census {
    /// A count in which every value that can occur is there, so that a gauge falls back to 0.
    pub(crate) fn new() -> Self {
        Self {
            by_state: STATES.into_iter().map(|state| (state, 0)).collect(),
            by_ops_state: SHOWN_OPS_STATES
                .into_iter()
                .map(|ops_state| (ops_state, 0))
                .collect(),
        }
    }

    /// Counts one game server.
    pub(crate) fn count(&mut self, game_server: &GameServerView) {
        let state = game_server
            .status
            .current_state
            .map_or(NO_STATE, GameServerState::as_str);
        *self.by_state.entry(state).or_default() += 1;
        *self.by_ops_state.entry(known_ops_state(game_server)).or_default() += 1;
    }

    /// Sets the gauges.
    pub(crate) fn publish(&self) {
        for (state, count) in &self.by_state {
            gauge!(BY_STATE, "state" => *state).set(*count);
        }
        for (ops_state, count) in &self.by_ops_state {
            gauge!(BY_OPS_STATE, "ops_state" => *ops_state).set(*count);
        }
    }
}

/// Counts a created GameServer.
pub(crate) fn created() {
    counter!(CREATED).increment(1);
}

/// Counts a deleted GameServer.
pub(crate) fn deleted(why: Deletion) {
    let reason = match why {
        Deletion::Retired => "retired",
        Deletion::Replaced => "replaced",
    };
    counter!(DELETED, "reason" => reason).increment(1);
}

/// Records how long a ready Pod took to become a status.
pub(crate) fn ready_after(elapsed: Duration) {
    histogram!(READY_SECONDS).record(elapsed.as_secs_f64());
}

/// The opsState as a label value: a user may write any word, so unknown ones share a value.
fn known_ops_state(game_server: &GameServerView) -> &'static str {
    let shown = ops_state::normalise(game_server.ops_state.as_deref());
    OPS_STATES
        .into_iter()
        .find(|known| *known == shown)
        .unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::game_server;

    #[test]
    fn labels_are_bounded_whatever_users_write() {
        let mut census = Census::new();
        let bounds = (census.by_state.len(), census.by_ops_state.len());
        for ops_state in ["Allocated", "", "Draining", "Parked"] {
            census.count(
                &game_server()
                    .edit(|it| it["spec"]["opsState"] = json!(ops_state))
                    .view(),
            );
        }
        census.count(
            &game_server()
                .edit(|it| it["status"] = json!({"currentState": "Dancing"}))
                .view(),
        );
        assert_eq!((census.by_state.len(), census.by_ops_state.len()), bounds);
        assert_eq!(
            (census.by_ops_state["None"], census.by_ops_state["Other"]),
            (2, 2)
        );
        assert_eq!(census.by_state["None"], 5);
    }
}

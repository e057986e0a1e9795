//! What the caches hold, in a few numbers: conditions of sets, and deletion claims that wait for their Pods' end (pure).

use api_types::{
    GameServerSetView,
    keys::{claim_reason, condition, lifecycle::PREPARING_DELETE},
};
use jiff::Timestamp;

use crate::{
    observe::lifecycle,
    views::{GameServerView, PodView},
};

/// Claims of one reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// How many servers have one.
    pub servers: u32,
    /// Since when the oldest is there, in seconds since 1970; 0 where there is none.
    pub since: i64,
}

/// The numbers. They have a place for every value a label takes, so that a gauge falls back to 0.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    sets: u32,
    conditions: [u32; Self::CONDITIONS.len()],
    updates: [u32; Self::UPDATES.len()],
    claims: [Held; Self::REASONS.len()],
}

impl Census {
    /// Conditions of sets.
    pub(crate) const CONDITIONS: [&str; 9] = [
        condition::READY,
        condition::PROGRESSING,
        condition::SCALE_IN_BLOCKED,
        condition::UPDATE_BLOCKED,
        condition::DEGRADED,
        condition::HOOK_BLOCKED,
        condition::VOLUME_BLOCKED,
        condition::NEEDS_INTERVENTION,
        condition::EVICTION_ADVICE,
    ];
    /// Reasons of condition UpdateBlocked.
    pub(crate) const UPDATES: [&str; 4] = [
        "InPlaceUpdateStuck",
        "InPlaceImpossible",
        "AllocatedServers",
        "HeldByHook",
    ];
    /// Reasons of claims.
    pub(crate) const REASONS: [&str; 12] = [
        claim_reason::SCALE_IN,
        claim_reason::UPDATE,
        claim_reason::KILL,
        claim_reason::EVICTED,
        claim_reason::PREEMPTED,
        claim_reason::DELETED,
        claim_reason::REPLACED,
        claim_reason::DRAINING,
        claim_reason::MARKED,
        claim_reason::FAILED,
        claim_reason::REMOVED,
        Self::OTHER,
    ];
    /// A reason that somebody else wrote.
    const OTHER: &str = "Other";

    /// The reason as a label value: one that somebody else wrote may be any word.
    pub(crate) fn reason(reason: &str) -> &'static str {
        let known = Self::REASONS.into_iter().find(|known| *known == reason);
        known.unwrap_or(Self::OTHER)
    }

    /// Counts a set.
    pub(crate) fn set(&mut self, set: &GameServerSetView) {
        self.sets += 1;
        for found in &set.status.conditions {
            let place = Self::CONDITIONS.iter().position(|known| *known == found.type_);
            let Some(place) = place.filter(|_| found.status == "True") else {
                continue;
            };
            self.conditions[place] += 1;
            let blocked = Self::CONDITIONS[place] == condition::UPDATE_BLOCKED;
            let reason = Self::UPDATES.iter().position(|known| *known == found.reason);
            if let Some(reason) = reason.filter(|_| blocked) {
                self.updates[reason] += 1;
            }
        }
    }

    /// Counts a server with the Pod of its name, if it has a claim on that Pod and no hook holds it.
    pub(crate) fn server(&mut self, server: &GameServerView, pod: Option<&PodView>) {
        let (Some(claim), Some(pod)) = (&server.deletion_claim, pod) else {
            return;
        };
        if pod.metadata.uid != claim.pod_uid || lifecycle(pod) == PREPARING_DELETE {
            return;
        }
        let reason = Self::reason(&claim.reason);
        let Some(place) = Self::REASONS.iter().position(|known| *known == reason) else {
            return;
        };
        let held = &mut self.claims[place];
        held.servers += 1;
        let since = claim.time.parse::<Timestamp>().map_or(0, Timestamp::as_second);
        if held.since == 0 || since < held.since {
            held.since = since;
        }
    }

    /// Sets there are.
    pub(crate) fn sets(&self) -> u32 {
        self.sets
    }

    /// Sets on which each condition is True.
    pub(crate) fn conditions(&self) -> impl Iterator<Item = (&'static str, u32)> {
        Self::CONDITIONS.into_iter().zip(self.conditions)
    }

    /// Sets whose update waits, by why.
    pub(crate) fn updates(&self) -> impl Iterator<Item = (&'static str, u32)> {
        Self::UPDATES.into_iter().zip(self.updates)
    }

    /// Claims by their reasons.
    pub(crate) fn claims(&self) -> impl Iterator<Item = (&'static str, Held)> {
        Self::REASONS.into_iter().zip(self.claims)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn server(reason: &str, uid: &str, time: &str) -> GameServerView {
        let object = json!({
            "metadata": {"name": "arena-1", "namespace": "games"},
            "status": {"deletionClaim": {"podUID": uid, "reason": reason, "time": time}},
        });
        serde_json::from_value(object).unwrap()
    }

    fn pod(state: &str) -> PodView {
        let labels = json!({"lifecycle.apps.kruise.io/state": state});
        let object =
            json!({"metadata": {"name": "arena-1", "namespace": "games", "uid": "u1", "labels": labels}});
        serde_json::from_value(object).unwrap()
    }

    fn claims(census: &Census) -> Vec<(&'static str, u32, i64)> {
        let held = census.claims().filter(|(_, held)| held.servers > 0);
        held.map(|(reason, held)| (reason, held.servers, held.since))
            .collect()
    }

    #[test]
    fn a_claim_is_held_while_its_own_pod_is_there_and_no_hook_holds_it() {
        let mut census = Census::default();
        let early = server("ScaleIn", "u1", "1970-01-01T00:01:40Z");
        let late = server("ScaleIn", "u1", "1970-01-01T00:03:20Z");
        census.server(&late, Some(&pod("Normal")));
        census.server(&early, Some(&pod("Normal")));
        census.server(&early, None);
        census.server(&early, Some(&pod("PreparingDelete")));
        census.server(
            &server("ScaleIn", "u0", "1970-01-01T00:00:10Z"),
            Some(&pod("Normal")),
        );
        census.server(&server("Whim", "u1", "nonsense"), Some(&pod("Normal")));
        assert_eq!(claims(&census), [("ScaleIn", 2, 100), ("Other", 1, 0)]);
    }

    #[test]
    fn conditions_count_where_they_are_true() {
        let set = |conditions: Value| -> GameServerSetView {
            serde_json::from_value(
                json!({"metadata": {"name": "arena"}, "status": {"conditions": conditions}}),
            )
            .unwrap()
        };
        let said = |type_: &str, status: &str, reason: &str| {
            json!({"type": type_, "status": status, "reason": reason, "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        let mut census = Census::default();
        census.set(&set(json!([
            said("Ready", "True", "R"),
            said("Degraded", "False", "R")
        ])));
        census.set(&set(json!([
            said("Ready", "True", "R"),
            said("Mine", "True", "AllocatedServers")
        ])));
        census.set(&set(json!([said("UpdateBlocked", "True", "HeldByHook")])));
        census.set(&set(json!([said(
            "UpdateBlocked",
            "False",
            "InPlaceUpdateStuck"
        )])));
        let found: Vec<_> = census.conditions().filter(|(_, sets)| *sets > 0).collect();
        assert_eq!(found, [("Ready", 2), ("UpdateBlocked", 1)]);
        let found: Vec<_> = census.updates().filter(|(_, sets)| *sets > 0).collect();
        assert_eq!(found, [("HeldByHook", 1)]);
        assert_eq!(census.sets(), 4);
    }

    #[test]
    fn reasons_are_those_that_the_status_gives() {
        let status = include_str!("status/updates.rs");
        for reason in Census::UPDATES {
            assert!(status.contains(&format!("\"{reason}\",")), "{reason}");
        }
    }
}

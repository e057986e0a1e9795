//! Servers as the planner sees them: what a Pod, its GameServer and own writes that no cache shows yet come to (pure).

use std::{collections::BTreeMap, sync::Arc};

use api_types::{
    DeletionClaim, GameServerSetView, IntOrString,
    keys::{self, claim_reason, label},
};
use controller_kit::bug;
use jiff::Timestamp;

use super::Observed;
use crate::{
    plan::{
        hooks,
        ids::Id,
        players,
        server::{Hold, Server, ServerPod, Stage, Standing},
    },
    views::{GameServerView, PodView},
};

/// The set's servers, by ascending id.
pub(super) fn servers(observed: &Observed, clock: Timestamp) -> Vec<Server> {
    let min_ready = min_ready_seconds(&observed.set);
    let hook = hooks::pre_delete(&observed.set);
    let mut servers: BTreeMap<Id, Server> = BTreeMap::new();
    for (id, pod) in &observed.pods {
        let game_server = observed.game_servers.get(id);
        let held = hook
            .is_some_and(|hook| hooks::holds_deletion(hook, &pod.metadata, game_server.map(AsRef::as_ref)));
        let uid = &pod.metadata.uid;
        let seen = ServerPod {
            uid: uid.clone(),
            stage: stage(*id, pod, held, observed),
            available: availability(pod, min_ready, clock) == Availability::Available,
            hold: hold(pod, held),
            backs_off: observed.pending.backing_off.contains_key(uid),
        };
        let label = pod.metadata.label(label::GS_OPS_STATE);
        servers.insert(*id, server(*id, Some(seen), game_server, label));
    }
    for (id, game_server) in &observed.game_servers {
        servers
            .entry(*id)
            .or_insert_with(|| server(*id, None, Some(game_server), None));
    }
    for (id, uid) in &observed.pending.created {
        let server = servers
            .entry(*id)
            .or_insert_with(|| server(*id, None, None, None));
        if server.pod.is_none() {
            server.pod = Some(ServerPod {
                uid: uid.clone(),
                stage: Stage::Live,
                available: false,
                hold: Hold::Free,
                backs_off: false,
            });
        }
    }
    servers.into_values().collect()
}

fn server(
    id: Id,
    pod: Option<ServerPod>,
    game_server: Option<&Arc<GameServerView>>,
    label: Option<&str>,
) -> Server {
    let spec = game_server.map(|game_server| &game_server.spec);
    let ops_state = spec.and_then(|spec| spec.ops_state.as_deref());
    let ops_state = if bug::active("ops-state-from-label") {
        label
    } else {
        ops_state
    };
    let players = pod
        .as_ref()
        .zip(game_server)
        .map_or(0, |(pod, found)| found.players_of(&pod.uid));
    Server {
        id,
        pod,
        players,
        marked: game_server.is_some_and(|found| found.is_marked()),
        standing: Standing::of(ops_state, label),
        deletion_priority: spec
            .and_then(|spec| spec.deletion_priority.as_ref())
            .and_then(IntOrString::as_i64)
            .unwrap_or(0),
    }
}

fn stage(id: Id, pod: &PodView, held: bool, observed: &Observed) -> Stage {
    let (uid, pending) = (&pod.metadata.uid, &observed.pending);
    if pod.metadata.is_terminating() || pending.deleted.contains(uid) {
        return Stage::Terminating;
    }
    // One that only says what somebody else does to the Pod decides nothing: the Pod goes without us, or stays.
    let claim = observed
        .game_servers
        .get(&id)
        .and_then(|found| found.deletion_claim.as_ref())
        .filter(|claim| claim.pod_uid == *uid && !claim_reason::is_of_others(&claim.reason));
    let claimed = claim
        .map(|claim| &claim.reason)
        .or_else(|| pending.claimed.get(uid));
    let told = lifecycle(pod) == keys::lifecycle::PREPARING_DELETE;
    if let Some(reason) = claimed {
        if reason == claim_reason::DRAINING
            && !told
            && !has_ended(pod)
            && waits_for_players(id, claim, observed)
        {
            return Stage::Draining;
        }
        // What is taken out of the set runs on, and no hook is asked.
        return if (held || told) && reason != claim_reason::REMOVED {
            Stage::PreparingDelete(Some(reason.clone()))
        } else {
            Stage::Claimed(reason.clone())
        };
    }
    if told {
        return Stage::PreparingDelete(None);
    }
    if has_ended(pod) { Stage::Ended } else { Stage::Live }
}

/// Whether a server that was claimed to drain still does. A claim of our own that the cache does not show yet has just begun.
fn waits_for_players(id: Id, claim: Option<&DeletionClaim>, observed: &Observed) -> bool {
    let found = observed.game_servers.get(&id);
    found.zip(claim).is_none_or(|(found, claim)| {
        matches!(
            players::wait(&observed.set, found, claim, observed.clock),
            players::Wait::ForPlayers(_)
        )
    })
}

/// Whether all of its containers have ended for good: no kubelet starts them again.
pub(super) fn has_ended(pod: &PodView) -> bool {
    matches!(pod.phase.as_deref(), Some("Failed" | "Succeeded"))
}

fn hold(pod: &PodView, held: bool) -> Hold {
    let told = lifecycle(pod) == keys::lifecycle::PREPARING_DELETE;
    match held {
        false => Hold::Free,
        true if told || pod.metadata.is_terminating() => Hold::Waits,
        true => Hold::Holds,
    }
}

/// Where the Pod is in its lifecycle, one of [`keys::lifecycle`]; empty for Pods that nobody has told.
pub fn lifecycle(pod: &PodView) -> &str {
    pod.metadata.label(label::LIFECYCLE_STATE).unwrap_or_default()
}

/// Whether a Pod counts as available.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// Not ready, not in service, or going away.
    No,
    /// Ready, and will be available after so many seconds more.
    In(i64),
    /// Ready for long enough.
    Available,
}

/// `spec.updateStrategy.rollingUpdate.minReadySeconds`.
pub fn min_ready_seconds(set: &GameServerSetView) -> i64 {
    let rolling = set
        .spec
        .update_strategy
        .as_ref()
        .and_then(|strategy| strategy.rolling_update.as_ref());
    rolling
        .and_then(|rolling| rolling.min_ready_seconds)
        .unwrap_or(0)
        .max(0)
        .into()
}

/// Whether `pod` has been ready and in service for `min_ready` seconds.
pub fn availability(pod: &PodView, min_ready: i64, clock: Timestamp) -> Availability {
    let ready = pod
        .condition("Ready")
        .filter(|condition| condition.status == "True");
    let in_service =
        ["", keys::lifecycle::NORMAL].contains(&lifecycle(pod)) && pod.phase.as_deref() == Some("Running");
    let Some(ready) = ready.filter(|_| in_service && !pod.metadata.is_terminating()) else {
        return Availability::No;
    };
    let since = ready
        .last_transition_time
        .as_deref()
        .and_then(|time| time.parse::<Timestamp>().ok());
    let left = since.map_or(0, |since| min_ready - (clock.as_second() - since.as_second()));
    if min_ready > 0 && left > 0 {
        Availability::In(left)
    } else {
        Availability::Available
    }
}

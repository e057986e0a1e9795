//! Which ids shall exist, and which Pods are to be deleted for it.

use api_types::keys::claim_reason;
use controller_kit::bug;

use super::{
    ids::{Id, IdSet},
    leaving::{self, Leaving},
    record::{Deletion, Record},
    server::{Server, Stage},
    victims,
};

/// Deletions named by one record. It bounds the record's size (about 100 bytes each); the next ones follow as soon as
/// the first are terminating.
pub const MAX_DELETING: usize = 500;

/// What becomes of the ids of servers that were scaled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// They are free for the next growth, lowest first.
    #[default]
    General,
    /// They are written to `spec.reserveGameServerIds` and not used again until the user removes them.
    ReserveIds,
}

/// Everything a scale decision depends on.
#[derive(Debug, Clone)]
pub struct ScaleInput<'a> {
    /// `spec.replicas`.
    pub replicas: u64,
    /// `spec.scaleStrategy.scaleDownStrategyType`.
    pub strategy: Strategy,
    /// `spec.scaleStrategy.protectAllocated`.
    pub protect_allocated: bool,
    /// Whether `spec.scaleStrategy.maxUnavailable` limits how fast the set grows.
    pub limited: bool,
    /// Whether the set says how players count: of equal servers those with fewer go first.
    pub by_players: bool,
    /// `spec.players.drainWhenEmpty`.
    pub drains: bool,
    /// Servers that leave whatever the replicas are.
    pub leaving: &'a Leaving,
    /// The understood part of `spec.reserveGameServerIds`.
    pub reserved: &'a IdSet,
    /// The stored plan; `None` on a new set and after a restored backup, where it is rebuilt from the servers.
    pub record: Option<&'a Record>,
    /// The annotation `reserve-ids`: stands in for the record's explicit reserves when there is no record.
    pub acknowledged: &'a IdSet,
    /// Servers with a Pod or a GameServer, by ascending id.
    pub servers: &'a [Server],
}

/// The outcome of a scale decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScalePlan {
    /// The record to store before anything else is done.
    pub record: Record,
    /// Allocated servers that would have to go and are protected: the set waits for them.
    pub protected: IdSet,
    /// Servers wanted for which no free id is left.
    pub out_of_ids: u64,
    /// The explicit reserves to write to the spec (ReserveIds only), when they differ from what is there.
    pub reserve: Option<IdSet>,
}

/// Decides which ids shall exist.
///
/// The stored record is the starting point, not the Pods: a server that is being recreated keeps its id. Live Pods
/// outside the record come back into consideration until their deletion claim is written, so a scale-in that was
/// decided but not begun is taken back when the replicas grow again or when its victim was allocated meanwhile.
pub fn plan(input: &ScaleInput<'_>) -> ScalePlan {
    let empty = Record::default();
    let record = input.record.unwrap_or(&empty);
    let live: IdSet = input
        .servers
        .iter()
        .filter(|server| server.is_live())
        .map(|server| server.id)
        .collect();
    // Without a record all live Pods are current; with one, those outside it were chosen by an earlier plan.
    let current = if input.record.is_some() {
        record.desired.clone()
    } else {
        live.clone()
    };
    let gone = leaving::gone_from_plan(input);
    let pool = current.union(&live).difference(input.reserved).difference(&gone);

    let mut implicit = implicit_reserves(input, record);
    let (desired, protected) = if pool.len() < input.replicas {
        (grow(input, &pool, &implicit, &gone), IdSet::new())
    } else {
        shrink(input, &pool, &current)
    };
    // With ReserveIds, ids that are given up are never used again. Those that were only replaced are not given up.
    let replaced = match input.strategy {
        Strategy::General => IdSet::new(),
        Strategy::ReserveIds => gone,
    };
    let given_up = current
        .difference(&desired)
        .difference(input.reserved)
        .difference(&replaced);
    implicit = implicit.difference(&desired).union(&given_up);

    let out_of_ids = input.replicas.saturating_sub(desired.len());
    let protected = protected.union(&reserved_but_allocated(input));
    let growing = growing(input, record, &current, &desired);
    let deleting = deletions(input, record, &desired, &protected);
    let reserve = (input.strategy == Strategy::ReserveIds && !implicit.is_empty())
        .then(|| input.reserved.union(&implicit));
    let record = Record {
        desired,
        reserved: input.reserved.clone(),
        implicit,
        growing,
        deleting,
        // `plan::update` decides about them.
        updating: Vec::new(),
    };
    ScalePlan {
        record,
        protected,
        out_of_ids,
        reserve,
    }
}

/// Ids the user has newly reserved are explicit now. Ids the user has released become holes under General; under
/// ReserveIds they are free at once, or they would be written straight back into the list they were removed from.
fn implicit_reserves(input: &ScaleInput<'_>, record: &Record) -> IdSet {
    let before = if input.record.is_some() {
        &record.reserved
    } else {
        input.acknowledged
    };
    let kept = record.implicit.difference(input.reserved);
    match input.strategy {
        Strategy::General => kept.union(&before.difference(input.reserved)),
        Strategy::ReserveIds => kept,
    }
}

/// New ids are growing until their server is available for the first time. Those of a set that is not limited are not kept:
/// should a limit come, the ids without a Pod at that moment are replaced without one.
fn growing(input: &ScaleInput<'_>, record: &Record, current: &IdSet, desired: &IdSet) -> IdSet {
    if !input.limited {
        return IdSet::new();
    }
    let available: IdSet = input
        .servers
        .iter()
        .filter(|server| server.pod.as_ref().is_some_and(|pod| pod.available))
        .map(|server| server.id)
        .collect();
    let new = desired.difference(current);
    record
        .growing
        .union(&new)
        .intersection(desired)
        .difference(&available)
}

fn grow(input: &ScaleInput<'_>, pool: &IdSet, implicit: &IdSet, gone: &IdSet) -> IdSet {
    let held: IdSet = input
        .servers
        .iter()
        .filter(|server| server.is_held())
        .map(|server| server.id)
        .collect();
    let mut taken = pool.union(&held).union(gone);
    if !bug::active("reserved-id-used") {
        taken = taken.union(input.reserved);
    }
    if input.strategy == Strategy::ReserveIds {
        // Given up but not yet written to the spec: promised not to be used again.
        taken = taken.union(implicit);
    }
    pool.union(&taken.lowest_free(input.replicas - pool.len()))
}

/// The desired ids after a scale-in, and the allocated servers that kept it from going all the way.
fn shrink(input: &ScaleInput<'_>, pool: &IdSet, current: &IdSet) -> (IdSet, IdSet) {
    let kept: IdSet = input
        .servers
        .iter()
        .filter(|server| input.protect_allocated && server.standing.allocated)
        .map(|server| server.id)
        .collect();
    let surplus = pool.len() - input.replicas;
    let chosen = victims::choose(pool, current, &kept, input.servers, input.by_players, surplus);
    let desired = pool.difference(&chosen);
    let blocked = if desired.len() > input.replicas {
        desired.clone()
    } else {
        IdSet::new()
    };
    (desired, blocked)
}

/// Allocated servers on ids the user has reserved: protected ones stay until they are free, outside the plan.
fn reserved_but_allocated(input: &ScaleInput<'_>) -> IdSet {
    let stays = |server: &&Server| {
        input.protect_allocated
            && server.is_live()
            && server.standing.allocated
            && input.reserved.contains(server.id)
    };
    input
        .servers
        .iter()
        .filter(stays)
        .map(|server| server.id)
        .collect()
}

fn deletions(input: &ScaleInput<'_>, record: &Record, desired: &IdSet, protected: &IdSet) -> Vec<Deletion> {
    let mut wanted: Vec<(u8, Deletion)> = Vec::new();
    for server in input.servers {
        let Some(pod) = &server.pod else { continue };
        let wanted_back = desired.contains(server.id);
        let (urgency, reason) = match &pod.stage {
            Stage::Terminating => continue,
            // Somebody has begun to delete it without a claim: it is finished, but not over an allocation.
            Stage::PreparingDelete(None) if input.protect_allocated && server.standing.allocated => continue,
            Stage::PreparingDelete(reason) => {
                let guess = if wanted_back {
                    claim_reason::REPLACED
                } else {
                    claim_reason::SCALE_IN
                };
                // Nothing can be done about it now, so it may not keep others from being named.
                let urgency = if server.only_waits() { 3 } else { 0 };
                (urgency, reason.as_deref().unwrap_or(guess))
            }
            Stage::Draining => (if server.only_waits() { 3 } else { 0 }, claim_reason::DRAINING),
            // A claim is final for this Pod, whoever wrote it and whatever was decided since.
            Stage::Claimed(reason) => (0, reason.as_str()),
            Stage::Ended if input.leaving.removed.contains(server.id) => (2, claim_reason::REMOVED),
            Stage::Ended if wanted_back && (pod.backs_off || input.leaving.kept.contains(server.id)) => {
                continue;
            }
            Stage::Ended if wanted_back => (2, claim_reason::REPLACED),
            Stage::Live if wanted_back && input.leaving.failed.contains(server.id) => {
                (2, claim_reason::FAILED)
            }
            Stage::Live if wanted_back && leaving::goes_by_mark(input, server) => (2, claim_reason::MARKED),
            Stage::Live if wanted_back || protected.contains(server.id) => continue,
            Stage::Ended if server.standing.is_kill() => (2, claim_reason::KILL),
            Stage::Ended => (2, claim_reason::SCALE_IN),
            Stage::Live => (2, leaving::reason_of(input, server)),
        };
        // Those already named keep their place, or the record would change back and forth.
        let urgency = if urgency == 2 && record.names(server.id, &pod.uid) {
            1
        } else {
            urgency
        };
        let deletion = Deletion {
            id: server.id,
            pod_uid: pod.uid.clone(),
            reason: reason.to_owned(),
        };
        wanted.push((urgency, deletion));
    }
    wanted.sort_by_key(|(urgency, _)| *urgency);
    wanted.truncate(MAX_DELETING);
    let mut deletions: Vec<Deletion> = wanted.into_iter().map(|(_, deletion)| deletion).collect();
    deletions.sort_by_key(|deletion| deletion.id);
    deletions
}

/// The ids to create now: desired, without a Pod of any kind, lowest first, at most `most`. Ids that once had a server come
/// first and are not held to `budget`, which is for the `growing` ones: a set that grows slowly, or whose growth is stuck,
/// still replaces what it loses.
///
/// `occupied` are ids whose Pod name is taken: by our own Pods in any stage, by foreign ones, or by creations whose
/// result the watch has not shown yet.
pub fn creations(record: &Record, occupied: &IdSet, budget: u64, most: u64) -> Vec<Id> {
    let missing = record.desired.difference(occupied);
    let replaced = missing.difference(&record.growing).lowest(most);
    let left = budget.min(most - replaced.len());
    let grown = missing.intersection(&record.growing).lowest(left);
    replaced.union(&grown).iter().collect()
}

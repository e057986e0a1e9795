//! What to do next, decided from plain data.
//!
//! Nothing here knows a client, a clock or chance: the same observation always gives the same plan.
//!
//! | module | decides |
//! |---|---|
//! | [`scale`] | which ids shall exist, which Pods go, which are created |
//! | [`kill`] | the replicas after opsState `Kill` |
//! | [`backoff`] | how long an ended Pod stays before it is replaced |
//! | [`budget`] | how many Pods are created at once |
//! | [`lifecycle`] | when a new Pod is in service, and which Pods hooks keep out of it |
//! | [`hooks`] | whether a lifecycle hook holds a Pod or is satisfied |
//! | [`departing`] | which servers are claimed because somebody else takes their Pods |
//! | [`guard`] | which PodDisruptionBudget a namespace needs |
//! | [`volumes`] | which volume claims are made, whom they go with, which servers wait for one |
//! | [`leaving`] | which servers go whatever the replicas are, and what becomes of their ids |
//! | [`players`] | which servers wait for their last player, and how long |
//! | [`failures`] | which servers have failed, and what becomes of them |
//! | [`survivors`] | what happens to GameServers that outlive their Pods |
//! | [`revisions`] | the history of the template |
//! | [`update`] | which Pods are brought to the template, in what order, in place or not |
//! | [`ids`], [`server`], [`record`] | nothing: the terms the others speak in |

pub mod backoff;
pub mod budget;
pub mod departing;
pub mod failures;
pub mod guard;
pub mod hooks;
pub mod ids;
pub mod kill;
pub mod leaving;
pub mod lifecycle;
pub mod players;
pub mod record;
pub mod revisions;
pub mod scale;
pub mod server;
pub mod survivors;
pub mod update;
mod victims;
pub mod volumes;

use api_types::{IntOrString, ScaleDownStrategyType, keys};
use controller_kit::bug;

use self::{
    failures::FailurePlan,
    ids::{BadItem, Id, IdSet},
    leaving::Leaving,
    lifecycle::LifecycleStep,
    record::Deletion,
    scale::{ScaleInput, ScalePlan, Strategy},
    server::Server,
    survivors::SurvivorStep,
    update::UpdatePlan,
    volumes::VolumePlan,
};
use crate::{observe::Observed, views::PodView};

/// Creations begun in one pass; more follow in the next. It bounds how long a pass takes (a second at most).
const MAX_CREATIONS: u64 = 500;

/// All that is to be done for one set, in the order of its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The replicas to write for servers with opsState `Kill`; everything else waits for the next pass then.
    pub kill: Option<u64>,
    /// The ids that shall exist.
    pub scale: ScalePlan,
    /// Whether the record must be stored before anything is done under it.
    pub record_first: bool,
    /// Pods to claim and delete.
    pub delete: Vec<Deletion>,
    /// Pods to create.
    pub create: Vec<Id>,
    /// Ids that lack a Pod and must wait: for the budget, for the next pass, or for a name to become free.
    pub create_later: u64,
    /// Those of `create` that a partition keeps on the old revision.
    pub create_old: IdSet,
    /// What is done to bring Pods to the set's template. Those to be replaced are in `delete` too.
    pub update: UpdatePlan,
    /// Pods to be compared with the set's template one by one, because the revision they name is not stored.
    pub compare: Vec<Id>,
    /// Explicit reserves to write back to the set.
    pub reserves: Option<ReservePatch>,
    /// Pods whose readiness gates are to be opened for the first time.
    pub open_gates: Vec<Gate>,
    /// Steps of Pods in their lifecycle.
    pub lifecycle: Vec<LifecycleStep>,
    /// What failures of servers come to.
    pub failures: FailurePlan,
    /// Seconds until a wait for players is over, or a heartbeat overdue.
    pub wake: Option<i64>,
    /// Volume claims.
    pub volumes: VolumePlan,
    /// Writes to GameServers that outlive their Pods.
    pub survivors: Vec<SurvivorStep>,
}

impl Plan {
    /// Whether nothing is left to decide or to begin once all of this was carried out.
    pub fn is_complete_once_applied(&self) -> bool {
        self.kill.is_none()
            && self.create_later == 0
            && self.compare.is_empty()
            && self.update.waiting == 0
            && self.scale.out_of_ids == 0
            && self.reserves_are_settled()
    }

    /// Writing reserves to the spec makes a new generation, which is then to be acted on.
    fn reserves_are_settled(&self) -> bool {
        self.reserves
            .as_ref()
            .is_none_or(|reserves| reserves.spec.is_none())
    }
}

/// What to write to the set about its reserves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservePatch {
    /// `spec.reserveGameServerIds`, only with strategy ReserveIds.
    pub spec: Option<Vec<IntOrString>>,
    /// The annotation `reserve-ids`.
    pub annotation: String,
}

/// A Pod with readiness gates that have no condition yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// The server's id.
    pub id: Id,
    /// The Pod's UID.
    pub pod_uid: String,
    /// The condition types.
    pub conditions: Vec<&'static str>,
}

/// Decides what to do. `one_by_one` is set while the API server refuses this set's Pods.
pub fn plan(observed: &Observed, one_by_one: bool) -> Plan {
    let replicas = u64::try_from(observed.set.spec.replicas).unwrap_or(0);
    let failures = failures(observed);
    let mut leaving = leaving_by_failure(observed, &failures);
    let mut scale = scale::plan(&scale_input(observed, replicas, &leaving));
    let ways = update::subject::Ways::of(observed);
    let out = update::taken::still_out(observed, &scale.record);
    let subjects = update::subject::subjects(observed, &scale.record, &out, &ways);
    let rules = update::subject::rules(&observed.set);
    let mut update = update::plan(rules, &scale.record.desired, &subjects);
    leaving.drained = players::drained_by(&update, observed);
    if !leaving.drained.is_empty() {
        // Their ids leave the plan, and others take their place in the same decision.
        scale = scale::plan(&scale_input(observed, replicas, &leaving));
        update
            .recreate
            .retain(|deletion| scale.record.desired.contains(deletion.id));
    }
    scale.record.also_delete(&update.recreate);
    let deleting = observed
        .record
        .as_ref()
        .map_or(&[][..], |record| &record.deleting);
    scale.record.updating = update::taken::next(&out, deleting, &scale.record, &subjects, &update);
    let stored = observed.record.as_ref();
    let decided_anew = stored.is_none_or(|record| record.is_decided_anew_by(&scale.record));
    let record_first = !failures.news.is_empty() || decided_anew;
    let wakes = [failures.wake, players::wake(observed)];
    let kill = kill::replicas_after_kill(replicas, &scale.record.desired, &observed.servers);
    let volumes = volumes::plan(observed, &scale.record.desired);
    let (create, create_later) = creations(observed, &scale, &volumes, replicas, one_by_one);
    let create_old = update::old_ones(rules.partition, &create, &subjects);
    Plan {
        create_old: create_old.into_iter().collect(),
        compare: unknown(observed, &ways),
        update,
        kill,
        record_first,
        delete: begun_or_due(&scale.record.deleting, &observed.servers),
        create,
        create_later,
        reserves: reserves(observed, &scale),
        open_gates: gates(observed),
        lifecycle: lifecycle::steps(observed),
        failures,
        wake: wakes.into_iter().flatten().min(),
        volumes,
        survivors: survivors::steps(
            &observed.set.metadata.uid,
            &scale.record.desired,
            &observed.servers,
            &observed.game_servers,
        ),
        scale,
    }
}

/// Pods of which it has to be found out what they were made from.
fn unknown(observed: &Observed, ways: &update::subject::Ways<'_>) -> Vec<Id> {
    let stays = |pod: &PodView| !pod.metadata.is_terminating() && !observed.pending.is_behind(&pod.metadata);
    let pods = observed
        .pods
        .iter()
        .filter(|(_, pod)| stays(pod) && ways.is_unknown(pod));
    pods.map(|(id, _)| *id).collect()
}

/// The deletions about which something can be done: all but those that wait for their hook.
fn begun_or_due(deleting: &[Deletion], servers: &[Server]) -> Vec<Deletion> {
    let waits = |deletion: &&Deletion| {
        servers
            .binary_search_by_key(&deletion.id, |server| server.id)
            .ok()
            .and_then(|at| servers.get(at))
            .is_some_and(Server::only_waits)
    };
    deleting
        .iter()
        .filter(|deletion| !waits(deletion))
        .cloned()
        .collect()
}

fn failures(observed: &Observed) -> FailurePlan {
    let spec = &observed.set.spec;
    let Some(policy) = &spec.failure_policy else {
        return FailurePlan::default();
    };
    failures::plan(
        Some(policy),
        observed.set.status.failures.as_ref(),
        &failures::spec_hash(spec),
        &players::suspects(observed),
        observed.clock.as_second(),
    )
}

fn leaving_by_failure(observed: &Observed, failures: &FailurePlan) -> Leaving {
    Leaving {
        removed: failures.remove.clone(),
        failed: failures.delete.clone(),
        kept: failures.stuck.clone(),
        occupied: observed.removed.clone(),
        ..Leaving::default()
    }
}

fn scale_input<'a>(observed: &'a Observed, replicas: u64, leaving: &'a Leaving) -> ScaleInput<'a> {
    let strategy = observed.set.spec.scale_strategy.as_ref();
    let down = strategy.and_then(|strategy| strategy.scale_down_strategy_type.as_ref());
    ScaleInput {
        replicas,
        strategy: match down {
            Some(ScaleDownStrategyType::ReserveIds) => Strategy::ReserveIds,
            _ => Strategy::General,
        },
        protect_allocated: strategy
            .and_then(|strategy| strategy.protect_allocated)
            .unwrap_or(false)
            && !bug::active("protection-ignored"),
        limited: max_unavailable(observed).is_some(),
        by_players: observed.set.spec.players.is_some(),
        drains: players::drains(&observed.set),
        leaving,
        reserved: &observed.reserved.0,
        record: observed.record.as_ref(),
        acknowledged: &observed.acknowledged,
        servers: &observed.servers,
    }
}

fn creations(
    observed: &Observed,
    scale: &ScalePlan,
    volumes: &VolumePlan,
    replicas: u64,
    one_by_one: bool,
) -> (Vec<Id>, u64) {
    let desired = &scale.record.desired;
    let with_pod = observed.servers.iter().filter(|server| server.pod.is_some());
    let strangers = observed
        .strangers
        .iter()
        .filter_map(|found| crate::observe::id_in(&observed.set, &found.name));
    let occupied: IdSet = with_pod
        .clone()
        .map(|server| server.id)
        .chain(strangers)
        .chain(observed.pending.blocked.keys().copied())
        .collect();
    let growing = &scale.record.growing;
    let starting = with_pod
        .filter(|server| growing.contains(server.id) && server.pod.as_ref().is_some_and(|pod| !pod.available))
        .count() as u64;
    let most = if one_by_one { 1 } else { MAX_CREATIONS };
    let budget = budget::creation_budget(max_unavailable(observed), replicas, starting);
    let missing = desired.difference(&occupied).len();
    let create = scale::creations(
        &scale.record,
        &occupied.union(&volumes.hold_creation()),
        budget,
        most,
    );
    let later = missing - create.len() as u64;
    (create, later)
}

fn max_unavailable(observed: &Observed) -> Option<&IntOrString> {
    observed
        .set
        .spec
        .scale_strategy
        .as_ref()?
        .max_unavailable
        .as_ref()
}

/// The annotation says which reserves were acted on; a set that never had any needs none.
fn reserves(observed: &Observed, scale: &ScalePlan) -> Option<ReservePatch> {
    let explicit = scale.reserve.as_ref().unwrap_or(&observed.reserved.0);
    if scale.reserve.is_none() && *explicit == observed.acknowledged {
        return None;
    }
    let unread = observed
        .reserved
        .1
        .iter()
        .map(|BadItem { item, .. }| IntOrString::String(item.clone()));
    Some(ReservePatch {
        // Items that cannot be understood stay: they are the user's to correct.
        spec: scale
            .reserve
            .as_ref()
            .map(|ids| ids.to_items().into_iter().chain(unread).collect()),
        annotation: explicit.to_joined(),
    })
}

/// They are closed later, by updates and hooks; a Pod that was just created has no such conditions and could never be ready.
fn gates(observed: &Observed) -> Vec<Gate> {
    const OURS: [&str; 2] = [keys::IN_PLACE_UPDATE_READY, keys::KRUISE_POD_READY];
    let unset = |pod: &PodView| -> Vec<&'static str> {
        OURS.into_iter()
            .filter(|gate| pod.has_gate(gate) && pod.condition(gate).is_none())
            .collect()
    };
    observed
        .pods
        .iter()
        .filter(|(_, pod)| !pod.readiness_gates.is_empty() && !pod.metadata.is_terminating())
        .map(|(id, pod)| Gate {
            id: *id,
            pod_uid: pod.metadata.uid.clone(),
            conditions: unset(pod),
        })
        .filter(|gate| !gate.conditions.is_empty())
        .collect()
}

#[cfg(test)]
mod departures;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod ids_tests;
#[cfg(test)]
mod oracle;

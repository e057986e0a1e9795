//! What was observed, in the terms of the update planner.

use std::collections::{BTreeMap, BTreeSet};

use api_types::{
    GameServerSetView, LifecycleHook, PodUpdatePolicy, UpdateStrategyType,
    keys::{annotation, claim_reason, label, lifecycle},
};

use controller_kit::bug;

use super::{
    Rules, Stage, Subject, Way,
    change::{Change, InPlace, between},
    completion::{Completion, UpdateState, completion},
    taken,
};
use crate::{
    observe::Observed,
    plan::{
        budget,
        hooks::{self, is_held, is_satisfied},
        ids::Id,
        record::{Record, Taken},
        server,
    },
    views::{GameServerView, PodView},
};

/// The set's rules for updates. A strategy that is not known halts them: guessing could cost every server.
pub fn rules(set: &GameServerSetView) -> Rules {
    let strategy = set.spec.update_strategy.as_ref();
    let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
    let type_ = strategy.and_then(|strategy| strategy.type_.as_ref());
    // Where rollingUpdate is given, RollingUpdate is meant.
    let rolls = rolling.is_some() || matches!(type_, None | Some(UpdateStrategyType::RollingUpdate));
    let paused = rolling.and_then(|rolling| rolling.paused).unwrap_or(false);
    let paused = paused && !bug::active("paused-ignored");
    let unknown = matches!(policy(set), PodUpdatePolicy::Other(_));
    let replicas = u64::try_from(set.spec.replicas).unwrap_or(0);
    let limit = rolling.and_then(|rolling| rolling.max_unavailable.as_ref());
    Rules {
        halted: !rolls || paused || unknown,
        partition: partition(set),
        max_unavailable: budget::at_least_one(limit, replicas).unwrap_or(1),
    }
}

/// How many Pods stay on the old revision.
pub fn partition(set: &GameServerSetView) -> u64 {
    let strategy = set.spec.update_strategy.as_ref();
    let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
    let partition = rolling.and_then(|rolling| rolling.partition).unwrap_or(0);
    u64::try_from(partition).unwrap_or(0)
}

fn policy(set: &GameServerSetView) -> PodUpdatePolicy {
    let strategy = set.spec.update_strategy.as_ref();
    let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
    rolling
        .and_then(|rolling| rolling.pod_update_policy.clone())
        .unwrap_or(PodUpdatePolicy::ReCreate)
}

/// `inPlaceUpdateStrategy.gracePeriodSeconds`.
pub fn grace_seconds(set: &GameServerSetView) -> i64 {
    let strategy = set.spec.update_strategy.as_ref();
    let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
    let in_place = rolling.and_then(|rolling| rolling.in_place_update_strategy.as_ref());
    in_place
        .and_then(|in_place| in_place.grace_period_seconds)
        .unwrap_or(0)
        .max(0)
        .into()
}

/// The set's `inPlaceUpdate` hook. Network plugins that may leave a Pod in service while it is not ready take part in it.
pub fn in_place_hook(set: &GameServerSetView) -> Option<LifecycleHook> {
    let hook = hooks::in_place_update(set).cloned();
    let network = set.spec.network.as_ref();
    let asks = network.is_some_and(|network| {
        network
            .network_conf
            .iter()
            .any(|parameter| parameter.name == ALLOW_NOT_READY)
    });
    if !asks {
        return hook;
    }
    let mut hook = hook.unwrap_or_default();
    hook.labels_handler
        .insert(label::INPLACE_NOT_READY_BLOCKER.to_owned(), "true".to_owned());
    Some(hook)
}

/// Network parameter whose plugin holds updates in place until traffic may stay.
const ALLOW_NOT_READY: &str = "AllowNotReadyContainers";

/// What the ways of one set's Pods have in common.
pub struct Ways<'a> {
    observed: &'a Observed,
    policy: PodUpdatePolicy,
    changes: BTreeMap<String, Change>,
}

impl<'a> Ways<'a> {
    /// Compares each revision that a Pod has with the wanted one.
    pub fn of(observed: &'a Observed) -> Self {
        let revisions = &observed.history.revisions;
        let names: BTreeSet<&str> = observed
            .pods
            .values()
            .filter_map(|pod| revision_of(pod))
            .collect();
        let outdated = names.into_iter().filter(|name| !revisions.is_update(Some(name)));
        let changes = outdated.filter_map(|name| {
            let old = observed.history.stored.get(name)?.stored.as_ref()?.template()?;
            Some((name.to_owned(), between(&old, &revisions.update.template)))
        });
        Self {
            observed,
            policy: policy(&observed.set),
            changes: changes.collect(),
        }
    }

    /// What is to be changed in this Pod, where that is possible.
    pub fn change(&self, id: Id, pod: &PodView) -> Option<InPlace> {
        match self.changes.get(revision_of(pod)?)? {
            Change::None => Some(InPlace::default()),
            Change::InPlace(change) => {
                let server = self.observed.game_servers.get(&id).map(AsRef::as_ref);
                let (images, resources) = overridden(server);
                Some(change.without(&images, &resources))
            }
            Change::Recreate(_) => None,
        }
    }

    /// Whether it has yet to be found out, from the Pod itself, whether this Pod is as wanted: its revision is not stored.
    pub fn is_unknown(&self, pod: &PodView) -> bool {
        let revision = revision_of(pod);
        let wanted = &self.observed.history.revisions.update.name;
        let compared = self.observed.pending.compared.get(&pod.metadata.uid);
        !self.observed.history.revisions.is_update(revision)
            && revision.is_none_or(|revision| !self.changes.contains_key(revision))
            && compared != Some(wanted)
    }

    /// How this Pod gets to the wanted revision.
    fn way(&self, id: Id, pod: &PodView) -> Way {
        let revision = revision_of(pod);
        if self.observed.history.revisions.is_update(revision) {
            return Way::UpToDate;
        }
        if matches!(self.policy, PodUpdatePolicy::ReCreate) || bug::active("in-place-not-tried") {
            return Way::Recreate;
        }
        let refused = self.observed.pending.refused.get(&pod.metadata.uid);
        let why = match (
            self.change(id, pod),
            revision.and_then(|revision| self.changes.get(revision)),
        ) {
            (_, Some(Change::Recreate(why))) => format!("{why} changed"),
            _ if refused.is_some_and(|(of, _)| *of == self.observed.history.revisions.update.name) => {
                let why = refused.map(|(_, why)| why.as_str()).unwrap_or_default();
                format!("the API server refuses it: {why}")
            }
            (Some(change), _) if !change.resources.is_empty() => match self.observed.history.can_resize {
                Some(true) => return Way::InPlace,
                Some(false) => "this cluster cannot resize running Pods".to_owned(),
                None => {
                    return Way::Impossible(
                        "it is not known yet whether this cluster resizes running Pods".to_owned(),
                    );
                }
            },
            (Some(change), _) if change.is_metadata_only() => return Way::Metadata,
            (Some(_), _) => return Way::InPlace,
            (None, _) => format!("its revision {} is not stored", revision.unwrap_or("(none)")),
        };
        match self.policy {
            PodUpdatePolicy::InPlaceOnly => Way::Impossible(why),
            _ => Way::Recreate,
        }
    }
}

/// The revision a Pod says it has.
pub fn revision_of(pod: &PodView) -> Option<&str> {
    pod.metadata.label(label::CONTROLLER_REVISION_HASH)
}

/// Containers whose image, and whose CPU or memory, one server has of its own.
pub fn overridden(server: Option<&GameServerView>) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let containers = server.map_or(&[][..], |server| &server.spec.containers);
    let images = containers
        .iter()
        .filter(|container| container.image.as_ref().is_some_and(|image| !image.is_empty()))
        .map(|container| container.name.as_str());
    let resources = containers
        .iter()
        .filter(|container| container.resources.is_some())
        .map(|container| container.name.as_str());
    (images.collect(), resources.collect())
}

/// The record of the last change in place.
pub fn update_state(pod: &PodView) -> Option<UpdateState> {
    serde_json::from_str(pod.metadata.annotation(annotation::IN_PLACE_UPDATE_STATE)?).ok()
}

/// Whether, and since when, the containers run what the spec says.
pub fn completion_of(pod: &PodView, observed: &Observed) -> Completion {
    completion(pod, update_state(pod).as_ref(), observed.clock)
}

/// The desired servers that have a Pod, as the update planner sees them. `record` is the one that will be stored, and `out`
/// what is left of the updates in the stored one.
pub fn subjects(observed: &Observed, record: &Record, out: &[Taken], ways: &Ways<'_>) -> Vec<Subject> {
    let hook = in_place_hook(&observed.set);
    let strategy = observed.set.spec.scale_strategy.as_ref();
    let protects = strategy
        .and_then(|strategy| strategy.protect_allocated)
        .unwrap_or(false);
    let servers = observed
        .servers
        .iter()
        .filter(|server| record.desired.contains(server.id));
    servers
        .filter_map(|server| {
            let seen = server.pod.as_ref()?;
            let taken = taken::entry(out, server.id);
            let leaving = seen.stage != server::Stage::Live || record.names(server.id, &seen.uid);
            let pod = observed
                .pods
                .get(&server.id)
                .filter(|pod| pod.metadata.uid == seen.uid);
            let Some(pod) = pod else {
                // Created a moment ago, from the revision that was wanted then.
                return Some(unseen(server.id, &seen.uid, taken.is_some()));
            };
            let stage = stage(pod);
            let hook = hook.as_ref();
            let version = taken::version(&pod.metadata.resource_version);
            let busy = observed.pending.is_behind(&pod.metadata)
                || ways.is_unknown(pod)
                // Somebody has decided about a later version of it.
                || taken.is_some_and(|taken| taken.version > version);
            Some(Subject {
                id: server.id,
                uid: seen.uid.clone(),
                leaving,
                busy,
                available: seen.available,
                stage,
                way: ways.way(server.id, pod),
                protected: protects && server.standing.allocated && !bug::active("players-disturbed"),
                held: hook.is_some_and(|hook| is_held(hook, &pod.metadata)),
                hooked: hook.is_some(),
                accepted: hook.is_none_or(|hook| is_satisfied(hook, &pod.metadata)),
                complete: stage != Stage::Updating
                    || completion_of(pod, observed) == Completion::Done
                    || bug::active("in-place-too-early"),
                grace_left: grace_left(observed, pod),
                priority: priority(observed, server.id, pod),
                recorded: taken.is_some_and(|taken| taken.pod_uid == seen.uid)
                    || observed.record.as_ref().is_some_and(|before| {
                        before.deleting.iter().any(|deletion| {
                            deletion.pod_uid == seen.uid && deletion.reason == claim_reason::UPDATE
                        })
                    }),
                out: taken.is_some(),
                version,
            })
        })
        .collect()
}

fn unseen(id: Id, uid: &str, out: bool) -> Subject {
    Subject {
        id,
        uid: uid.to_owned(),
        leaving: false,
        busy: true,
        available: false,
        stage: Stage::Idle,
        way: Way::UpToDate,
        protected: false,
        held: false,
        hooked: false,
        accepted: true,
        complete: true,
        grace_left: 0,
        priority: 0,
        recorded: false,
        out,
        version: 0,
    }
}

/// How far this Pod's update in place has come.
pub fn stage(pod: &PodView) -> Stage {
    match pod.metadata.label(label::LIFECYCLE_STATE) {
        Some(lifecycle::PREPARING_UPDATE) => Stage::Preparing,
        Some(lifecycle::UPDATING) => Stage::Updating,
        Some(lifecycle::UPDATED) => Stage::Updated,
        _ => Stage::Idle,
    }
}

/// Seconds left between taking the Pod out of service and changing its images.
fn grace_left(observed: &Observed, pod: &PodView) -> i64 {
    let since = pod.metadata.annotation(annotation::LIFECYCLE_TIMESTAMP);
    let since = since.and_then(|since| since.parse::<jiff::Timestamp>().ok());
    let gone = since.map_or(i64::MAX, |since| observed.clock.as_second() - since.as_second());
    grace_seconds(&observed.set).saturating_sub(gone).max(0)
}

/// `GameServer.spec.updatePriority`, or the Pod's label where there is no GameServer.
fn priority(observed: &Observed, id: Id, pod: &PodView) -> i64 {
    if let Some(server) = observed.game_servers.get(&id) {
        let priority = server.spec.update_priority.as_ref();
        return priority.and_then(api_types::IntOrString::as_i64).unwrap_or(0);
    }
    let label = pod.metadata.label(label::GS_UPDATE_PRIORITY);
    label.and_then(|label| label.parse().ok()).unwrap_or(0)
}

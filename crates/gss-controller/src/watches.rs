//! The watches, and what their changes put into which queue.

use std::sync::Arc;

use api_types::{GameServerSetView, eviction::Policy, keys};
use controller_kit::{
    key::ObjectKey,
    queue::Queue,
    runtime::Runtime,
    store::Store,
    watch::{Change, Watch},
};

use crate::{
    apply::guard,
    controller::Queues,
    host_ports::HostPortBook,
    memory::Memory,
    observe::{BY_NAMESPACE, BY_SET, removed_from, set_of},
    plan::{
        departing,
        guard::{Guarded, is_planned},
    },
    relevance::{Relevance, of_claim, of_game_server, of_pod},
    views::{BudgetView, ClaimView, GameServerView, PodView, RemovedView, RevisionView},
};

pub(crate) fn sets(runtime: &Runtime, queues: &Queues, default: Policy) -> Store<GameServerSetView> {
    let (changed, malformed, budgets) = (queues.sets.clone(), queues.sets.clone(), queues.budgets.clone());
    Watch::<GameServerSetView>::new()
        .index(BY_NAMESPACE, |set: &GameServerSetView| Some(set.metadata.namespace.clone()))
        .on_change(move |change: Change<GameServerSetView>| {
            let key = ObjectKey::of(&change.object().metadata);
            if needs_another_budget(&change, default) {
                budgets.add(guard::key(&key.namespace));
            }
            let Change::Applied { old: Some(old), new } = &change else { return changed.add(key) };
            // Our own status writes change nothing that a pass has not seen; but a pass may wait for them.
            let same = old.metadata.generation == new.metadata.generation
                && old.metadata.annotations == new.metadata.annotations
                && old.metadata.deletion_timestamp == new.metadata.deletion_timestamp
                && old.status == new.status;
            if !same {
                changed.add(key);
            }
        })
        .on_malformed(move |key, why| {
            tracing::warn!(object.namespace = %key.namespace, object.name = %key.name, why, "set not understood");
            malformed.add(key);
        })
        .start(runtime)
}

/// Whether a set's change may change what its namespace's PodDisruptionBudget has to be.
fn needs_another_budget(change: &Change<GameServerSetView>, default: Policy) -> bool {
    let Change::Applied { old: Some(old), new } = change else {
        return true;
    };
    let needs = |set: &GameServerSetView| Guarded::of(set, default);
    is_planned(old) != is_planned(new)
        || old.metadata.generation != new.metadata.generation && needs(old) != needs(new)
}

/// A budget concerns the sets of its namespace: which of them it is about may be any.
pub(crate) fn budgets(
    runtime: &Runtime,
    queues: &Queues,
    sets: &Store<GameServerSetView>,
) -> Store<BudgetView> {
    let (changed, of_sets, sets) = (queues.budgets.clone(), queues.sets.clone(), sets.clone());
    Watch::<BudgetView>::new()
        .index(BY_NAMESPACE, |budget: &BudgetView| {
            Some(budget.metadata.namespace.clone())
        })
        .on_change(move |change: Change<BudgetView>| {
            // Its status counts Pods: it changes with each of them, and says nothing that is read here.
            if let Change::Applied { old: Some(old), new } = &change
                && old.metadata.generation == new.metadata.generation
                && old.metadata.labels == new.metadata.labels
                && old.metadata.uid == new.metadata.uid
                && old.metadata.is_terminating() == new.metadata.is_terminating()
            {
                return;
            }
            let namespace = &change.object().metadata.namespace;
            changed.add(guard::key(namespace));
            for set in sets.by_index(BY_NAMESPACE, namespace) {
                enqueue(&of_sets, ObjectKey::of(&set.metadata), Relevance::Status);
            }
        })
        .start(runtime)
}

pub(crate) fn pods(
    runtime: &Runtime,
    queues: &Queues,
    memory: &Arc<Memory>,
    host_ports: &Arc<HostPortBook>,
) -> Store<PodView> {
    let (queue, departures, memory) = (queues.sets.clone(), queues.departing.clone(), Arc::clone(memory));
    let host_ports = Arc::clone(host_ports);
    Watch::<PodView>::new()
        .labels(keys::label::OWNER_GSS)
        .index(BY_SET, |pod: &PodView| set_of(&pod.metadata))
        .on_change(move |change: Change<PodView>| {
            host_ports.changed(&change);
            if goes_or_stays_after_all(&change) {
                departures.add(ObjectKey::of(&change.object().metadata));
            }
            let relevance = of_pod(&change);
            for key in sets_of(&change, |pod| &pod.metadata) {
                if let Change::Deleted(last) = &change {
                    memory.gone(&key, &last.metadata.uid);
                }
                enqueue(&queue, key, relevance);
            }
        })
        .start(runtime)
}

/// Whether somebody has begun to take the Pod away, or given up.
fn goes_or_stays_after_all(change: &Change<PodView>) -> bool {
    match change {
        Change::Applied { old: Some(old), new } => departing::reason(old) != departing::reason(new),
        Change::Applied { old: None, new } => departing::reason(new).is_some(),
        Change::Deleted(_) => false,
    }
}

pub(crate) fn game_servers(runtime: &Runtime, queues: &Queues) -> Store<GameServerView> {
    let (queue, departures) = (queues.sets.clone(), queues.departing.clone());
    Watch::<GameServerView>::new()
        .index(BY_SET, |found: &GameServerView| set_of(&found.metadata))
        .on_change(move |change: Change<GameServerView>| {
            let relevance = of_game_server(&change);
            // One that is made while its Pod goes, and one whose claim was taken off meanwhile.
            if let Change::Applied { old, new } = &change
                && old
                    .as_ref()
                    .is_none_or(|old| old.deletion_claim != new.deletion_claim)
            {
                departures.add(ObjectKey::of(&new.metadata));
            }
            for key in sets_of(&change, |found| &found.metadata) {
                enqueue(&queue, key, relevance);
            }
        })
        .start(runtime)
}

/// Pods that failurePolicy took out of their sets. There are few, and nothing about them matters but that they have a name.
pub(crate) fn removed(runtime: &Runtime, queue: &Queue<ObjectKey>) -> Store<RemovedView> {
    let queue = queue.clone();
    Watch::<RemovedView>::new()
        .labels(keys::label::REMOVED_FROM_GSS)
        .index(BY_SET, |pod: &RemovedView| removed_from(&pod.metadata))
        .on_change(move |change: Change<RemovedView>| {
            if matches!(change, Change::Applied { old: Some(_), .. }) {
                return;
            }
            let meta = &change.object().metadata;
            if let Some(set) = meta.label(keys::label::REMOVED_FROM_GSS) {
                let key = ObjectKey::new(meta.namespace.as_str(), set);
                enqueue(&queue, key, Relevance::Plan);
            }
        })
        .start(runtime)
}

pub(crate) fn claims(runtime: &Runtime, queue: &Queue<ObjectKey>, memory: &Arc<Memory>) -> Store<ClaimView> {
    let (queue, memory) = (queue.clone(), Arc::clone(memory));
    Watch::<ClaimView>::new()
        .labels(keys::label::OWNER_GSS)
        .index(BY_SET, |claim: &ClaimView| set_of(&claim.metadata))
        .on_change(move |change: Change<ClaimView>| {
            let relevance = of_claim(&change);
            for key in sets_of(&change, |claim| &claim.metadata) {
                if let Change::Deleted(last) = &change {
                    memory.claim_gone(&key, &last.metadata.name);
                }
                enqueue(&queue, key, relevance);
            }
        })
        .start(runtime)
}

pub(crate) fn revisions(runtime: &Runtime, queue: &Queue<ObjectKey>) -> Store<RevisionView> {
    let queue = queue.clone();
    Watch::<RevisionView>::new()
        .labels(keys::label::OWNER_GSS)
        .index(BY_SET, |found: &RevisionView| set_of(&found.metadata))
        .on_change(move |change: Change<RevisionView>| {
            // Our own writes are remembered; what remains are losses and imports.
            for key in sets_of(&change, |found| &found.metadata) {
                enqueue(&queue, key, Relevance::Status);
            }
        })
        .start(runtime)
}

/// The set an object is labelled with, and the one it was labelled with before.
fn sets_of<T>(change: &Change<T>, meta: impl Fn(&T) -> &api_types::Meta) -> Vec<ObjectKey> {
    let named = |object: &T| {
        let meta = meta(object);
        let set = meta.label(keys::label::OWNER_GSS)?;
        Some(ObjectKey::new(meta.namespace.as_str(), set))
    };
    let before = match change {
        Change::Applied { old: Some(old), .. } => named(old),
        _ => None,
    };
    let mut sets: Vec<_> = named(change.object()).into_iter().chain(before).collect();
    sets.dedup();
    sets
}

fn enqueue(queue: &Queue<ObjectKey>, set: ObjectKey, relevance: Relevance) {
    if let Some(delay) = relevance.delay() {
        queue.add_after(set, delay);
    }
}

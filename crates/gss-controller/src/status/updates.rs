//! What the status says about updates: which Pods count as updated, the history, and condition `UpdateBlocked`.

use std::collections::BTreeMap;

use api_types::{Condition, RevisionStatus, keys::condition::UPDATE_BLOCKED};

use super::conditions::{condition, servers};
use crate::{
    observe::Observed,
    plan::{
        Plan,
        ids::IdSet,
        update::{
            Act, Obstacle, Stage,
            completion::{Completion, DEADLINE_SECONDS},
            subject::{completion_of, revision_of, stage},
        },
    },
    views::PodView,
};

/// Revisions shown; those beyond the limit of the history are in use by some Pod.
const SHOWN: usize = 20;

/// Whether the Pod is as the template says, and runs it.
pub(super) fn is_updated(observed: &Observed, pod: &PodView) -> bool {
    !pod.metadata.is_terminating()
        && observed.history.revisions.is_update(revision_of(pod))
        && (stage(pod) != Stage::Updating || completion_of(pod, observed) == Completion::Done)
}

/// The revision that the status calls current: the wanted one, once every server has it and is ready.
pub(super) fn current_revision(observed: &Observed, all_updated: bool) -> String {
    let revisions = &observed.history.revisions;
    let current = if all_updated {
        &revisions.update
    } else {
        &revisions.current
    };
    current.name.clone()
}

/// The history, latest first.
pub(super) fn history(observed: &Observed) -> Vec<RevisionStatus> {
    let pods = |name: &str| {
        let count = observed
            .pods
            .values()
            .filter(|pod| revision_of(pod) == Some(name))
            .count();
        i32::try_from(count).unwrap_or(i32::MAX)
    };
    let mut history: Vec<RevisionStatus> = observed
        .history
        .stored
        .values()
        .map(|found| RevisionStatus {
            name: found.metadata.name.clone(),
            revision: found.revision,
            pods: pods(&found.metadata.name),
        })
        .collect();
    history.sort_by(|a, b| (b.revision, &b.name).cmp(&(a.revision, &a.name)));
    history.truncate(SHOWN);
    history
}

/// What the kubelet says of an image that it will not get without help. It goes on trying, and the two words for a failed pull
/// take turns: what is made of them must not.
fn hopeless(reason: &str) -> Option<&'static str> {
    match reason {
        "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" => {
            Some("cannot be pulled (ErrImagePull)")
        }
        "ErrImageNeverPull" => Some("is not on the node, and its pull policy is Never (ErrImageNeverPull)"),
        "InvalidImageName" => Some("has a name that is none (InvalidImageName)"),
        "ImageInspectError" => Some("cannot be read (ImageInspectError)"),
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            Some("cannot be started, and the Pod's events say why")
        }
        _ => None,
    }
}

/// Updates in place that should have been done long ago, or will not be without help: why, and the servers of which it is true. One
/// bad image stops as many servers as `maxUnavailable` allows, and is said once.
pub(super) fn stuck(observed: &Observed) -> BTreeMap<String, IdSet> {
    let mut found: BTreeMap<String, IdSet> = BTreeMap::new();
    for (id, pod) in &observed.pods {
        if stage(pod) == Stage::Updating
            && let Some(why) = stuck_at(pod, observed)
        {
            found.entry(why).or_default().insert(*id);
        }
    }
    found
}

fn stuck_at(pod: &PodView, observed: &Observed) -> Option<String> {
    let Completion::Waiting {
        container, seconds, ..
    } = completion_of(pod, observed)
    else {
        return None;
    };
    let waiting = pod
        .container_status(&container)
        .and_then(|now| now.waiting.as_deref());
    if let Some(why) = waiting.and_then(hopeless) {
        let image = pod
            .container(&container)
            .map_or("", |wanted| wanted.image.as_str());
        return Some(format!(
            "image {image} of container {container} {why}; correct the template, and the update begins anew"
        ));
    }
    let minutes = DEADLINE_SECONDS / 60;
    (seconds >= DEADLINE_SECONDS).then(|| {
        format!(
            "container {container} does not run what its Pod says {minutes} minutes after it was changed; look at the Pod's events"
        )
    })
}

/// Seconds after which the passing of time alone may end, or call stuck, an update in place.
pub(super) fn look_in(observed: &Observed) -> Option<i64> {
    let updating = observed.pods.values().filter(|pod| stage(pod) == Stage::Updating);
    let waits = updating.filter_map(|pod| match completion_of(pod, observed) {
        Completion::Waiting { seconds, look_in, .. } if seconds < DEADLINE_SECONDS => Some(look_in),
        _ => None,
    });
    waits.min()
}

/// Condition `UpdateBlocked`. The reason is the most pressing one; the message has them all.
pub(super) fn update_blocked(observed: &Observed, plan: &Plan) -> Condition {
    let mut found = obstacles(observed, plan);
    found.truncate(6);
    match found.first().map(|(reason, _)| *reason) {
        None => condition(
            UPDATE_BLOCKED,
            false,
            "NotBlocked",
            "no server waits for anything but its turn".to_owned(),
        ),
        Some(reason) => {
            let messages: Vec<String> = found.into_iter().map(|(_, message)| message).collect();
            condition(UPDATE_BLOCKED, true, reason, messages.join("; "))
        }
    }
}

/// What updates wait for beside their turn, with its reason; the most pressing first.
fn obstacles(observed: &Observed, plan: &Plan) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for (why, ids) in stuck(observed) {
        let stuck = servers(ids.len(), "is stuck in its update", "are stuck in their update");
        found.push((
            "InPlaceUpdateStuck",
            format!("{stuck} (ids {}): {why}", ids.to_joined()),
        ));
    }
    let with = |wanted: &dyn Fn(&Obstacle) -> bool| -> IdSet {
        plan.update
            .blocked
            .iter()
            .filter(|(_, why)| wanted(why))
            .map(|(id, _)| *id)
            .collect()
    };
    let impossible = with(&|why| matches!(why, Obstacle::Impossible(_)));
    let why = plan.update.blocked.iter().find_map(|(_, why)| match why {
        Obstacle::Impossible(why) => Some(why.as_str()),
        _ => None,
    });
    if let Some(why) = why {
        found.push((
            "InPlaceImpossible",
            format!(
                "{} (ids {}): {why}; with podUpdatePolicy InPlaceOnly they stay as they are: \
             choose InPlaceIfPossible, or delete their Pods when it suits",
                servers(
                    impossible.len(),
                    "cannot be updated in place",
                    "cannot be updated in place"
                ),
                impossible.to_joined(),
            ),
        ));
    }
    let allocated = with(&|why| *why == Obstacle::Allocated);
    if !allocated.is_empty() {
        found.push(("AllocatedServers", format!(
            "{} (ids {}): with scaleStrategy.protectAllocated that waits until the opsState is no longer Allocated",
            servers(allocated.len(), "is to be updated and is Allocated", "are to be updated and are Allocated"),
            allocated.to_joined(),
        )));
    }
    let held = with(&|why| *why == Obstacle::Hook);
    if !held.is_empty() {
        found.push(("HeldByHook", format!(
            "{} for the lifecycle hook inPlaceUpdate (ids {}): whoever serves the hook decides when that goes on, by its labels or finalizers",
            servers(held.len(), "waits", "wait"), held.to_joined(),
        )));
    }
    found
}

/// What is being done about updates, for condition `Progressing`; `None` when nothing is.
pub(super) fn progress(plan: &Plan) -> Option<String> {
    let update = &plan.update;
    let begun = update
        .steps
        .iter()
        .filter(|step| matches!(step.act, Act::Relabel | Act::Prepare | Act::Start));
    let now = update.under_way + begun.count() as u64 + update.recreate.len() as u64;
    (now > 0 || update.waiting > 0).then(|| {
        format!(
            "{}, {} more to follow",
            servers(now, "is being updated", "are being updated"),
            update.waiting
        )
    })
}

/// Why servers keep an older template though nothing is being done about it.
pub(super) fn at_rest(observed: &Observed, plan: &Plan) -> String {
    let update = &plan.update;
    match (update.halted, update.held_back) {
        (0, 0) => "every server is as wanted".to_owned(),
        (0, held) => format!("every server is as wanted; the partition keeps {held} on an older template"),
        (halted, _) => {
            let rolling = observed
                .set
                .spec
                .update_strategy
                .as_ref()
                .and_then(|strategy| strategy.rolling_update.as_ref());
            let why = if rolling.and_then(|rolling| rolling.paused) == Some(true) {
                "updates are paused (updateStrategy.rollingUpdate.paused)"
            } else {
                "with updateStrategy OnDelete it is updated when its Pod is deleted"
            };
            let halted = servers(halted, "has an older template", "have an older template");
            format!("nothing is under way; {halted}: {why}")
        }
    }
}

#[cfg(test)]
mod tests;

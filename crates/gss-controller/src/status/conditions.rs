//! The set's conditions: what they say, why, and what to do about it.

use api_types::{
    Condition,
    keys::condition::{DEGRADED, NEEDS_INTERVENTION, PROGRESSING, READY, SCALE_IN_BLOCKED},
};

use super::{Counts, Outcome, updates};
use crate::{
    observe::Observed,
    plan::{Plan, server::Stage},
};

/// Ids named in a message; more are counted.
const NAMED: usize = 5;

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)+
                }
            }
        }
    };
}

reasons! {
    /// Reasons of condition `Ready`.
    ReadyReason {
        /// Every wanted server is ready.
        AllReady,
        /// Some are not.
        ServersNotReady,
    }
}

reasons! {
    /// Reasons of condition `Progressing`.
    ProgressReason {
        /// Nothing is left to do.
        Settled,
        /// Servers are being created.
        Creating,
        /// Servers are being brought to the template.
        Updating,
        /// Servers are being deleted.
        Deleting,
        /// Servers wait for their last player, and then are deleted.
        Draining,
        /// Servers were created and are not ready yet.
        Starting,
    }
}

reasons! {
    /// Reasons of condition `ScaleInBlocked`.
    ScaleInReason {
        /// Nothing keeps servers from being scaled in.
        NotBlocked,
        /// Allocated servers would have to go and `protectAllocated` keeps them.
        AllocatedServers,
    }
}

reasons! {
    /// Reasons of condition `Degraded`, the most pressing first.
    DegradedReason {
        /// The servers belong to an OpenKruise workload; nothing is done before they are taken over.
        AwaitingTakeOver,
        /// Pods cannot be created.
        FailedCreate,
        /// A part of the spec cannot be understood.
        InvalidSpec,
        /// Every id is reserved.
        OutOfIds,
        /// The ids of scaled-in servers could not be added to the reserves.
        ReserveNotWritten,
        /// Servers end soon after they start, again and again.
        EarlyEnds,
        /// Pods carry the set's label and are not the set's.
        StrangePods,
        /// Nothing is wrong.
        AsExpected,
    }
}

pub(super) fn all(observed: &Observed, plan: &Plan, outcome: &Outcome, counts: &Counts) -> Vec<Condition> {
    vec![
        ready(plan, counts),
        progressing(observed, plan, outcome, counts),
        scale_in_blocked(observed, plan),
        updates::update_blocked(observed, plan),
        degraded(observed, plan, outcome),
    ]
}

pub(super) fn awaiting_take_over(observed: &Observed) -> Condition {
    condition(
        DEGRADED,
        true,
        DegradedReason::AwaitingTakeOver.as_str(),
        format!(
            "Pods of this set still belong to the OpenKruise StatefulSet {}, so nothing is done here: run `gamekeeper-migrate \
             plan`, see docs/migration.md",
            observed.set.metadata.name
        ),
    )
}

/// So many servers, and what is said of one or of several.
pub(super) fn servers(count: u64, of_one: &str, of_several: &str) -> String {
    match count {
        1 => format!("1 server {of_one}"),
        count => format!("{count} servers {of_several}"),
    }
}

pub(super) fn condition(type_: &str, status: bool, reason: &str, message: String) -> Condition {
    Condition {
        type_: type_.to_owned(),
        status: if status { "True" } else { "False" }.to_owned(),
        reason: reason.to_owned(),
        message,
        ..Condition::default()
    }
}

fn ready(plan: &Plan, counts: &Counts) -> Condition {
    let wanted = plan.scale.record.desired.len() + plan.scale.out_of_ids;
    let all = counts.serving == wanted;
    let reason = if all {
        ReadyReason::AllReady
    } else {
        ReadyReason::ServersNotReady
    };
    let why = if all {
        ""
    } else {
        "; the GameServers of the others say why, `kubectl get gs` shows which"
    };
    condition(
        READY,
        all,
        reason.as_str(),
        format!("{} of {wanted} servers are ready{why}", counts.serving),
    )
}

fn progressing(observed: &Observed, plan: &Plan, outcome: &Outcome, counts: &Counts) -> Condition {
    let to_create = plan.create.len() as u64 + plan.create_later;
    let unready = plan.scale.record.desired.len() - counts.serving;
    let (reason, message) = if to_create > 0 {
        (
            ProgressReason::Creating,
            servers(to_create, "is being created", "are being created"),
        )
    } else if let Some(message) = updates::progress(plan) {
        (ProgressReason::Updating, message)
    } else if counts.leaving > drained(observed) || !plan.delete.is_empty() || plan.kill.is_some() {
        (ProgressReason::Deleting, deleting(observed, counts))
    } else if unready > 0 || !outcome.complete {
        (
            ProgressReason::Starting,
            servers(unready, "is starting", "are starting"),
        )
    } else if counts.leaving > 0 {
        (
            ProgressReason::Draining,
            servers(
                counts.leaving,
                "goes when its last player has left",
                "go when their last player has left",
            ),
        )
    } else {
        (ProgressReason::Settled, updates::at_rest(observed, plan))
    };
    condition(
        PROGRESSING,
        reason != ProgressReason::Settled,
        reason.as_str(),
        message,
    )
}

/// Servers that wait for their players.
fn drained(observed: &Observed) -> u64 {
    let drains = observed
        .servers
        .iter()
        .filter(|server| server.stage() == Some(&Stage::Draining));
    drains.count() as u64
}

fn deleting(observed: &Observed, counts: &Counts) -> String {
    let leaving = counts.leaving;
    let drained = drained(observed);
    let held = observed.servers.iter().filter(|server| server.is_held()).count() as u64 - drained;
    let held = match held {
        0 => String::new(),
        held => format!(", {held} of them held by hook preDelete"),
    };
    let drained = match drained {
        0 => String::new(),
        drained => format!(", {drained} of them wait for their last player"),
    };
    let leaving = servers(leaving, "is being deleted", "are being deleted");
    format!("{leaving}{held}{drained}")
}

/// Condition `NeedsIntervention`, where a policy can bring it about or did.
pub(super) fn needs_intervention(observed: &Observed, plan: &Plan) -> Option<Condition> {
    let mut before = observed.set.status.conditions.iter();
    let known = before.any(|condition| condition.type_ == NEEDS_INTERVENTION);
    let failures = &plan.failures;
    if !failures.needs_intervention() {
        let message = "no limit of failures is reached".to_owned();
        return known.then(|| condition(NEEDS_INTERVENTION, false, "NotNeeded", message));
    }
    let count = failures.next.as_ref().map_or(0, |failures| failures.count);
    let limit = failures.limit.unwrap_or_default();
    let stuck = match failures.stuck.len() {
        0 => String::new(),
        1 => format!(
            "; server {} has failed and stays as it is",
            failures.stuck.to_joined()
        ),
        _ => format!(
            "; servers {} have failed and stay as they are",
            failures.stuck.to_joined()
        ),
    };
    Some(condition(
        NEEDS_INTERVENTION,
        true,
        "TooManyFailures",
        format!(
            "{} and failurePolicy.maxFailures is {limit}: failed servers are no longer replaced{stuck}; look at them, and \
             change the set's spec to count anew",
            servers(count.try_into().unwrap_or_default(), "has failed", "have failed"),
        ),
    ))
}

fn scale_in_blocked(observed: &Observed, plan: &Plan) -> Condition {
    let protected = &plan.scale.protected;
    if protected.is_empty() {
        let message = "no server that should go is protected".to_owned();
        return condition(
            SCALE_IN_BLOCKED,
            false,
            ScaleInReason::NotBlocked.as_str(),
            message,
        );
    }
    let reserved = protected.intersection(&observed.reserved.0).len();
    let surplus = plan
        .scale
        .record
        .desired
        .len()
        .saturating_sub(observed.set.spec.replicas.max(0) as u64);
    let message = format!(
        "{} and all that are left are Allocated (ids {}): with scaleStrategy.protectAllocated the set waits \
         until their opsState is no longer Allocated; raise replicas to keep them",
        servers(surplus + reserved, "must go", "must go"),
        protected.to_joined(),
    );
    condition(
        SCALE_IN_BLOCKED,
        true,
        ScaleInReason::AllocatedServers.as_str(),
        message,
    )
}

fn degraded(observed: &Observed, plan: &Plan, outcome: &Outcome) -> Condition {
    let mut found: Vec<(DegradedReason, String)> = Vec::new();
    if let Some(error) = &outcome.create_error {
        found.push((
            DegradedReason::FailedCreate,
            format!(
                "Pods cannot be created, which is tried again until it succeeds; the API server says: {error}"
            ),
        ));
    }
    for message in names_taken(observed, plan) {
        found.push((DegradedReason::FailedCreate, message));
    }
    for message in unread_spec(observed) {
        found.push((DegradedReason::InvalidSpec, message));
    }
    if plan.scale.out_of_ids > 0 {
        let message = format!(
            "{}: reserveGameServerIds leaves too few, release some of them",
            servers(plan.scale.out_of_ids, "has no id", "have no id")
        );
        found.push((DegradedReason::OutOfIds, message));
    }
    if let Some(error) = &outcome.reserve_error {
        let message = format!(
            "the ids of scaled-in servers cannot be added to reserveGameServerIds, which is tried again: {error}"
        );
        found.push((DegradedReason::ReserveNotWritten, message));
    }
    found.extend(early_ends(observed).map(|message| (DegradedReason::EarlyEnds, message)));
    found.extend(strangers(observed, plan).map(|message| (DegradedReason::StrangePods, message)));
    let Some((reason, _)) = found.first() else {
        return condition(
            DEGRADED,
            false,
            DegradedReason::AsExpected.as_str(),
            "nothing is wrong".to_owned(),
        );
    };
    let reason = reason.as_str();
    let messages: Vec<String> = found.into_iter().map(|(_, message)| message).collect();
    condition(DEGRADED, true, reason, messages.join("; "))
}

/// Wanted ids whose Pod name belongs to somebody else.
fn names_taken(observed: &Observed, plan: &Plan) -> Vec<String> {
    let desired = &plan.scale.record.desired;
    let blocked = observed
        .pending
        .blocked
        .iter()
        .filter(|(id, _)| desired.contains(**id));
    let mut messages: Vec<String> = blocked
        .map(|(id, what)| format!("server {id} has to wait: {what}"))
        .collect();
    for stranger in &observed.strangers {
        if crate::observe::id_in(&observed.set, &stranger.name).is_some_and(|id| desired.contains(id)) {
            let owner = stranger.controller.as_deref().unwrap_or("nobody");
            let name = &stranger.name;
            messages.push(format!(
                "server {name} has to wait: a Pod of that name is controlled by {owner}; remove that Pod, and the set makes its own"
            ));
        }
    }
    shorten(messages)
}

/// Ended Pods that are not replaced yet.
fn early_ends(observed: &Observed) -> Option<String> {
    let mut waiting = observed
        .pods
        .values()
        .filter(|pod| observed.pending.backing_off.contains_key(&pod.metadata.uid));
    let first = waiting.next()?;
    let name = &first.metadata.name;
    let why = match (first.phase.as_deref(), first.reason.as_deref()) {
        (Some(phase), Some(reason)) => format!("{phase}: {reason}"),
        (phase, _) => phase.unwrap_or_default().to_owned(),
    };
    let others = match waiting.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "server {name}{others} ended soon after the start, repeatedly ({why}): each waits longer before it is replaced, 5 \
         minutes at most; the ended Pod stays, so that `kubectl logs {name}` can say why; delete it to have a new one at once"
    ))
}

fn strangers(observed: &Observed, plan: &Plan) -> Option<String> {
    let desired = &plan.scale.record.desired;
    let harmless: Vec<&str> = observed
        .strangers
        .iter()
        .filter(|found| {
            crate::observe::id_in(&observed.set, &found.name).is_none_or(|id| !desired.contains(id))
        })
        .map(|found| found.name.as_str())
        .collect();
    (!harmless.is_empty()).then(|| {
        format!(
            "{} Pods carry this set's label but are not controlled by it and are left alone ({}): delete them or remove the \
             label game.kruise.io/owner-gss",
            harmless.len(),
            harmless[..harmless.len().min(NAMED)].join(", "),
        )
    })
}

fn unread_spec(observed: &Observed) -> Vec<String> {
    let spec = &observed.set.spec;
    let mut messages: Vec<String> = observed
        .reserved
        .1
        .iter()
        .map(|bad| format!("spec.reserveGameServerIds: {bad}; the other items count"))
        .collect();
    let down = spec
        .scale_strategy
        .as_ref()
        .and_then(|strategy| strategy.scale_down_strategy_type.as_ref());
    if let Some(api_types::ScaleDownStrategyType::Other(value)) = down {
        messages.push(format!(
            "spec.scaleStrategy.scaleDownStrategyType: \"{value}\" is not known; write General or ReserveIds (General is used)"
        ));
    }
    if let Some(api_types::ReclaimPolicy::Other(value)) = &spec.game_server_template.reclaim_policy {
        messages.push(format!(
            "spec.gameServerTemplate.reclaimPolicy: \"{value}\" is not known; write Cascade or Delete (Cascade is used)"
        ));
    }
    if spec.replicas < 0 {
        messages.push(format!(
            "spec.replicas: {} is negative; write 0 or more (0 is used)",
            spec.replicas
        ));
    }
    shorten(messages)
}

fn shorten(mut messages: Vec<String>) -> Vec<String> {
    if messages.len() > NAMED {
        let more = messages.len() - NAMED;
        messages.truncate(NAMED);
        messages.push(format!("and {more} more"));
    }
    messages
}

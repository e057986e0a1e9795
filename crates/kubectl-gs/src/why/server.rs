//! Why a server does not go, is not updated, cannot be allocated, or is not shown by its Pod.

use api_types::{
    GameServer, GameServerSet, ReclaimPolicy, UpdateStrategyType,
    keys::{self, claim_reason, lifecycle as stage},
    ops_state,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::{Finding, Sight, Topic, trouble};
use crate::{
    age,
    commands::sync_gap::sentence,
    gap::gap,
    pick::{Obstacle, obstacle},
    server::{annotation, claim, label, lifecycle, name, ops_state, players},
};

/// Whether it is to go, what for, and what keeps it.
pub(super) fn deletion(sight: &Sight, now: Timestamp) -> Vec<Finding> {
    let topic = Topic::Deletion;
    if let Some(pod) = sight
        .pod
        .as_ref()
        .filter(|pod| pod.metadata.deletion_timestamp.is_some())
    {
        return vec![terminating(pod, taken_by(sight), now)];
    }
    if let Some(pod) = sight
        .pod
        .as_ref()
        .filter(|pod| lifecycle(pod) == Some(stage::PREPARING_DELETE))
    {
        return vec![held(sight, pod, now)];
    }
    if let Some(found) = claim(&sight.server) {
        return vec![claimed(
            sight,
            &found.reason,
            &age::since(age::parse(Some(&found.time)), now),
        )];
    }
    if ops_state(&sight.server) == ops_state::KILL {
        return vec![
            Finding::waits(
                topic,
                "its opsState is Kill and gss-controller has not claimed it yet",
            )
            .hint("this takes milliseconds; is gss-controller running?"),
        ];
    }
    if sight.server.spec.marked_for_deletion == Some(true) {
        return vec![marked(sight)];
    }
    vec![stays(sight)]
}

/// Who takes the Pod, where it is not Gamekeeper.
fn taken_by(sight: &Sight) -> Option<&'static str> {
    match claim(&sight.server)?.reason.as_str() {
        claim_reason::EVICTED => {
            Some("it is evicted, by a node drain, the cluster autoscaler, its kubelet or a taint")
        }
        claim_reason::PREEMPTED => Some("the scheduler gives its place to a more important Pod"),
        claim_reason::DELETED => Some("somebody deleted its Pod, and no controller of Gamekeeper did"),
        _ => None,
    }
}

fn terminating(pod: &Pod, taken_by: Option<&str>, now: Timestamp) -> Finding {
    let by = taken_by.map_or_else(String::new, |by| format!("{by}; "));
    let meta = &pod.metadata;
    let finalizers: Vec<&str> = meta.finalizers.iter().flatten().map(String::as_str).collect();
    let until = meta.deletion_timestamp.as_ref().map(|time| time.0);
    let left = until.map_or(0, |until| until.as_second() - now.as_second());
    let topic = Topic::Deletion;
    if !finalizers.is_empty() {
        let why = format!(
            "{by}its Pod is being deleted and is held by finalizers: {}",
            finalizers.join(", ")
        );
        return Finding::blocked(topic, why).hint("whoever put them there takes them away");
    }
    if left >= 0 {
        let why = format!(
            "{by}its Pod is being deleted; its containers have {} to end",
            age::human(left)
        );
        let found = Finding::waits(topic, why);
        return match taken_by {
            Some(_) => found.hint("who may take it says spec.eviction.safe of its set: docs/disruption.md"),
            None => found,
        };
    }
    let late = age::human(-left);
    Finding::blocked(
        topic,
        format!("{by}its Pod should have been gone {late} ago, and its node has not said so"),
    )
    .hint("is the node alive? the id stays taken until the Pod object is gone")
}

/// The preDelete hook holds the Pod: what is still on it.
fn held(sight: &Sight, pod: &Pod, now: Timestamp) -> Finding {
    let topic = Topic::Deletion;
    let since = age::since(
        age::parse(annotation(&pod.metadata, keys::annotation::LIFECYCLE_TIMESTAMP)),
        now,
    );
    let lifecycle = sight.set.as_ref().and_then(|set| set.spec.lifecycle.as_ref());
    let Some(hook) = lifecycle.and_then(|lifecycle| lifecycle.pre_delete.as_ref()) else {
        return Finding::waits(
            topic,
            format!("it has been in PreDelete for {since}, and its set has no preDelete hook now"),
        );
    };
    let labels: Vec<(&String, &String)> = hook
        .labels_handler
        .iter()
        .filter(|(key, value)| label(&pod.metadata, key) == Some(value.as_str()))
        .collect();
    let finalizers = hook.finalizers_handler.iter().filter(|wanted| {
        pod.metadata
            .finalizers
            .iter()
            .flatten()
            .any(|found| found == *wanted)
    });
    let what: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("label {key}={value}"))
        .chain(finalizers.map(|finalizer| format!("finalizer {finalizer}")))
        .collect();
    if what.is_empty() {
        return Finding::waits(
            topic,
            "its preDelete hook has let go; gss-controller deletes the Pod",
        );
    }
    let found = Finding::blocked(
        topic,
        format!(
            "its preDelete hook has held it for {since}: the Pod has {}",
            what.join(", ")
        ),
    );
    let name = name(&pod.metadata);
    match labels.first() {
        // A synced label is the GameServer's to change; any other is the Pod's.
        Some((key, _)) if key.starts_with(keys::GS_SYNC_PREFIX) => found.hint(format!(
            "to let it go: kubectl label gs {name} {key}=released --overwrite"
        )),
        Some((key, _)) => found.hint(format!("to let it go: kubectl label pod {name} {key}-")),
        None => found.hint("whoever serves the hook takes the finalizer away"),
    }
}

fn claimed(sight: &Sight, reason: &str, since: &str) -> Finding {
    let topic = Topic::Deletion;
    let empty = claim(&sight.server).and_then(|claim| claim.empty) == Some(true);
    if reason == claim_reason::DRAINING && !empty {
        let on_it = players(&sight.server).map_or(0, |(count, _)| count);
        let set = sight.set.as_ref();
        let timeout = set
            .and_then(|set| set.spec.players.as_ref())
            .and_then(|players| players.drain_timeout_seconds);
        let until = timeout.map_or_else(
            || "for ever".to_owned(),
            |timeout| format!("{} at most", age::human(timeout.into())),
        );
        let name = name(&sight.server.metadata);
        return Finding::waits(
            topic,
            format!("it has drained for {since}: {on_it} players are on it; it waits {until}"),
        )
        .hint(format!("not to wait any more: kubectl gs kill {name}"));
    }
    if let Some(by) = taken_by(sight) {
        let name = name(&sight.server.metadata);
        return Finding::waits(topic, format!("{by}; that was announced {since} ago, and its Pod is still there"))
            .hint(format!(
                "if it is called off, the server is free again by itself; kubectl describe pod {name} says who it was"
            ));
    }
    Finding::waits(
        topic,
        format!("it was claimed {since} ago ({reason}), and its Pod is deleted next"),
    )
    .hint("if it stays so, look at gss-controller; a claim can't be taken back")
}

fn marked(sight: &Sight) -> Finding {
    let topic = Topic::Deletion;
    let allocated = ops_state(&sight.server) == ops_state::ALLOCATED;
    if allocated && sight.set.as_ref().is_some_and(protects) {
        let name = name(&sight.server.metadata);
        return Finding::blocked(
            topic,
            "it is marked, and is Allocated in a set with protectAllocated",
        )
        .hint(format!("it goes when it is released: kubectl gs release {name}"));
    }
    Finding::waits(topic, "it is marked and gss-controller has not claimed it yet")
        .hint("this takes milliseconds; is gss-controller running?")
}

fn protects(set: &GameServerSet) -> bool {
    let strategy = set.spec.scale_strategy.as_ref();
    strategy.and_then(|strategy| strategy.protect_allocated) == Some(true)
}

/// Nothing wants it to go; what would, if the set were to shrink.
fn stays(sight: &Sight) -> Finding {
    let topic = Topic::Deletion;
    let Some(set) = &sight.set else {
        return Finding::fine(topic, "nothing wants it to go; it has no set");
    };
    if let Some(why) = trouble(set, keys::condition::SCALE_IN_BLOCKED) {
        return Finding::blocked(topic, format!("its set has more servers than wanted: {why}"));
    }
    let outlives = set.spec.game_server_template.reclaim_policy == Some(ReclaimPolicy::Delete);
    if sight.pod.is_none() && outlives {
        return Finding::fine(
            topic,
            "nothing wants it to go: with reclaimPolicy Delete it outlives its Pods",
        );
    }
    Finding::fine(topic, "nothing wants it to go")
}

/// Whether it has the latest template, and what keeps it from it.
pub(super) fn update(sight: &Sight) -> Option<Finding> {
    let topic = Topic::Update;
    let (pod, set) = (sight.pod.as_ref()?, sight.set.as_ref()?);
    let wanted = set.status.as_ref()?.update_revision.as_deref()?;
    let has = label(&pod.metadata, keys::label::CONTROLLER_REVISION_HASH).unwrap_or("none");
    let generation = set.metadata.generation;
    let behind = set.status.as_ref().and_then(|status| status.observed_generation) != generation;
    let stage = lifecycle(pod);
    if has == wanted && stage != Some(stage::UPDATING) {
        let found = Finding::fine(topic, format!("it has the latest template ({wanted})"));
        return Some(if behind {
            found.hint("the set was changed and gss-controller has not acted on all of it yet")
        } else {
            found
        });
    }
    let name = name(&pod.metadata);
    if stage == Some(stage::UPDATING) {
        let found = Finding::waits(topic, "it is being updated in place");
        return Some(match trouble(set, keys::condition::UPDATE_BLOCKED) {
            Some(why) => Finding::blocked(topic, format!("it is being updated in place; of its set: {why}")),
            None => found,
        });
    }
    if stage == Some(stage::PREPARING_UPDATE) {
        return Some(hook_of_update(set, pod));
    }
    Some(outdated(sight, set, has, wanted, name))
}

fn hook_of_update(set: &GameServerSet, pod: &Pod) -> Finding {
    let hook = set
        .spec
        .lifecycle
        .as_ref()
        .and_then(|lifecycle| lifecycle.in_place_update.as_ref());
    let labels = hook.into_iter().flat_map(|hook| &hook.labels_handler);
    let on_it: Vec<String> = labels
        .filter(|(key, value)| label(&pod.metadata, key) == Some(value.as_str()))
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let why = format!(
        "its inPlaceUpdate hook holds it: the Pod has {}",
        on_it.join(", ")
    );
    Finding::blocked(Topic::Update, why).hint("whoever serves the hook takes them away")
}

fn outdated(sight: &Sight, set: &GameServerSet, has: &str, wanted: &str, name: &str) -> Finding {
    let topic = Topic::Update;
    let base = format!("it has template {has}, the latest is {wanted}");
    let strategy = set.spec.update_strategy.as_ref();
    let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
    let on_delete =
        strategy.and_then(|strategy| strategy.type_.as_ref()) == Some(&UpdateStrategyType::OnDelete);
    if on_delete && rolling.is_none() {
        return Finding::blocked(
            topic,
            format!("{base}; with OnDelete it is updated when its Pod is deleted"),
        )
        .hint(format!("kubectl delete pod {name}"));
    }
    if rolling.and_then(|rolling| rolling.paused) == Some(true) {
        return Finding::blocked(topic, format!("{base}; the update is paused"))
            .hint("set updateStrategy.rollingUpdate.paused to false");
    }
    if ops_state(&sight.server) == ops_state::ALLOCATED && protects(set) {
        return Finding::blocked(
            topic,
            format!("{base}; it is Allocated, and protectAllocated keeps it as it is"),
        )
        .hint(format!(
            "it is updated when it is released: kubectl gs release {name}"
        ));
    }
    if let Some(why) = trouble(set, keys::condition::UPDATE_BLOCKED) {
        return Finding::blocked(topic, format!("{base}; of its set: {why}"));
    }
    if let Some(claim) = claim(&sight.server) {
        return Finding::waits(topic, format!("{base}; it goes ({})", claim.reason));
    }
    if let Some(partition) = rolling
        .and_then(|rolling| rolling.partition)
        .filter(|partition| *partition > 0)
    {
        return Finding::waits(
            topic,
            format!("{base}; a partition keeps {partition} servers on an older template"),
        )
        .hint("lower updateStrategy.rollingUpdate.partition to update more");
    }
    let most = rolling
        .and_then(|rolling| rolling.max_unavailable.as_ref())
        .map_or_else(|| "1".to_owned(), ToString::to_string);
    Finding::waits(
        topic,
        format!("{base}; it waits for its turn: {most} servers may be out of service at once"),
    )
    .hint(format!(
        "kubectl gs why gss/{}",
        crate::server::name(&set.metadata)
    ))
}

/// Whether `allocate` would give it.
pub(super) fn allocation(sight: &Sight) -> Finding {
    let topic = Topic::Allocation;
    let pod = sight.pod.as_ref().map(|pod| &pod.metadata);
    match obstacle(&sight.server, pod) {
        None => Finding::fine(topic, "it is free and can be allocated"),
        Some(Obstacle::OpsState(value)) if value == ops_state::ALLOCATED => {
            let name = name(&sight.server.metadata);
            Finding::waits(topic, "it is allocated").hint(format!("kubectl gs release {name}"))
        }
        Some(found @ Obstacle::Network(_)) => {
            let why = format!("it cannot be allocated: {found}");
            match network_trouble(&sight.server) {
                Some(said) => Finding::blocked(topic, format!("{why}: {said}"))
                    .hint("docs/runbooks/network-not-ready.md"),
                None => Finding::waits(topic, why),
            }
        }
        Some(found @ (Obstacle::State(_) | Obstacle::Lifecycle(_) | Obstacle::EarlierPod)) => {
            Finding::waits(topic, format!("it cannot be allocated: {found}"))
        }
        Some(found) => Finding::blocked(topic, format!("it cannot be allocated: {found}")),
    }
}

/// What network-plugins says that is wrong, in its words.
fn network_trouble(server: &GameServer) -> Option<String> {
    let conditions = &server.status.as_ref()?.conditions;
    let told = conditions
        .iter()
        .find(|found| found.type_ == keys::condition::NETWORK_READY && found.status == "False")?;
    let (message, reason) = (told.message.as_deref()?, told.reason.as_deref()?);
    Some(format!("{message} ({reason})"))
}

/// Whether its Pod shows what it says.
pub(super) fn sync(sight: &Sight, now: Timestamp) -> Finding {
    let topic = Topic::Sync;
    let Some(pod) = &sight.pod else {
        return Finding::waits(topic, "there is no Pod to show anything");
    };
    let Some(found) = gap(&sight.server, &pod.metadata) else {
        return Finding::fine(topic, "its Pod shows what its GameServer says");
    };
    let lags: Vec<String> = found.lags.iter().map(sentence).collect();
    let since = age::since(found.since(), now);
    Finding::blocked(
        topic,
        format!("for {since} its Pod has lagged: {}", lags.join(", ")),
    )
    .hint("docs/runbooks/sync-gap.md; kubectl gs describe shows Warnings SyncGap with the reason")
}

//! Why a server is not ready.

use api_types::{GameServerCondition, GameServerState, PodFacts, game_server_state, keys};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};

use super::{Finding, Sight, Topic, condition, trouble};
use crate::{
    age,
    server::{annotation, lifecycle, name, owner_pod, speaks_for, state, uid},
};

const TOPIC: Topic = Topic::Ready;

pub(super) fn findings(sight: &Sight, now: Timestamp) -> Vec<Finding> {
    let Some(pod) = &sight.pod else {
        return vec![no_pod(sight)];
    };
    if !speaks_for(&sight.server, uid(&pod.metadata)) {
        let why = "the Pod of its name is a later one; this GameServer goes with the earlier Pod";
        return vec![Finding::waits(TOPIC, why)];
    }
    let found = match pod_state(pod) {
        GameServerState::Ready => ready(sight, pod, now),
        GameServerState::Creating => pending(sight, pod),
        GameServerState::NotReady => not_ready(sight, pod, now),
        GameServerState::Crash => vec![ended(sight, pod)],
        GameServerState::Unknown => vec![unknown(pod)],
        GameServerState::Deleting => vec![Finding::waits(TOPIC, "its Pod is being deleted")],
        GameServerState::PreDelete => {
            vec![Finding::waits(
                TOPIC,
                "it waits for its preDelete hook, and takes no players",
            )]
        }
        GameServerState::PreUpdate => {
            vec![Finding::waits(
                TOPIC,
                "it waits for its inPlaceUpdate hook before it is updated",
            )]
        }
        GameServerState::Updating => updating(pod),
    };
    let node = node(sight);
    found.into_iter().chain(node).collect()
}

/// The state as gs-controller and pod-sync compute it.
fn pod_state(pod: &Pod) -> GameServerState {
    game_server_state(PodFacts {
        phase: pod.status.as_ref().and_then(|status| status.phase.as_deref()),
        terminating: pod.metadata.deletion_timestamp.is_some(),
        lifecycle: lifecycle(pod),
        ready: pod_condition(pod, "Ready").map(|condition| condition.status == "True"),
    })
}

fn pod_condition<'a>(pod: &'a Pod, type_: &str) -> Option<&'a PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.iter().flatten();
    conditions.into_iter().find(|condition| condition.type_ == type_)
}

fn no_pod(sight: &Sight) -> Finding {
    let Some(set) = &sight.set else {
        return Finding::blocked(TOPIC, "it has no Pod, and its set is not there to make one");
    };
    if owner_pod(&sight.server).is_some() {
        return Finding::waits(TOPIC, "its Pod is gone, and this GameServer goes with it");
    }
    let problems = [
        keys::condition::DEGRADED,
        keys::condition::VOLUME_BLOCKED,
        keys::condition::NEEDS_INTERVENTION,
    ];
    match problems.into_iter().find_map(|type_| trouble(set, type_)) {
        Some(why) => Finding::blocked(TOPIC, format!("it has no Pod: {why}")),
        None => Finding::waits(
            TOPIC,
            "it has no Pod; gss-controller makes one if its id is wanted",
        )
        .hint(format!("kubectl gs why gss/{}", name(&set.metadata))),
    }
}

fn ready(sight: &Sight, pod: &Pod, now: Timestamp) -> Vec<Finding> {
    let changed = pod_condition(pod, "Ready").and_then(|condition| condition.last_transition_time.as_ref());
    let since = age::since(changed.map(|time| time.0), now);
    let told = state(&sight.server);
    if told == "Ready" {
        return vec![Finding::fine(
            TOPIC,
            format!("its Pod has been ready for {since}"),
        )];
    }
    let told = if told.is_empty() { "nothing" } else { told };
    vec![
        Finding::waits(
            TOPIC,
            format!("its Pod has been ready for {since}, its GameServer still says {told}"),
        )
        .hint("the first status of a server takes 3 to 10 s; after that look at gs-controller"),
    ]
}

fn pending(sight: &Sight, pod: &Pod) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(scheduled) =
        pod_condition(pod, "PodScheduled").filter(|condition| condition.status == "False")
    {
        let (reason, message) = words(scheduled);
        found.push(
            Finding::blocked(TOPIC, format!("its Pod is on no node: {message} ({reason})"))
                .hint("free room, add nodes, or change what the template asks for"),
        );
    }
    found.extend(server_condition(sight, keys::condition::PERSISTENT_VOLUME_NORMAL));
    found.extend(containers(pod));
    if found.is_empty() {
        found.push(Finding::waits(TOPIC, "its Pod is being started"));
    }
    found
}

/// The running Pod is not ready: containers first, then readiness gates, then a hook.
fn not_ready(sight: &Sight, pod: &Pod, now: Timestamp) -> Vec<Finding> {
    let mut found = containers(pod);
    found.extend(gates(pod));
    if lifecycle(pod) == Some(keys::lifecycle::PREPARING_NORMAL) {
        found.extend(pre_normal(sight, pod, now));
    }
    found.extend(server_condition(sight, keys::condition::PERSISTENT_VOLUME_NORMAL));
    if found.is_empty() {
        let why = match pod_condition(pod, "Ready") {
            None => "nobody has said yet whether its Pod is ready".to_owned(),
            Some(ready) => {
                let (reason, message) = words(ready);
                format!("its Pod is not ready: {message} ({reason})")
            }
        };
        found.push(Finding::waits(TOPIC, why));
    }
    found
}

/// Containers that do not run, or run and are not ready.
fn containers(pod: &Pod) -> Vec<Finding> {
    let Some(status) = &pod.status else {
        return Vec::new();
    };
    let init = status.init_container_statuses.iter().flatten();
    let init = init.filter(|container| {
        // One that has ended well, or runs beside the others, is no trouble.
        let ended = container
            .state
            .as_ref()
            .and_then(|state| state.terminated.as_ref());
        container.started != Some(true) && ended.is_none_or(|ended| ended.exit_code != 0)
    });
    let main = status
        .container_statuses
        .iter()
        .flatten()
        .filter(|container| !container.ready);
    init.chain(main)
        .map(|container| explained(name(&pod.metadata), container))
        .collect()
}

fn explained(pod: &str, container: &ContainerStatus) -> Finding {
    let name = &container.name;
    let state = container.state.as_ref();
    let restarts = match container.restart_count {
        0 => String::new(),
        1 => ", restarted once".to_owned(),
        count => format!(", restarted {count} times"),
    };
    let before = container
        .last_state
        .as_ref()
        .and_then(|state| state.terminated.as_ref());
    let before = before.map_or_else(String::new, |ended| {
        let reason = ended.reason.as_deref().unwrap_or("ended");
        format!("; it last ended with exit code {} ({reason})", ended.exit_code)
    });
    if let Some(waiting) = state.and_then(|state| state.waiting.as_ref()) {
        let reason = waiting.reason.as_deref().unwrap_or("waiting");
        let message = waiting
            .message
            .as_deref()
            .map_or_else(String::new, |message| format!(": {message}"));
        let why = format!("container {name} is in {reason}{restarts}{message}{before}");
        return match reason {
            "ContainerCreating" | "PodInitializing" => Finding::waits(TOPIC, why),
            "CrashLoopBackOff" => {
                Finding::blocked(TOPIC, why).hint(format!("kubectl logs {pod} -c {name} --previous"))
            }
            _ => Finding::blocked(TOPIC, why).hint(format!("kubectl describe pod {pod}")),
        };
    }
    if let Some(ended) = state.and_then(|state| state.terminated.as_ref()) {
        let reason = ended.reason.as_deref().unwrap_or("ended");
        let why = format!(
            "container {name} has ended with exit code {} ({reason}){restarts}",
            ended.exit_code
        );
        return Finding::blocked(TOPIC, why).hint(format!("kubectl logs {pod} -c {name}"));
    }
    if state.and_then(|state| state.running.as_ref()).is_some() {
        let why = format!("container {name} runs and is not ready{restarts}{before}");
        return Finding::waits(TOPIC, why).hint("its startup or readiness probe has not succeeded yet");
    }
    Finding::waits(TOPIC, format!("container {name} has not been started yet"))
}

/// Readiness gates that are shut, and who opens them.
fn gates(pod: &Pod) -> Vec<Finding> {
    let gates = pod.spec.as_ref().and_then(|spec| spec.readiness_gates.as_ref());
    let shut = gates.into_iter().flatten().filter(|gate| {
        pod_condition(pod, &gate.condition_type).is_none_or(|condition| condition.status != "True")
    });
    shut.map(|gate| {
        let gate = gate.condition_type.as_str();
        let told = pod_condition(pod, gate).map(words);
        let told = told.map_or_else(
            || "nobody has opened it yet".to_owned(),
            |(reason, message)| format!("{message} ({reason})"),
        );
        let why = format!("its readiness gate {gate} is shut: {told}");
        match gate {
            keys::IN_PLACE_UPDATE_READY => {
                Finding::waits(TOPIC, why).hint("gss-controller opens it after the update")
            }
            keys::KRUISE_POD_READY => {
                Finding::waits(TOPIC, why).hint("a lifecycle hook with markPodNotReady holds it")
            }
            _ if gate.starts_with(keys::GAME_PREFIX) => {
                Finding::waits(TOPIC, why).hint("quality-prober writes it: see the set's serviceQualities")
            }
            _ => Finding::blocked(TOPIC, why).hint("whoever the template's readinessGates are for writes it"),
        }
    })
    .collect()
}

/// What the preNormal hook still misses on the Pod.
fn pre_normal(sight: &Sight, pod: &Pod, now: Timestamp) -> Option<Finding> {
    let hook = sight.set.as_ref()?.spec.lifecycle.as_ref()?.pre_normal.as_ref()?;
    let meta = &pod.metadata;
    let labels = hook
        .labels_handler
        .iter()
        .filter(|(key, value)| meta.labels.as_ref().and_then(|labels| labels.get(*key)) != Some(value));
    let finalizers = hook
        .finalizers_handler
        .iter()
        .filter(|wanted| !meta.finalizers.iter().flatten().any(|found| found == *wanted));
    let missing: Vec<String> = labels
        .map(|(key, value)| format!("label {key}={value}"))
        .chain(finalizers.map(|finalizer| format!("finalizer {finalizer}")))
        .collect();
    let since = age::since(
        age::parse(annotation(meta, keys::annotation::LIFECYCLE_TIMESTAMP)),
        now,
    );
    let why = format!("its preNormal hook has waited {since} for {}", missing.join(", "));
    Some(Finding::waits(TOPIC, why).hint("whoever serves the hook puts them on the Pod"))
}

fn updating(pod: &Pod) -> Vec<Finding> {
    let mut found = containers(pod);
    if found.is_empty() {
        found.push(Finding::waits(TOPIC, "it is being updated in place"));
    }
    found
}

fn ended(sight: &Sight, pod: &Pod) -> Finding {
    let status = pod.status.as_ref();
    let reason = status
        .and_then(|status| status.reason.as_deref())
        .unwrap_or("Failed");
    let message = status
        .and_then(|status| status.message.as_deref())
        .unwrap_or("its containers have ended");
    let why = format!("its Pod has failed: {message} ({reason})");
    let kept = sight.set.as_ref().and_then(|set| {
        trouble(set, keys::condition::NEEDS_INTERVENTION).or_else(|| {
            condition(set, keys::condition::DEGRADED)
                .filter(|found| found.reason == "EarlyEnds")
                .map(|found| found.message.clone())
        })
    });
    match kept {
        Some(kept) => Finding::blocked(TOPIC, format!("{why}; {kept}")),
        None => Finding::waits(TOPIC, why).hint("gss-controller replaces it"),
    }
}

fn unknown(pod: &Pod) -> Finding {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    match phase {
        Some("Succeeded") => Finding::waits(
            TOPIC,
            "its containers have ended well; gss-controller replaces the Pod",
        ),
        Some("Unknown") => {
            Finding::blocked(TOPIC, "its node does not answer, so nobody knows how its Pod is")
                .hint("the id stays taken until the node is back or deleted")
        }
        _ => Finding::waits(TOPIC, "its Pod has no status yet"),
    }
}

fn node(sight: &Sight) -> Option<Finding> {
    server_condition(sight, keys::condition::NODE_NORMAL)
        .map(|found| found.hint("kubectl describe node shows its conditions and taints"))
}

/// A condition of the GameServer that is False.
fn server_condition(sight: &Sight, type_: &str) -> Option<Finding> {
    let conditions: &[GameServerCondition] = sight
        .server
        .status
        .as_ref()
        .map_or(&[], |status| &status.conditions);
    let found = conditions
        .iter()
        .find(|condition| condition.type_ == type_ && condition.status == "False")?;
    let (reason, message) = (
        found.reason.as_deref().unwrap_or("no reason"),
        found.message.as_deref().unwrap_or_default(),
    );
    Some(Finding::blocked(
        TOPIC,
        format!("{type_} is False: {message} ({reason})"),
    ))
}

fn words(condition: &PodCondition) -> (&str, &str) {
    let reason = condition.reason.as_deref().unwrap_or("no reason given");
    let message = condition.message.as_deref().filter(|message| !message.is_empty());
    (reason, message.unwrap_or("it is False"))
}

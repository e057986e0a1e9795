//! `status.serviceQualitiesConditions`, and what is told of changes (pure).

use api_types::{ServiceQualityCondition, ops_state};

use crate::{
    plan::{Changes, Notice, Record, message::clean_text},
    views::{GameServerView, PodView, SetView},
};

/// The list as it should be: one entry for each quality of the set that has a result, or had one of an earlier Pod.
///
/// It follows from the Pod's conditions and from what has been acted on, so that it can be written again after any
/// interruption.
pub(crate) fn conditions(
    set: &SetView,
    pod: &PodView,
    server: &GameServerView,
    record: &Record,
) -> Vec<ServiceQualityCondition> {
    let mut conditions = Vec::new();
    for quality in &set.qualities {
        let shown = server.conditions.iter().find(|shown| shown.name == quality.name);
        let condition = pod.qualities.get(&quality.name);
        if condition.is_none() && shown.is_none() {
            continue;
        }
        let acted = record.0.get(&quality.name).and_then(|acted| acted.ran.clone());
        let probed = condition.and_then(|condition| condition.last_probe_time.clone());
        let result = condition
            .and_then(|condition| condition.message.as_deref())
            .map(clean_text);
        conditions.push(ServiceQualityCondition {
            name: quality.name.clone(),
            status: condition.map(|condition| condition.status.clone()),
            result: result.filter(|result| !result.is_empty()),
            last_transition_time: later(probed.as_deref(), acted.as_deref()),
            last_probe_time: probed,
            last_action_transition_time: acted,
        });
    }
    conditions
}

fn later(one: Option<&str>, other: Option<&str>) -> Option<String> {
    let moment = |text: &&str| text.parse::<jiff::Timestamp>().ok();
    one.into_iter().chain(other).max_by_key(moment).map(str::to_owned)
}

/// Qualities that have become impossible to probe.
pub(crate) fn unknown(set: &SetView, pod: &PodView, server: &GameServerView) -> Vec<Notice> {
    let mut notices = Vec::new();
    for quality in &set.qualities {
        let Some(condition) = pod
            .qualities
            .get(&quality.name)
            .filter(|it| it.status == "Unknown")
        else {
            continue;
        };
        let shown = server.conditions.iter().find(|shown| shown.name == quality.name);
        let message = condition.message.clone().unwrap_or_default();
        let told = shown.is_some_and(|shown| {
            shown.status.as_deref() == Some("Unknown")
                && shown.result.as_deref() == Some(&clean_text(&message))
        });
        if !told {
            let reason = condition.reason.clone().filter(|reason| !reason.is_empty());
            notices.push(Notice {
                warning: true,
                reason: reason
                    .unwrap_or_else(|| "ServiceQualityUnknown".to_owned())
                    .into(),
                note: format!("{} cannot be probed: {message}", quality.name),
            });
        }
    }
    notices
}

/// What changes of the server, in words.
pub(crate) fn effects(changes: &Changes, server: &GameServerView) -> Vec<String> {
    let spec = &server.spec;
    let mut effects = Vec::new();
    if let Some(wanted) = &changes.ops_state {
        let shown = ops_state::normalise(spec.ops_state.as_deref());
        effects.push(format!("opsState {shown} to {wanted}"));
    }
    if let Some(wanted) = &changes.update_priority {
        effects.push(format!("updatePriority to {wanted}"));
    }
    if let Some(wanted) = &changes.deletion_priority {
        effects.push(format!("deletionPriority to {wanted}"));
    }
    if let Some(wanted) = &changes.network_disabled {
        effects.push(format!("networkDisabled to {wanted}"));
    }
    if let Some(containers) = &changes.containers {
        let names: Vec<_> = containers
            .iter()
            .map(|container| container.name.as_str())
            .collect();
        effects.push(format!("containers {}", names.join(" ")));
    }
    let labels = changes
        .labels
        .iter()
        .map(|(key, value)| format!("label {key} to {value}"));
    let annotations = changes.annotations.keys().map(|key| format!("annotation {key}"));
    effects.extend(labels.chain(annotations));
    effects
}

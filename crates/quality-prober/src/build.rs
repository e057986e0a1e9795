//! Bodies of what is written (pure).

use std::collections::BTreeMap;

use api_types::{ServiceQualityCondition, keys};
use serde_json::{Map, Value, json};

use crate::{
    plan::{Changes, REMOVED, Record, Wanted},
    views::PodView,
};

/// The strategic merge patch of a Pod's status: the conditions that change and no others. Conditions are merged by type, so
/// the kubelet's and everybody else's stay what they are. `now` is RFC 3339.
pub(crate) fn pod_conditions(pod: &PodView, wanted: &BTreeMap<String, Wanted>, now: &str) -> Value {
    let condition = |(name, wanted): (&String, &Wanted)| {
        let (status, reason, message, probed) = match wanted {
            Wanted::Sample(sample) => {
                let status = if sample.verdict.is_healthy() {
                    "True"
                } else {
                    "False"
                };
                (
                    status,
                    sample.verdict.reason(),
                    sample.result.as_str(),
                    Some(sample.time.as_str()),
                )
            }
            Wanted::Misfit(misfit) => ("Unknown", misfit.reason, misfit.message.as_str(), None),
            Wanted::Removed => (
                "Unknown",
                REMOVED,
                "the set no longer has this service quality",
                None,
            ),
        };
        let mut condition = json!({
            "type": format!("{}{name}", keys::GAME_PREFIX),
            "status": status,
            "reason": reason,
            "message": message,
            "lastProbeTime": probed,
        });
        // Left out, it stays as it is.
        if pod.qualities.get(name).is_none_or(|shown| shown.status != status) {
            condition["lastTransitionTime"] = json!(now);
        }
        condition
    };
    let conditions: Vec<Value> = wanted.iter().map(condition).collect();
    json!({ "status": { "conditions": conditions } })
}

/// The merge patch of a GameServer: what actions change, and what has been acted on, in one.
pub(crate) fn server_patch(changes: &Changes, record: &Record) -> Value {
    let mut spec = Map::new();
    let mut set =
        |field: &str, value: Option<Value>| spec.extend(value.map(|value| (field.to_owned(), value)));
    set("opsState", changes.ops_state.as_ref().map(|value| json!(value)));
    set(
        "updatePriority",
        changes.update_priority.as_ref().map(|value| json!(value)),
    );
    set(
        "deletionPriority",
        changes.deletion_priority.as_ref().map(|value| json!(value)),
    );
    set(
        "networkDisabled",
        changes.network_disabled.map(|value| json!(value)),
    );
    set(
        "containers",
        changes.containers.as_ref().map(|value| json!(value)),
    );
    let mut annotations = json!(changes.annotations);
    annotations[keys::annotation::SERVICE_QUALITY_ACTED] = if record.0.is_empty() {
        Value::Null
    } else {
        json!(record.text())
    };
    let mut patch = json!({ "metadata": { "annotations": annotations } });
    if !changes.labels.is_empty() {
        patch["metadata"]["labels"] = json!(changes.labels);
    }
    if !spec.is_empty() {
        patch["spec"] = Value::Object(spec);
    }
    patch
}

/// The merge patch of a GameServer's status: the whole list, which nobody else writes.
pub(crate) fn server_status(conditions: &[ServiceQualityCondition]) -> Value {
    let list = if conditions.is_empty() {
        Value::Null
    } else {
        json!(conditions)
    };
    json!({ "status": { "serviceQualitiesConditions": list } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixture::pod,
        plan::{Acted, Misfit, Sample, Verdict},
    };

    const NOW: &str = "2026-01-01T00:00:09Z";

    #[test]
    fn a_condition_keeps_its_transition_time_while_its_status_stays() {
        let pod = pod().condition("healthy", "True", "gate").view();
        let sample = |verdict| {
            Wanted::Sample(Sample {
                verdict,
                result: "data".into(),
                time: "2026-01-01T00:00:08Z".into(),
                began: std::time::Duration::ZERO,
            })
        };
        let body = |wanted| pod_conditions(&pod, &[("healthy".to_owned(), wanted)].into(), NOW);
        let stays = json!({"type": "game.kruise.io/healthy", "status": "True", "reason": "ProbeSucceeded", "message": "data",
            "lastProbeTime": "2026-01-01T00:00:08Z"});
        assert_eq!(
            body(sample(Verdict::Succeeded)),
            json!({"status": {"conditions": [stays]}})
        );
        let turned = &body(sample(Verdict::TimedOut))["status"]["conditions"][0];
        assert_eq!(
            (&turned["status"], &turned["reason"]),
            (&json!("False"), &json!("ProbeTimedOut"))
        );
        assert_eq!(turned["lastTransitionTime"], NOW);
        let misfit = Misfit {
            reason: "ContainerNotFound",
            message: "no such".into(),
        };
        assert_eq!(
            body(Wanted::Misfit(misfit))["status"]["conditions"][0]["status"],
            "Unknown"
        );
    }

    #[test]
    fn a_patch_holds_what_changes_and_the_record() {
        let mut record = Record::default();
        assert_eq!(
            server_patch(&Changes::default(), &record),
            json!({"metadata": {"annotations": {"game.kruise.io/service-quality-acted": null}}})
        );
        record.0.insert("idle".into(), Acted::default());
        let changes = Changes {
            ops_state: Some("WaitToBeDeleted".into()),
            labels: [("gs-sync/a".to_owned(), "1".to_owned())].into(),
            ..Changes::default()
        };
        let patch = server_patch(&changes, &record);
        assert_eq!(patch["spec"], json!({"opsState": "WaitToBeDeleted"}));
        assert_eq!(patch["metadata"]["labels"], json!({"gs-sync/a": "1"}));
        let text = patch["metadata"]["annotations"]["game.kruise.io/service-quality-acted"]
            .as_str()
            .unwrap();
        assert_eq!(Record::read(text), record);
        assert_eq!(
            server_status(&[]),
            json!({"status": {"serviceQualitiesConditions": null}})
        );
    }
}

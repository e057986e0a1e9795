//! When a new Pod counts as in service, and which Pods hooks keep out of it.
//!
//! `PreparingDelete` is entered on the way to a deletion (`apply::hooks`), the states of an update in place with the update. What
//! is here follows from the state the Pod shows, whoever wrote it.

use api_types::{GameServerSetView, keys};
use serde_json::{Value, json};

use super::{hooks, ids::Id};
use crate::{
    observe::{Observed, lifecycle},
    views::PodView,
};

/// Who OpenKruise says keeps a Pod not ready, in the message of the condition.
const AGENT: &str = "Lifecycle";
const PRE_DELETE: &str = "preDeleteHook";
const PRE_UPDATE: &str = "preUpdateHook";

/// One write to a Pod, decided from this version of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecycleStep {
    /// The server's id.
    pub id: Id,
    /// The Pod's UID.
    pub pod_uid: String,
    /// The version the decision was made from: another writer may just have begun to delete or update the Pod.
    pub resource_version: String,
    /// What to write.
    pub change: LifecycleChange,
}

/// What to write to a Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LifecycleChange {
    /// State `Normal`: the `preNormal` hook is satisfied, or gone.
    InService,
    /// The condition of the gate `KruisePodReady`.
    Readiness {
        /// Whether nothing keeps the Pod out of service any more.
        ready: bool,
        /// The condition's message: who keeps it out of service, as a JSON list.
        message: String,
    },
}

/// The steps that are due.
pub fn steps(observed: &Observed) -> Vec<LifecycleStep> {
    let set = &observed.set;
    let mut steps = Vec::new();
    for (id, pod) in &observed.pods {
        if pod.metadata.is_terminating() {
            continue;
        }
        let due = [
            enters_service(set, pod).then_some(LifecycleChange::InService),
            readiness(set, pod),
        ];
        steps.extend(due.into_iter().flatten().map(|change| LifecycleStep {
            id: *id,
            pod_uid: pod.metadata.uid.clone(),
            resource_version: pod.metadata.resource_version.clone(),
            change,
        }));
    }
    steps
}

fn enters_service(set: &GameServerSetView, pod: &PodView) -> bool {
    lifecycle(pod) == keys::lifecycle::PREPARING_NORMAL
        && hooks::pre_normal(set).is_none_or(|hook| hooks::is_satisfied(hook, &pod.metadata))
}

/// Brings the entries of lifecycle hooks in the condition's message in line with the Pod's state. Entries of others stay.
///
/// It goes by the state and not by its changes: OpenKruise, which goes by the changes, leaves a Pod out of service for good when
/// a hook takes it back before its update is complete.
fn readiness(set: &GameServerSetView, pod: &PodView) -> Option<LifecycleChange> {
    if !pod.has_gate(keys::KRUISE_POD_READY) {
        return None;
    }
    let wanted = match lifecycle(pod) {
        keys::lifecycle::PREPARING_DELETE if hooks::marks_not_ready(hooks::pre_delete(set)) => {
            Some(PRE_DELETE)
        }
        keys::lifecycle::PREPARING_UPDATE | keys::lifecycle::UPDATING
            if hooks::marks_not_ready(hooks::in_place_update(set)) =>
        {
            Some(PRE_UPDATE)
        }
        _ => None,
    };
    // Without the condition the gate is opened first, as on every new Pod.
    let message = pod
        .condition(keys::KRUISE_POD_READY)?
        .message
        .as_deref()
        .unwrap_or("");
    let before: Vec<Value> = serde_json::from_str(message).unwrap_or_default();
    let ours = |entry: &&Value| entry["userAgent"] == AGENT;
    let shown: Vec<&Value> = before.iter().filter(ours).collect();
    let want = wanted.map(|key| json!({ "userAgent": AGENT, "key": key }));
    if shown == want.iter().collect::<Vec<_>>() {
        return None;
    }
    let after: Vec<Value> = before
        .iter()
        .filter(|entry| !ours(entry))
        .cloned()
        .chain(want)
        .collect();
    Some(LifecycleChange::Readiness {
        ready: after.is_empty(),
        message: if after.is_empty() {
            String::new()
        } else {
            Value::from(after).to_string()
        },
    })
}

#[cfg(test)]
// Literals of `json!` read best where they are passed.
#[allow(clippy::needless_pass_by_value)]
mod tests {
    use super::*;

    fn set(lifecycle: Value) -> GameServerSetView {
        serde_json::from_value(json!({
            "metadata": { "name": "arena" },
            "spec": { "replicas": 1, "gameServerTemplate": {}, "lifecycle": lifecycle },
        }))
        .unwrap()
    }

    fn pod(state: &str, labels: Value, message: Option<&str>) -> PodView {
        let mut labels = labels;
        labels["lifecycle.apps.kruise.io/state"] = json!(state);
        let condition = message
            .map(|text| json!({ "type": "KruisePodReady", "status": "False", "message": text }))
            .into_iter()
            .collect::<Vec<_>>();
        serde_json::from_value(json!({
            "metadata": { "name": "arena-0", "labels": labels },
            "spec": { "readinessGates": [{ "conditionType": "KruisePodReady" }] },
            "status": { "conditions": condition },
        }))
        .unwrap()
    }

    #[test]
    fn a_new_pod_is_in_service_once_its_hook_is_satisfied_or_gone() {
        let hooked = set(json!({ "preNormal": { "labelsHandler": { "warm": "yes" } } }));
        assert!(!enters_service(&hooked, &pod("PreparingNormal", json!({}), None)));
        let warm = json!({ "warm": "yes" });
        assert!(enters_service(
            &hooked,
            &pod("PreparingNormal", warm.clone(), None)
        ));
        assert!(!enters_service(&hooked, &pod("PreparingDelete", warm, None)));
        assert!(enters_service(
            &set(json!({})),
            &pod("PreparingNormal", json!({}), None)
        ));
    }

    fn marking() -> GameServerSetView {
        set(json!({ "preDelete": { "markPodNotReady": true }, "inPlaceUpdate": { "markPodNotReady": true } }))
    }

    fn mark(set: &GameServerSetView, state: &str, message: &str) -> Option<(bool, String)> {
        match readiness(set, &pod(state, json!({}), Some(message))) {
            Some(LifecycleChange::Readiness { ready, message }) => Some((ready, message)),
            _ => None,
        }
    }

    #[test]
    fn a_held_pod_is_marked_as_openkruise_marks_it() {
        let marked = r#"[{"key":"preDeleteHook","userAgent":"Lifecycle"}]"#;
        assert_eq!(
            mark(&marking(), "PreparingDelete", ""),
            Some((false, marked.to_owned()))
        );
        assert_eq!(mark(&marking(), "PreparingDelete", marked), None);
        assert_eq!(mark(&set(json!({})), "PreparingDelete", ""), None);
        assert_eq!(mark(&marking(), "Normal", ""), None);
    }

    // OpenKruise takes its key off in one state only, which a Pod can skip.
    #[test]
    fn the_mark_of_an_update_goes_in_whatever_way_the_update_ends() {
        let marked = r#"[{"key":"preUpdateHook","userAgent":"Lifecycle"}]"#;
        for state in ["PreparingUpdate", "Updating"] {
            assert_eq!(mark(&marking(), state, marked), None);
        }
        for state in ["Updated", "Normal", ""] {
            assert_eq!(mark(&marking(), state, marked), Some((true, String::new())));
        }
    }

    #[test]
    fn entries_of_others_stay() {
        let others = r#"[{"userAgent":"ContainerRecreateRequest","key":"ns/crr"},{"userAgent":"Lifecycle","key":"preUpdateHook"}]"#;
        let (ready, message) = mark(&marking(), "Normal", others).unwrap();
        assert!(!ready);
        assert_eq!(
            message,
            r#"[{"key":"ns/crr","userAgent":"ContainerRecreateRequest"}]"#
        );
    }

    #[test]
    fn a_gate_without_condition_is_opened_first() {
        assert_eq!(
            readiness(&marking(), &pod("PreparingDelete", json!({}), None)),
            None
        );
    }
}

//! Condition `EvictionAdvice`: who may evict the servers is not as it seems, or not as `docs/disruption.md` advises.

use api_types::{
    Condition, EvictionSafety,
    eviction::{Kept, Policy},
    keys::{annotation, condition::EVICTION_ADVICE, label},
};

use super::conditions::condition;
use crate::{
    observe::Observed,
    plan::guard::{self, Guarded},
    views::{BudgetView, PodView},
};

/// The longest that the cluster autoscaler waits for a Pod to end.
const AUTOSCALER_WAITS: i64 = 10 * 60;
/// The longest that node upgrades of most clouds wait.
const UPGRADE_WAITS: i64 = 60 * 60;
/// What Kubernetes gives a Pod whose template does not say.
const DEFAULT_GRACE: i64 = 30;

/// Why there is advice, the most pressing first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    /// Two PodDisruptionBudgets select one Pod: every eviction of it fails.
    BudgetConflict,
    /// Somebody else's PodDisruptionBudget stands in for ours and is weaker.
    WeakBudget,
    /// `spec.eviction.safe` has a value that is not known.
    UnknownValue,
    /// The template's own label or annotation says something else than `spec.eviction.safe`.
    TemplateDecides,
    /// `terminationGracePeriodSeconds` does not go with the value.
    GracePeriod,
}

impl Reason {
    fn as_str(self) -> &'static str {
        match self {
            Self::BudgetConflict => "BudgetConflict",
            Self::WeakBudget => "WeakBudget",
            Self::UnknownValue => "UnknownValue",
            Self::TemplateDecides => "TemplateDecides",
            Self::GracePeriod => "GracePeriod",
        }
    }
}

/// The condition, where there is advice or was when the status was last written.
pub(super) fn advice(observed: &Observed) -> Option<Condition> {
    let kept = Kept::of(&observed.set.spec);
    let policy = guard::policy(&observed.set, &kept, observed.default_eviction);
    let found: Vec<(Reason, String)> = [
        conflict(observed).map(|message| (Reason::BudgetConflict, message)),
        weak(observed).map(|message| (Reason::WeakBudget, message)),
        unknown(observed).map(|message| (Reason::UnknownValue, message)),
        template(policy, &kept, observed).map(|message| (Reason::TemplateDecides, message)),
        grace(policy, grace_seconds(observed)).map(|message| (Reason::GracePeriod, message)),
    ]
    .into_iter()
    .flatten()
    .collect();
    if let Some((reason, _)) = found.first() {
        let reason = reason.as_str();
        let messages: Vec<String> = found.into_iter().map(|(_, message)| message).collect();
        return Some(condition(EVICTION_ADVICE, true, reason, messages.join("; ")));
    }
    let had = observed
        .set
        .status
        .conditions
        .iter()
        .any(|old| old.type_ == EVICTION_ADVICE);
    had.then(|| {
        let message = "evictions are as advised".to_owned();
        condition(EVICTION_ADVICE, false, "AsAdvised", message)
    })
}

/// Budgets of which more than one is about a Pod of the set.
fn conflict(observed: &Observed) -> Option<String> {
    let set = Guarded::of(&observed.set, observed.default_eviction);
    let others = || observed.budgets.iter().filter(|budget| !budget.is_ours());
    let all: Vec<&str> = others()
        .filter(|budget| set.is_covered_by(budget))
        .map(|budget| &*budget.metadata.name)
        .collect();
    if all.len() > 1 {
        return Some(format!(
            "PodDisruptionBudgets {} select the same Pods of this set, so the API server fails every eviction of them with an \
             error: keep one",
            all.join(" and ")
        ));
    }
    // Ours is about the protected ones, unless one of the others is about all of them.
    let guarded = set.protects && all.is_empty();
    let about = |pod: &PodView, budget: &BudgetView| budget.selects(|key| pod.metadata.label(key));
    for pod in observed.pods.values() {
        let ours = guarded && pod.metadata.label(label::SAFE_TO_EVICT) == Some("false");
        let names: Vec<&str> = ours
            .then_some(api_types::keys::EVICTION_BUDGET)
            .into_iter()
            .chain(
                others()
                    .filter(|budget| about(pod, budget))
                    .map(|budget| &*budget.metadata.name),
            )
            .collect();
        if names.len() > 1 {
            return Some(format!(
                "PodDisruptionBudgets {} both select some Pods of this set, so the API server fails every eviction of them \
                 with an error: change the selector of yours, so that it selects all Pods of the set or none",
                names.join(" and ")
            ));
        }
    }
    None
}

/// The one budget that stands in for ours, where it lets evictions through.
fn weak(observed: &Observed) -> Option<String> {
    let set = Guarded::of(&observed.set, observed.default_eviction);
    let named_like_ours = |budget: &&std::sync::Arc<BudgetView>| {
        !budget.is_ours() && budget.metadata.name == api_types::keys::EVICTION_BUDGET
    };
    let mut others = observed.budgets.iter().filter(|budget| !budget.is_ours());
    if !set.protects {
        return None;
    }
    if let Some(budget) = others.find(|budget| set.is_covered_by(budget)) {
        let name = &budget.metadata.name;
        return (!budget.refuses_all()).then(|| {
            format!(
                "PodDisruptionBudget {name} selects this set's Pods and is used as it is; it allows evictions while there are \
                 more Pods than it asks for, or while they are not ready: give it minAvailable: {} and nothing else, or \
                 delete it to have one made here",
                i32::MAX
            )
        });
    }
    observed.budgets.iter().find(named_like_ours).map(|budget| {
        format!(
            "PodDisruptionBudget {} is not ours and does not select this set's Pods, so nothing keeps them from being evicted: \
             delete it to have one made here",
            budget.metadata.name
        )
    })
}

fn unknown(observed: &Observed) -> Option<String> {
    match observed.set.spec.eviction.as_ref()?.safe.as_ref()? {
        EvictionSafety::Other(value) => Some(format!(
            "spec.eviction.safe: \"{value}\" is not known; write Never, OnUpgrade, Always or WhenIdle (Never is used)"
        )),
        _ => None,
    }
}

/// What the template says, where it is something else than the set asks for.
fn template(policy: Policy, kept: &Kept<'_>, observed: &Observed) -> Option<String> {
    let said = observed.set.spec.eviction.as_ref();
    said.and_then(|eviction| eviction.safe.as_ref())?;
    let differs = |kept: Option<&str>, wanted: [&str; 2]| kept.is_some_and(|kept| wanted != [kept; 2]);
    let (idle, busy) = (policy.marks(false), policy.marks(true));
    let found: Vec<String> = [
        differs(kept.annotation, [idle.annotation, busy.annotation])
            .then(|| format!("annotation {}", annotation::SAFE_TO_EVICT)),
        differs(kept.label, [idle.label, busy.label]).then(|| format!("label {}", label::SAFE_TO_EVICT)),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!found.is_empty()).then(|| {
        format!(
            "the template's own {} is kept, and does not say what eviction.safe {policy} does: take it out of the template",
            found.join(" and ")
        )
    })
}

fn grace_seconds(observed: &Observed) -> i64 {
    let spec = &observed.set.spec.game_server_template.spec;
    let said = spec.get("terminationGracePeriodSeconds");
    said.and_then(serde_json::Value::as_i64).unwrap_or(DEFAULT_GRACE)
}

/// What the decision tree of `docs/disruption.md` says about a value and a grace period.
fn grace(policy: Policy, seconds: i64) -> Option<String> {
    match policy {
        Policy::Always if seconds > AUTOSCALER_WAITS => Some(format!(
            "eviction.safe Always with terminationGracePeriodSeconds {seconds}: the cluster autoscaler ends Pods after 10 \
             minutes; with sessions of up to an hour write OnUpgrade, with longer ones Never"
        )),
        Policy::OnUpgrade if seconds > UPGRADE_WAITS => Some(format!(
            "eviction.safe OnUpgrade with terminationGracePeriodSeconds {seconds}: node upgrades of most clouds end Pods after \
             an hour; write Never"
        )),
        Policy::OnUpgrade if seconds <= AUTOSCALER_WAITS => Some(format!(
            "eviction.safe OnUpgrade with terminationGracePeriodSeconds {seconds}: a server is ended {seconds} s after a drain \
             asks it to; set terminationGracePeriodSeconds to how long a session takes, or write Always, if that is enough"
        )),
        Policy::Always if seconds <= 0 => Some(
            "eviction.safe Always with terminationGracePeriodSeconds 0: an evicted server is killed at once; set it to how long \
             a session takes"
                .to_owned(),
        ),
        Policy::Never | Policy::OnUpgrade | Policy::Always | Policy::WhenIdle => None,
    }
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value)]
mod tests {
    use std::sync::Arc;

    use api_types::GameServerSetView;
    use serde_json::{Value, json};

    use super::*;
    use crate::{memory::Pending, observe::assemble};

    fn observed(spec: Value, pods: &[(&str, &str)], budgets: &[Value]) -> Observed {
        let mut object = json!({
            "metadata": { "name": "arena", "namespace": "games", "uid": "set" },
            "spec": { "replicas": 1, "gameServerTemplate": { "spec": {} } },
        });
        for (key, value) in spec.as_object().unwrap() {
            object["spec"][key] = value.clone();
        }
        let set: GameServerSetView = serde_json::from_value(object).unwrap();
        let pods = pods.iter().enumerate().map(|(id, (key, value))| {
            Arc::new(serde_json::from_value(json!({ "metadata": {
                "name": format!("arena-{id}"), "namespace": "games", "uid": format!("pod-{id}"),
                "labels": { "game.kruise.io/owner-gss": "arena", "agones.dev/safe-to-evict": "false", *key: value },
                "ownerReferences": [{ "kind": "GameServerSet", "uid": "set", "controller": true }],
            } })).unwrap())
        });
        let mut observed = assemble(
            Arc::new(set),
            pods.collect(),
            |_| None,
            Vec::new(),
            (Vec::new(), None),
            Pending::default(),
            jiff::Timestamp::UNIX_EPOCH,
        );
        observed.budgets = budgets
            .iter()
            .map(|budget| Arc::new(serde_json::from_value(budget.clone()).unwrap()))
            .collect();
        observed
    }

    fn budget(name: &str, selector: Value, least: i64) -> Value {
        json!({ "metadata": { "name": name }, "spec": { "selector": selector, "minAvailable": least } })
    }

    fn reason(observed: &Observed) -> Option<String> {
        advice(observed)
            .filter(|found| found.status == "True")
            .map(|found| found.reason)
    }

    #[test]
    fn nothing_to_say_is_not_said() {
        assert_eq!(advice(&observed(json!({}), &[("a", "b")], &[])), None);
        let ours = json!({
            "metadata": { "name": "agones-gameserver-safe-to-evict-false", "labels": { "app.kubernetes.io/managed-by": "gamekeeper" } },
            "spec": { "minAvailable": i32::MAX, "selector": { "matchLabels": { "agones.dev/safe-to-evict": "false" } } },
        });
        assert_eq!(advice(&observed(json!({}), &[("a", "b")], &[ours])), None);
    }

    // The decision tree, at its edges.
    #[test]
    fn a_grace_period_that_does_not_go_with_the_value_is_named() {
        let of = |safe: &str, seconds: Option<i64>| {
            let template = json!({ "spec": { "terminationGracePeriodSeconds": seconds } });
            let spec = json!({ "eviction": { "safe": safe }, "gameServerTemplate": template });
            reason(&observed(spec, &[], &[]))
        };
        let named = Some("GracePeriod".to_owned());
        for (safe, seconds, wanted) in [
            ("Always", None, None),
            ("Always", Some(600), None),
            ("Always", Some(601), named.clone()),
            ("Always", Some(0), named.clone()),
            ("OnUpgrade", None, named.clone()),
            ("OnUpgrade", Some(600), named.clone()),
            ("OnUpgrade", Some(601), None),
            ("OnUpgrade", Some(3600), None),
            ("OnUpgrade", Some(3601), named),
            ("Never", Some(86_400), None),
            ("WhenIdle", Some(3600), None),
        ] {
            assert_eq!(of(safe, seconds), wanted, "{safe} {seconds:?}");
        }
    }

    #[test]
    fn a_weaker_budget_that_stands_in_for_ours_is_named() {
        let all = json!({ "matchLabels": { "game.kruise.io/owner-gss": "arena" } });
        let weak = observed(json!({}), &[], &[budget("mine", all.clone(), 1)]);
        assert_eq!(reason(&weak).as_deref(), Some("WeakBudget"));
        let strong = observed(
            json!({}),
            &[],
            &[budget("mine", all.clone(), i64::from(i32::MAX))],
        );
        assert_eq!(reason(&strong), None);
        let spec = json!({ "eviction": { "safe": "Always" } });
        assert_eq!(reason(&observed(spec, &[], &[budget("mine", all, 1)])), None);
        let elsewhere = json!({ "matchLabels": { "app": "x" } });
        let taken = budget("agones-gameserver-safe-to-evict-false", elsewhere, 1);
        assert_eq!(
            reason(&observed(json!({}), &[], &[taken])).as_deref(),
            Some("WeakBudget")
        );
    }

    #[test]
    fn two_budgets_on_one_pod_are_a_conflict() {
        let all = json!({ "matchLabels": { "game.kruise.io/owner-gss": "arena" } });
        let two = [budget("one", all.clone(), 1), budget("two", all, 1)];
        assert_eq!(
            reason(&observed(json!({}), &[], &two)).as_deref(),
            Some("BudgetConflict")
        );
        // Ours, and one about the Pods in a state.
        let allocated = json!({ "matchLabels": { "game.kruise.io/gs-opsState": "Allocated" } });
        let some = [budget("some", allocated, 1)];
        let busy = [("game.kruise.io/gs-opsState", "Allocated")];
        let found = advice(&observed(json!({}), &busy, &some)).unwrap();
        assert_eq!(found.reason, "BudgetConflict");
        assert!(
            found
                .message
                .contains("agones-gameserver-safe-to-evict-false and some")
        );
        let idle = [("game.kruise.io/gs-opsState", "None")];
        assert_eq!(reason(&observed(json!({}), &idle, &some)), None);
    }

    #[test]
    fn a_template_that_says_something_else_is_named() {
        let of = |safe: &str, annotation: &str| {
            let metadata =
                json!({ "annotations": { "cluster-autoscaler.kubernetes.io/safe-to-evict": annotation } });
            let mut spec = json!({ "gameServerTemplate": { "metadata": metadata, "spec": {} } });
            if !safe.is_empty() {
                spec["eviction"] = json!({ "safe": safe });
            }
            reason(&observed(spec, &[], &[]))
        };
        let named = Some("TemplateDecides".to_owned());
        assert_eq!(of("Never", "true"), named);
        assert_eq!(of("WhenIdle", "false"), named);
        assert_eq!(
            (of("Never", "false"), of("Always", "true"), of("", "true")),
            (None, None, None)
        );
    }

    #[test]
    fn a_value_that_is_not_known_is_named() {
        let spec = json!({ "eviction": { "safe": "OnUpdate" } });
        assert_eq!(reason(&observed(spec, &[], &[])).as_deref(), Some("UnknownValue"));
    }
}

//! Which PodDisruptionBudget a namespace needs, so that nobody evicts the Pods that are not to be evicted. Pure.
//!
//! There is one for all sets of a namespace. Two budgets that select one Pod make the API server fail every eviction of it, a
//! permitted one too. So where somebody else's budget is about all Pods of a set already, that one counts, and ours leaves the
//! set out. `docs/adr/0024-the-budget-of-protected-servers.md`.

use std::{collections::BTreeMap, sync::Arc};

use api_types::{
    GameServerSetView,
    eviction::{Kept, Policy},
    keys,
    keys::label,
};

use crate::views::{BudgetView, Requirement, Selector};

/// Who may evict the servers of `set`. `template` is what the template says itself.
pub fn policy(set: &GameServerSetView, template: &Kept<'_>, default: Policy) -> Policy {
    let wanted = set.spec.eviction.as_ref();
    Policy::of(wanted.and_then(|wanted| wanted.safe.as_ref()), template, default)
}

/// A set, as far as budgets are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guarded {
    /// Its name.
    pub set: String,
    /// Labels that each of its Pods has, that of a protected one included.
    pub labels: BTreeMap<String, String>,
    /// Whether its Pods are protected, always or at times.
    pub protects: bool,
}

impl Guarded {
    /// What `set` needs.
    pub fn of(set: &GameServerSetView, default: Policy) -> Self {
        let kept = Kept::of(&set.spec);
        let policy = policy(set, &kept, default);
        let shown = kept.label.unwrap_or_else(|| policy.marks(true).label);
        let mut labels = set.spec.game_server_template.metadata.labels.clone();
        labels.insert(label::SAFE_TO_EVICT.to_owned(), shown.to_owned());
        labels.insert(label::OWNER_GSS.to_owned(), set.metadata.name.clone());
        Self {
            set: set.metadata.name.clone(),
            labels,
            protects: shown == "false",
        }
    }

    /// Whether `budget` is about every Pod of the set, whatever labels come and go.
    pub fn is_covered_by(&self, budget: &BudgetView) -> bool {
        budget.selects(|key| self.labels.get(key).map(String::as_str))
    }
}

/// Whether the set has been planned. One that has not has no Pods of ours: it is new, or another controller's until it is taken
/// over, whose evictions are none of our business.
pub fn is_planned(set: &GameServerSetView) -> bool {
    set.status.plan.is_some()
}

/// What is to be done about a namespace's budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuardStep {
    /// Nothing.
    None,
    /// Make it.
    Create(Selector),
    /// Bring ours, of this UID and version, back to what it shall be.
    Restore {
        /// Its UID.
        uid: String,
        /// The version that was looked at.
        version: String,
        /// Which Pods it shall select.
        selector: Selector,
        /// Labels that somebody has added to its selector.
        surplus: Vec<String>,
    },
    /// Delete ours.
    Delete {
        /// Its UID.
        uid: String,
    },
}

/// Decides about the budget of one namespace, from all of its sets and budgets.
pub fn plan(sets: &[Guarded], budgets: &[Arc<BudgetView>]) -> GuardStep {
    let ours = budgets.iter().find(|budget| budget.is_ours());
    let wanted: Vec<&Guarded> = sets.iter().filter(|set| set.protects).collect();
    let (others, left): (Vec<&Guarded>, Vec<&Guarded>) =
        wanted.into_iter().partition(|set| is_taken(set, budgets));
    let Some(selector) = (!left.is_empty()).then(|| selector(&others)) else {
        return match ours {
            Some(ours) if !ours.metadata.is_terminating() => GuardStep::Delete {
                uid: ours.metadata.uid.clone(),
            },
            _ => GuardStep::None,
        };
    };
    match ours {
        Some(ours) if ours.metadata.is_terminating() => GuardStep::None,
        Some(ours) if ours.refuses_all() && ours.selector.as_ref() == Some(&selector) => GuardStep::None,
        Some(ours) => {
            let found = ours.selector.clone().unwrap_or_default();
            let surplus = found.match_labels.into_keys();
            GuardStep::Restore {
                uid: ours.metadata.uid.clone(),
                version: ours.metadata.resource_version.clone(),
                surplus: surplus.filter(|key| key != label::SAFE_TO_EVICT).collect(),
                selector,
            }
        }
        // Somebody else's has the name: it is used as it is, and the sets it is not about say so.
        None if budgets
            .iter()
            .any(|found| found.metadata.name == keys::EVICTION_BUDGET) =>
        {
            GuardStep::None
        }
        None => GuardStep::Create(selector),
    }
}

/// Whether a budget that is not ours is about all Pods of the set.
pub fn is_taken(set: &Guarded, budgets: &[Arc<BudgetView>]) -> bool {
    let mut others = budgets.iter().filter(|budget| !budget.is_ours());
    others.any(|budget| set.is_covered_by(budget))
}

/// All protected Pods, but those of the sets that somebody else's budget is about.
fn selector(without: &[&Guarded]) -> Selector {
    let mut names: Vec<String> = without.iter().map(|set| set.set.clone()).collect();
    names.sort_unstable();
    let excluded = (!names.is_empty()).then(|| Requirement {
        key: label::OWNER_GSS.to_owned(),
        operator: "NotIn".to_owned(),
        values: names,
    });
    Selector {
        match_labels: [(label::SAFE_TO_EVICT.to_owned(), "false".to_owned())].into(),
        match_expressions: excluded.into_iter().collect(),
    }
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};
    use serde_json::{Value, json};

    use super::*;
    use crate::build::budget;

    fn set(name: &str, safe: &str, labels: Value) -> Guarded {
        let set: GameServerSetView = serde_json::from_value(json!({
            "metadata": { "name": name },
            "spec": {
                "replicas": 1, "eviction": { "safe": safe },
                "gameServerTemplate": { "metadata": { "labels": labels } },
            },
        }))
        .unwrap();
        Guarded::of(&set, Policy::Always)
    }

    fn theirs(name: &str, selector: Value) -> Arc<BudgetView> {
        let object = json!({ "metadata": { "name": name, "uid": name }, "spec": { "selector": selector, "maxUnavailable": 0 } });
        Arc::new(serde_json::from_value(object).unwrap())
    }

    fn made(selector: &Selector) -> Arc<BudgetView> {
        let mut object = budget::made("games", selector);
        object["metadata"]["uid"] = json!("ours");
        object["metadata"]["resourceVersion"] = json!("1");
        Arc::new(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn one_is_made_where_a_set_needs_it() {
        let open = [set("a", "Always", json!({})), set("b", "OnUpgrade", json!({}))];
        assert_eq!(plan(&open, &[]), GuardStep::None);
        for safe in ["Never", "WhenIdle", "OnUpdate"] {
            let sets = [set("a", "Always", json!({})), set("b", safe, json!({}))];
            let GuardStep::Create(selector) = plan(&sets, &[]) else {
                panic!("{safe}")
            };
            assert_eq!(
                selector.match_labels,
                [("agones.dev/safe-to-evict".to_owned(), "false".to_owned())].into()
            );
            assert!(selector.match_expressions.is_empty());
            assert_eq!(plan(&sets, &[made(&selector)]), GuardStep::None);
        }
    }

    #[test]
    fn it_goes_with_the_last_set_that_needs_it() {
        let budgets = [made(&selector(&[]))];
        let delete = GuardStep::Delete { uid: "ours".into() };
        assert_eq!(plan(&[], &budgets), delete);
        assert_eq!(plan(&[set("a", "Always", json!({}))], &budgets), delete);
    }

    #[test]
    fn somebody_elses_is_used_and_never_doubled() {
        let sets = [
            set("a", "Never", json!({ "app": "red" })),
            set("b", "Never", json!({ "app": "blue" })),
        ];
        // Agones' own, of the same name.
        let agones = theirs(
            keys::EVICTION_BUDGET,
            json!({ "matchLabels": { "agones.dev/safe-to-evict": "false" } }),
        );
        assert_eq!(plan(&sets, &[agones]), GuardStep::None);
        // The user's, about one of two sets.
        let users = theirs("mine", json!({ "matchLabels": { "app": "red" } }));
        let GuardStep::Create(selector) = plan(&sets, std::slice::from_ref(&users)) else {
            panic!()
        };
        assert_eq!(selector.match_expressions[0].values, ["a"]);
        // It goes: the set is ours to guard again.
        let GuardStep::Restore { selector, .. } = plan(&sets, &[made(&selector)]) else {
            panic!()
        };
        assert!(selector.match_expressions.is_empty());
        // It is about both: ours goes.
        let all = theirs("all", json!({}));
        assert_eq!(
            plan(&sets, &[users, all, made(&selector)]),
            GuardStep::Delete { uid: "ours".into() }
        );
    }

    // One that is about Allocated servers only leaves the others of the set without any.
    #[test]
    fn one_about_some_pods_of_a_set_does_not_stand_in_for_ours() {
        let sets = [set("a", "Never", json!({}))];
        let some = theirs(
            "some",
            json!({ "matchLabels": { "game.kruise.io/gs-opsState": "Allocated" } }),
        );
        assert!(matches!(plan(&sets, &[some]), GuardStep::Create(_)));
    }

    #[test]
    fn what_was_changed_by_hand_is_put_back() {
        let sets = [set("a", "Never", json!({}))];
        let mut changed = BudgetView::clone(&made(&selector(&[])));
        changed.min_available = Some(api_types::IntOrString::Int(1));
        let step = plan(&sets, &[Arc::new(changed.clone())]);
        assert!(matches!(step, GuardStep::Restore { ref surplus, .. } if surplus.is_empty()));
        let found = changed.selector.as_mut().unwrap();
        found.match_labels.insert("app".into(), "x".into());
        let step = plan(&sets, &[Arc::new(changed)]);
        assert!(matches!(step, GuardStep::Restore { ref surplus, .. } if surplus == &["app"]));
    }

    #[test]
    fn a_label_of_the_template_counts_as_it_is() {
        assert!(!set("a", "Never", json!({ "agones.dev/safe-to-evict": "true" })).protects);
        assert!(set("a", "Always", json!({ "agones.dev/safe-to-evict": "false" })).protects);
    }

    fn sets() -> impl Strategy<Value = Vec<Guarded>> {
        let safe = select(vec!["Never", "OnUpgrade", "Always", "WhenIdle"]);
        vec((safe, select(vec!["red", "blue", "green"])), 0..5).prop_map(|found| {
            let each = found.into_iter().enumerate();
            each.map(|(at, (safe, app))| set(&format!("s{at}"), safe, json!({ "app": app })))
                .collect()
        })
    }

    fn budgets() -> impl Strategy<Value = Vec<Arc<BudgetView>>> {
        let selector = select(vec![
            json!({ "matchLabels": { "app": "red" } }),
            json!({ "matchExpressions": [{ "key": "app", "operator": "In", "values": ["red", "blue"] }] }),
            json!({ "matchLabels": { "agones.dev/safe-to-evict": "false" } }),
            json!({ "matchLabels": { "game.kruise.io/owner-gss": "s1" } }),
            json!({ "matchLabels": { "other": "x" } }),
            Value::Null,
        ]);
        vec(selector, 0..3).prop_map(|found| {
            let each = found.into_iter().enumerate();
            each.map(|(at, selector)| theirs(&format!("b{at}"), selector))
                .collect()
        })
    }

    proptest! {
        // Oracle: count, for each set, the budgets about its protected Pods once the step is taken.
        #[test]
        fn each_protected_set_has_a_budget_and_ours_doubles_none(
            sets in sets(), others in budgets(), before in any::<bool>(),
        ) {
            let mut all = others.clone();
            if before {
                all.push(made(&selector(&[])));
            }
            let ours = match plan(&sets, &all) {
                GuardStep::Create(selector) | GuardStep::Restore { selector, .. } => Some(made(&selector)),
                GuardStep::Delete { .. } => None,
                GuardStep::None => all.iter().find(|found| found.is_ours()).cloned(),
            };
            for set in sets.iter().filter(|set| set.protects) {
                let theirs = others.iter().filter(|budget| set.is_covered_by(budget)).count();
                let own = usize::from(ours.as_ref().is_some_and(|ours| set.is_covered_by(ours)));
                prop_assert_eq!(own, usize::from(theirs == 0), "{}", set.set);
            }
            let after: Vec<_> = others.iter().cloned().chain(ours).collect();
            prop_assert_eq!(plan(&sets, &after), GuardStep::None, "a second look finds nothing to do");
        }
    }
}

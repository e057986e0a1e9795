//! Properties of the update planner, over 10⁵ random fleets in all, and a slow planner that tries every choice to compare with.

use proptest::{prelude::*, test_runner::TestCaseResult};

use super::*;

const CASES: u32 = 40_000;

#[derive(Debug, Clone)]
struct Fleet {
    rules: Rules,
    desired: IdSet,
    subjects: Vec<Subject>,
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![
        3 => Just(Way::UpToDate),
        1 => Just(Way::Metadata),
        3 => Just(Way::InPlace),
        4 => Just(Way::Recreate),
        1 => Just(Way::Impossible("x".to_owned())),
    ]
}

fn stage() -> impl Strategy<Value = Stage> {
    prop_oneof![
        8 => Just(Stage::Idle),
        1 => Just(Stage::Preparing),
        1 => Just(Stage::Updating),
        1 => Just(Stage::Updated),
    ]
}

prop_compose! {
    fn subject()(
        way in way(),
        stage in stage(),
        [leaving, busy, protected] in [prop::bool::weighted(0.1), prop::bool::weighted(0.05), prop::bool::weighted(0.2)],
        [held, hooked, accepted, complete, available, recorded] in any::<[bool; 6]>(),
        grace_left in 0_i64..3,
        priority in -2_i64..3,
    ) -> Subject {
        Subject {
            id: 0,
            uid: String::new(),
            leaving,
            busy,
            // A Pod that is being updated is in no state that counts as available.
            available: available && stage == Stage::Idle && !leaving,
            stage,
            // Recorded for an update: still to be recreated, and nothing else.
            recorded: recorded && way == Way::Recreate && stage == Stage::Idle && !leaving,
            way,
            protected,
            held: held && hooked,
            hooked,
            accepted: accepted || !hooked,
            complete,
            grace_left,
            priority,
            out: false,
            version: 1,
        }
    }
}

prop_compose! {
    fn fleet(most: usize)(
        subjects in prop::collection::vec(prop::option::weighted(0.9, subject()), 0..most),
        halted in prop::bool::weighted(0.1),
        partition in prop_oneof![3 => Just(0_u64), 1 => 0_u64..5],
        max_unavailable in 1_u64..4,
    ) -> Fleet {
        let desired = (0..subjects.len()).filter_map(|id| Id::try_from(id).ok()).collect();
        let subjects = (0..).zip(subjects).filter_map(|(id, subject)| {
            Some(Subject { id, uid: format!("u{id}"), ..subject? })
        });
        Fleet { rules: Rules { halted, partition, max_unavailable }, desired, subjects: subjects.collect() }
    }
}

fn unavailable(fleet: &Fleet) -> u64 {
    fleet.desired.len() - fleet.subjects.iter().filter(|subject| subject.serves()).count() as u64
}

/// The fleet once everything planned was done, and the containers have not answered yet.
fn applied(fleet: &Fleet, plan: &UpdatePlan) -> Fleet {
    let mut fleet = fleet.clone();
    for subject in &mut fleet.subjects {
        if plan
            .recreate
            .iter()
            .any(|deletion| deletion.pod_uid == subject.uid)
        {
            subject.leaving = true;
            subject.available = false;
        } else {
            subject.recorded = false;
        }
        let Some(step) = plan.steps.iter().find(|step| step.uid == subject.uid) else {
            continue;
        };
        match step.act {
            Act::Relabel => subject.way = Way::UpToDate,
            Act::Prepare => {
                subject.stage = Stage::Preparing;
                subject.held = true;
                subject.available = false;
            }
            Act::Start => {
                subject.stage = Stage::Updating;
                subject.complete = false;
                subject.available = false;
                subject.way = if subject.grace_left > 0 {
                    Way::InPlace
                } else {
                    Way::UpToDate
                };
            }
            Act::Begin => {
                subject.complete = false;
                subject.way = Way::UpToDate;
            }
            Act::Finish => {
                subject.stage = if subject.accepted {
                    Stage::Idle
                } else {
                    Stage::Updated
                };
            }
        }
    }
    fleet
}

/// What nature does in time: graces end, hooks let go and accept, containers come up, Pods are replaced and become ready.
fn later(fleet: &Fleet) -> Fleet {
    let mut fleet = fleet.clone();
    let old = |fleet: &Fleet| {
        let outdated = fleet
            .subjects
            .iter()
            .filter(|found| !found.leaving && found.way != Way::UpToDate);
        outdated.filter(|found| found.stage == Stage::Idle).count() as u64
    };
    for at in 0..fleet.subjects.len() {
        let outdated = old(&fleet);
        let subject = &mut fleet.subjects[at];
        subject.busy = false;
        subject.held = false;
        subject.accepted = true;
        subject.grace_left = 0;
        subject.complete = true;
        if subject.leaving {
            subject.leaving = false;
            subject.stage = Stage::Idle;
            subject.recorded = false;
            subject.uid.push('\'');
            subject.way = if outdated < fleet.rules.partition {
                Way::Recreate
            } else {
                Way::UpToDate
            };
        }
        subject.available = subject.stage == Stage::Idle;
    }
    fleet
}

/// Servers out of service after the plan are within the budget, or were so before.
fn stays_within_budget(fleet: &Fleet, plan: &UpdatePlan) -> TestCaseResult {
    let before = unavailable(fleet);
    let after = unavailable(&applied(fleet, plan));
    prop_assert!(
        after <= before.max(fleet.rules.max_unavailable),
        "{before} → {after}"
    );
    Ok(())
}

fn disturbs_nobody_protected(fleet: &Fleet, plan: &UpdatePlan) -> TestCaseResult {
    for subject in fleet.subjects.iter().filter(|subject| subject.protected) {
        let taken = plan
            .recreate
            .iter()
            .any(|deletion| deletion.pod_uid == subject.uid)
            || plan.steps.iter().any(|step| {
                step.uid == subject.uid && matches!(step.act, Act::Prepare | Act::Start | Act::Begin)
            });
        prop_assert!(!taken, "{subject:?}");
    }
    Ok(())
}

fn is_done(plan: &UpdatePlan) -> bool {
    plan.steps.is_empty() && plan.recreate.is_empty()
}

/// The most servers that may be begun, and the best of them by the rule of order, found by trying every subset.
fn best_choice(fleet: &Fleet) -> Vec<Id> {
    if fleet.rules.halted {
        return Vec::new();
    }
    let mut outdated: Vec<&Subject> = fleet
        .subjects
        .iter()
        .filter(|found| found.stage == Stage::Idle && found.is_outdated())
        .collect();
    outdated.sort_by_key(|found| (!found.recorded, -found.priority, -i64::from(found.id)));
    let allowed = outdated
        .len()
        .saturating_sub(usize::try_from(fleet.rules.partition).unwrap());
    let able = |found: &&&Subject| {
        let disturbs = found.way != Way::Metadata;
        !(matches!(found.way, Way::Impossible(_)) || found.busy || disturbs && found.protected)
    };
    let targets: Vec<&Subject> = outdated.iter().take(allowed).filter(able).copied().collect();
    let mut best: Option<(usize, Vec<usize>)> = None;
    for subset in 0_u32..1 << targets.len() {
        let chosen: Vec<usize> = (0..targets.len()).filter(|at| subset & (1 << at) != 0).collect();
        let costs = chosen
            .iter()
            .filter(|at| targets[**at].serves() && targets[**at].way != Way::Metadata);
        let costs = costs.count() as u64;
        if costs > 0 && unavailable(fleet) + costs > fleet.rules.max_unavailable {
            continue;
        }
        // More is better; of as many, those that come first.
        let better = best.as_ref().is_none_or(|(count, found)| {
            chosen.len() > *count || (chosen.len() == *count && chosen < *found)
        });
        if better {
            best = Some((chosen.len(), chosen));
        }
    }
    let mut ids: Vec<Id> = best
        .into_iter()
        .flat_map(|(_, chosen)| chosen)
        .map(|at| targets[at].id)
        .collect();
    ids.sort_unstable();
    ids
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_keeps_the_budget_and_the_players_and_is_done_once(fleet in fleet(12)) {
        let plan = plan(fleet.rules, &fleet.desired, &fleet.subjects);
        stays_within_budget(&fleet, &plan)?;
        disturbs_nobody_protected(&fleet, &plan)?;
        let next = applied(&fleet, &plan);
        // Nothing is begun twice; what follows at once is only the next step of the same server's update.
        let again = super::plan(next.rules, &next.desired, &next.subjects);
        for deletion in &again.recreate {
            prop_assert!(!plan.recreate.contains(deletion));
        }
        for step in &again.steps {
            prop_assert!(!plan.steps.contains(step), "{step:?}");
        }
        stays_within_budget(&next, &again)?;
    }

    #[test]
    fn the_choice_is_the_best_there_is(fleet in fleet(9)) {
        let plan = plan(fleet.rules, &fleet.desired, &fleet.subjects);
        let idle = |uid: &str| fleet.subjects.iter().any(|found| found.uid == uid && found.stage == Stage::Idle);
        let begun = plan.steps.iter().filter(|step| idle(&step.uid)).map(|step| step.id);
        let recreated = plan.recreate.iter().filter(|found| idle(&found.pod_uid)).map(|found| found.id);
        let mut begun: Vec<Id> = begun.chain(recreated).collect();
        begun.sort_unstable();
        prop_assert_eq!(begun, best_choice(&fleet));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Left alone, every fleet comes to rest with everything updated that may be, and `partition` Pods on the old revision.
    #[test]
    fn every_update_ends(fleet in fleet(10)) {
        let mut fleet = fleet;
        // Each server takes four steps at most, and at least one is taken in every round.
        for _ in 0..10 * 5 + 5 {
            let plan = plan(fleet.rules, &fleet.desired, &fleet.subjects);
            stays_within_budget(&fleet, &plan)?;
            let before = fleet.clone();
            fleet = later(&applied(&fleet, &plan));
            if is_done(&plan) && fleet.subjects == before.subjects {
                break;
            }
        }
        let plan = plan(fleet.rules, &fleet.desired, &fleet.subjects);
        prop_assert!(is_done(&plan), "{plan:?}");
        if fleet.rules.halted {
            return Ok(());
        }
        let missing = fleet.desired.len() - fleet.subjects.len() as u64;
        let old: Vec<&Subject> = fleet.subjects.iter().filter(|found| found.is_outdated()).collect();
        let free = old.iter().filter(|found| obstacle(found).is_none() && found.stage == Stage::Idle).count() as u64;
        // Missing servers cost budget for ever in this world, where nobody makes them.
        if missing < fleet.rules.max_unavailable {
            prop_assert!(free <= fleet.rules.partition, "{free} {plan:?}");
        }
    }
}

#[test]
fn a_new_pod_is_old_only_where_the_partition_lacks_one() {
    let subject = |id: Id, way: Way| Subject {
        id,
        uid: format!("u{id}"),
        leaving: false,
        busy: false,
        available: true,
        stage: Stage::Idle,
        way,
        protected: false,
        held: false,
        hooked: false,
        accepted: true,
        complete: true,
        grace_left: 0,
        priority: 0,
        recorded: false,
        out: false,
        version: 1,
    };
    let fleet = [subject(0, Way::Recreate), subject(1, Way::UpToDate)];
    assert_eq!(old_ones(0, &[2, 3], &fleet), Vec::<Id>::new());
    assert_eq!(old_ones(2, &[2, 3], &fleet), [2]);
    assert_eq!(old_ones(9, &[2, 3], &fleet), [2, 3]);
}

//! Bringing Pods to the set's template: which ones, in what order, how many at a time, and how.
//!
//! | module | decides |
//! |---|---|
//! | this one | which Pods are taken, within the budget, and the next step of each |
//! | [`change`] | whether a template can be reached in a running Pod |
//! | [`completion`] | whether a container runs what its spec says |
//! | [`taken`] | which servers the record says are out of service |
//! | [`subject`] | nothing: puts what was observed into the planner's terms |

pub mod change;
pub mod completion;
pub mod subject;
pub mod taken;

use std::cmp::Reverse;

use api_types::keys::claim_reason;
use controller_kit::bug;

use super::{
    ids::{Id, IdSet},
    record::Deletion,
};

/// How Pods may be updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Nothing is begun: OnDelete, or paused. What was begun is brought to its end.
    pub halted: bool,
    /// How many Pods stay on the old revision.
    pub partition: u64,
    /// How many of the desired servers may be out of service before another one is taken out.
    pub max_unavailable: u64,
}

/// A desired server that has a Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The server's id.
    pub id: Id,
    /// The Pod's UID.
    pub uid: String,
    /// Whether the Pod is on its way out already: terminating, claimed, held by its `preDelete` hook, or ended.
    pub leaving: bool,
    /// Whether a write of our own is not in the cache yet: nothing is decided about the Pod until it is.
    pub busy: bool,
    /// Whether it is ready, in service, and has been for long enough.
    pub available: bool,
    /// How far an update in place has come.
    pub stage: Stage,
    /// How it gets from its revision to the wanted one.
    pub way: Way,
    /// Whether players may not be disturbed: Allocated under `protectAllocated`.
    pub protected: bool,
    /// Whether the `inPlaceUpdate` hook holds it.
    pub held: bool,
    /// Whether the `inPlaceUpdate` hook is there at all.
    pub hooked: bool,
    /// Whether the `inPlaceUpdate` hook accepts the Pod back into service; true without a hook.
    pub accepted: bool,
    /// Whether the containers run what the Pod's spec says.
    pub complete: bool,
    /// Seconds until its images may be changed.
    pub grace_left: i64,
    /// `updatePriority`; higher goes first.
    pub priority: i64,
    /// Whether the stored plan names this Pod for an update already.
    pub recorded: bool,
    /// Whether the stored plan has the server out of service for an update, and it was not seen back since.
    pub out: bool,
    /// The Pod's version, see [`taken::version`].
    pub version: u64,
}

/// How far an update in place has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// None is under way.
    Idle,
    /// `PreparingUpdate`: it waits for the hook.
    Preparing,
    /// `Updating`: it is out of service; its images are changed, or are about to be.
    Updating,
    /// `Updated`: it waits for the hook to take it back into service.
    Updated,
}

/// How a Pod gets to the wanted revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// It is there.
    UpToDate,
    /// Labels and annotations only: it stays in service.
    Metadata,
    /// Containers change in the running Pod.
    InPlace,
    /// It takes a new Pod.
    Recreate,
    /// The policy forbids the only way there is; why.
    Impossible(String),
}

/// Why a server that is to be updated waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// Its opsState is Allocated, and `protectAllocated` is on.
    Allocated,
    /// The `inPlaceUpdate` hook holds it, or has not accepted it back.
    Hook,
    /// `InPlaceOnly`, and the change cannot be made in place; what it is.
    Impossible(String),
}

/// What to do with one Pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Write the new labels and annotations.
    Relabel,
    /// Ask the hook: state `PreparingUpdate`. From `Updated`, with the hook's labels and finalizers put back.
    Prepare,
    /// Take it out of service, and change its containers when the grace period is over.
    Start,
    /// Change its containers.
    Begin,
    /// Put it back into service, or ask the hook to.
    Finish,
}

/// One step of one Pod's update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The server's id.
    pub id: Id,
    /// The Pod's UID.
    pub uid: String,
    /// What to do.
    pub act: Act,
}

/// What is to be done now to bring Pods to the set's template.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpdatePlan {
    /// Steps of updates in place.
    pub steps: Vec<Step>,
    /// Pods to replace; they go through the plan record and the deletion claim.
    pub recreate: Vec<Deletion>,
    /// Servers that wait for something that may never come.
    pub blocked: Vec<(Id, Obstacle)>,
    /// Servers that will be updated when the budget allows.
    pub waiting: u64,
    /// Servers that would be updated if updates were not halted.
    pub halted: u64,
    /// Servers being updated in place.
    pub under_way: u64,
    /// Desired servers with an outdated Pod that a partition holds back.
    pub held_back: u64,
    /// Seconds until a grace period ends.
    pub wake: Option<i64>,
}

impl Subject {
    /// Whether it may be counted on.
    pub fn serves(&self) -> bool {
        if bug::active("unready-counts") {
            return !self.leaving;
        }
        self.available && !self.leaving && !self.busy && !self.out && self.stage == Stage::Idle
    }

    fn is_outdated(&self) -> bool {
        !self.leaving && self.way != Way::UpToDate
    }
}

/// Decides what to do now. `subjects` are the desired servers that have a Pod.
///
/// Servers that are out of service already are updated whatever the budget says: nothing is lost by it, and they may be out of
/// service because of the old template. A server that has to wait keeps its place among those a partition lets through, but
/// keeps nobody else waiting.
pub fn plan(rules: Rules, desired: &IdSet, subjects: &[Subject]) -> UpdatePlan {
    let mut plan = UpdatePlan::default();
    for subject in subjects {
        if subject.stage != Stage::Idle && !subject.leaving {
            plan.under_way += 1;
            if !subject.busy {
                go_on(rules, subject, &mut plan);
            }
        }
    }
    let mut outdated: Vec<&Subject> = subjects
        .iter()
        .filter(|subject| subject.stage == Stage::Idle && subject.is_outdated())
        .collect();
    outdated.sort_by_key(|subject| (!subject.recorded, Reverse(subject.priority), Reverse(subject.id)));
    let one_less = u64::from(bug::active("partition-off-by-one"));
    let kept = usize::try_from(rules.partition.saturating_sub(one_less)).unwrap_or(usize::MAX);
    let targets = outdated.len().saturating_sub(kept);
    plan.held_back = (outdated.len() - targets) as u64;
    if rules.halted {
        plan.halted = targets as u64;
        return plan;
    }
    let serving = subjects.iter().filter(|subject| subject.serves()).count() as u64;
    let mut unavailable = desired.len().saturating_sub(serving);
    let mut room = taken::MOST.saturating_sub(subjects.iter().filter(|subject| subject.out).count());
    for subject in outdated.into_iter().take(targets) {
        if let Some(obstacle) = obstacle(subject) {
            plan.blocked.push((subject.id, obstacle));
            continue;
        }
        let costs = subject.way != Way::Metadata && subject.serves();
        let enters = subject.way != Way::Metadata && !subject.out;
        // What is to go by the record goes on, though a cache is behind: or a late look would take it back.
        let going = subject.out && subject.recorded && subject.way == Way::Recreate;
        let spent = unavailable >= rules.max_unavailable && !bug::active("update-budget-ignored");
        if (subject.busy && !going) || (costs && spent) || (enters && room == 0) {
            plan.waiting += 1;
            continue;
        }
        unavailable += u64::from(costs);
        room -= usize::from(enters);
        begin(subject, &mut plan);
    }
    plan.recreate.sort_by_key(|deletion| deletion.id);
    plan
}

fn obstacle(subject: &Subject) -> Option<Obstacle> {
    match &subject.way {
        Way::Impossible(why) => Some(Obstacle::Impossible(why.clone())),
        Way::InPlace | Way::Recreate if subject.protected => Some(Obstacle::Allocated),
        _ => None,
    }
}

fn begin(subject: &Subject, plan: &mut UpdatePlan) {
    match subject.way {
        Way::Metadata => plan.step(subject, Act::Relabel),
        Way::InPlace if subject.held => plan.step(subject, Act::Prepare),
        Way::InPlace => plan.step(subject, Act::Start),
        Way::Recreate => plan.recreate(subject),
        Way::UpToDate | Way::Impossible(_) => {}
    }
}

/// The next step of an update in place that is under way. None of these costs budget: the Pod is out of service.
fn go_on(rules: Rules, subject: &Subject, plan: &mut UpdatePlan) {
    let obstacle = obstacle(subject);
    if let Some(obstacle) = &obstacle {
        plan.blocked.push((subject.id, obstacle.clone()));
    }
    match (subject.stage, &subject.way) {
        (Stage::Idle, _) => {}
        (_, Way::Metadata) => plan.step(subject, Act::Relabel),
        (Stage::Preparing, Way::UpToDate) => plan.step(subject, Act::Finish),
        // Nothing was done to it yet: back into service.
        (Stage::Preparing, _) if obstacle.is_some() => plan.step(subject, Act::Finish),
        (Stage::Updating, _) if subject.way == Way::UpToDate || obstacle.is_some() => {
            if subject.complete {
                plan.step(subject, Act::Finish);
            }
        }
        (Stage::Updated, _) if subject.way == Way::UpToDate || obstacle.is_some() || rules.halted => {
            if subject.accepted {
                plan.step(subject, Act::Finish);
            } else if obstacle.is_none() {
                plan.blocked.push((subject.id, Obstacle::Hook));
            }
        }
        (_, Way::Recreate) if !rules.halted => plan.recreate(subject),
        (Stage::Preparing, Way::InPlace) if subject.held => plan.blocked.push((subject.id, Obstacle::Hook)),
        (Stage::Preparing, Way::InPlace) if !rules.halted => plan.step(subject, Act::Start),
        (Stage::Updating, Way::InPlace) if subject.grace_left > 0 => plan.wake_in(subject.grace_left),
        (Stage::Updating, Way::InPlace) => plan.step(subject, Act::Begin),
        (Stage::Updated, Way::InPlace) if subject.hooked => plan.step(subject, Act::Prepare),
        (Stage::Updated, Way::InPlace) => plan.step(subject, Act::Start),
        // Halted while it waited for the hook or could only be recreated.
        (_, _) => {}
    }
}

impl UpdatePlan {
    fn step(&mut self, subject: &Subject, act: Act) {
        self.steps.push(Step {
            id: subject.id,
            uid: subject.uid.clone(),
            act,
        });
    }

    fn recreate(&mut self, subject: &Subject) {
        self.recreate.push(Deletion {
            id: subject.id,
            pod_uid: subject.uid.clone(),
            reason: claim_reason::UPDATE.to_owned(),
        });
    }

    fn wake_in(&mut self, seconds: i64) {
        self.wake = Some(self.wake.map_or(seconds, |wake| wake.min(seconds)));
    }
}

/// Which of the missing ids get a Pod of the old revision, so that `partition` Pods have it: the lowest, as many as are lacking.
pub fn old_ones(partition: u64, missing: &[Id], subjects: &[Subject]) -> Vec<Id> {
    let old = subjects
        .iter()
        .filter(|subject| subject.is_outdated() && subject.stage == Stage::Idle && !subject.recorded)
        .count() as u64;
    if bug::active("held-back-made-new") {
        return Vec::new();
    }
    let lacking = usize::try_from(partition.saturating_sub(old)).unwrap_or(usize::MAX);
    missing.iter().copied().take(lacking).collect()
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod two_planners;

//! Volume claims: which to make, whom they go with, and which servers have to wait for one.
//!
//! | `whenDeleted` | `whenScaled` | a wanted server's claim goes with | one of a server that is scaled in goes with |
//! |---|---|---|---|
//! | Retain | Retain | nobody | nobody |
//! | Delete | Retain | the set | the set |
//! | Retain | Delete | nobody | its Pod |
//! | Delete | Delete | the set | its Pod |
//!
//! "Goes with" is an owner reference, which the garbage collector acts on. The reference to the Pod is there before the Pod's
//! deletion is asked for, and only then: a Pod that is replaced keeps its data.

use std::{collections::BTreeMap, sync::Arc};

use api_types::{ClaimRetention, GameServerSetView, keys};
use controller_kit::bug;
use jiff::Timestamp;

use super::ids::{Id, IdSet};
use crate::{
    observe::Observed,
    views::{ClaimView, PodView},
};

/// How long a claim may be unbound, in seconds, before it is said to block its server: volumes take a while to be made.
pub const BINDS_WITHIN: i64 = 30;

/// The name of a server's claim.
pub fn claim_name(template: &str, set: &str, id: Id) -> String {
    format!("{template}-{}", api_types::names::pod_name(set, id))
}

/// Whom a claim goes with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keeper {
    /// The set.
    Set,
    /// The server's Pod.
    Pod {
        /// Its name.
        name: String,
        /// Its UID.
        uid: String,
    },
}

/// A change of a claim's owner references, decided from this version of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimStep {
    /// The server's id.
    pub id: Id,
    /// Name of the claim.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The version the decision was made from.
    pub resource_version: String,
    /// The reference to add.
    pub add: Option<Keeper>,
    /// UIDs of the owners to take off.
    pub remove: Vec<String>,
}

/// Why a claim keeps its server waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// It is being deleted.
    Terminating,
    /// It goes with, or belongs to, somebody else than this set and its Pod.
    Foreign,
    /// Its volume is gone.
    Lost,
    /// No volume has been bound to it.
    Unbound,
}

/// A claim that keeps its server waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// Name of the claim.
    pub claim: String,
    /// Why.
    pub obstacle: Obstacle,
}

/// All about the volume claims of one set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumePlan {
    /// Owner references to change, but for those that a deletion brings.
    pub steps: Vec<ClaimStep>,
    /// Servers whose Pod waits for claims that are not there, with the indexes of those claims' templates.
    pub remake: BTreeMap<Id, Vec<usize>>,
    /// Servers that cannot be created, or whose Pod cannot start.
    pub blocked: BTreeMap<Id, Blocked>,
    /// Servers that run without a claim template that was added later.
    pub without: Vec<Id>,
    /// In how many seconds an unbound claim begins to count as blocking.
    pub changes_in: Option<i64>,
}

impl VolumePlan {
    /// Servers that are not created before something happens to a claim. One that is merely unbound may be waiting for its
    /// Pod, to be bound where that is placed.
    pub fn hold_creation(&self) -> IdSet {
        self.blocked
            .iter()
            .filter(|(_, found)| found.obstacle <= Obstacle::Foreign)
            .map(|(id, _)| *id)
            .collect()
    }
}

/// Whether the set's claims go with the set.
pub fn goes_with_set(set: &GameServerSetView) -> bool {
    retention(set).0
}

/// Whether a scaled-in server's claims go with its Pod.
pub fn goes_with_pod(set: &GameServerSetView) -> bool {
    retention(set).1
}

fn retention(set: &GameServerSetView) -> (bool, bool) {
    let policy = set.spec.persistent_volume_claim_retention_policy.as_ref();
    let deletes = |when: Option<&ClaimRetention>| when == Some(&ClaimRetention::Delete);
    policy.map_or((false, false), |policy| {
        (
            deletes(policy.when_deleted.as_ref()),
            deletes(policy.when_scaled.as_ref()) || bug::active("retention-ignored"),
        )
    })
}

/// Plans for the claims, given the ids that shall exist.
pub fn plan(observed: &Observed, desired: &IdSet) -> VolumePlan {
    let (set, clock) = (&observed.set, observed.clock);
    let found = observed.pending.blocked_claims.iter();
    let mut plan = VolumePlan {
        blocked: found
            .filter(|(id, _)| desired.contains(**id))
            .map(|(id, found)| (*id, found.clone()))
            .collect(),
        ..VolumePlan::default()
    };
    for (template, id, claim) in owned(observed) {
        let pod = observed.pods.get(&id);
        plan.steps
            .extend(step(set, id, claim, pod.map(AsRef::as_ref), desired.contains(id)));
        // Only a template that is still there makes a claim matter to a Pod.
        if template && desired.contains(id) {
            look_at(&mut plan, id, claim, pod.map(AsRef::as_ref), set, clock);
        }
    }
    let templates = &set.spec.game_server_template.volume_claim_templates;
    if templates.is_empty() {
        return plan;
    }
    for (id, pod) in &observed.pods {
        if pod.metadata.is_terminating() || !desired.contains(*id) {
            continue;
        }
        let names = templates
            .iter()
            .map(|template| claim_name(&template.metadata.name, &set.metadata.name, *id));
        let uses = |name: &String| pod.claims.contains(name);
        if names.clone().any(|name| !uses(&name)) {
            plan.without.push(*id);
        }
        let lacks = |name: &String| uses(name) && !observed.claims.contains_key(name);
        let lacking: Vec<usize> = names
            .enumerate()
            .filter(|(_, name)| lacks(name) && !observed.pending.made_claims.contains(name))
            .map(|(index, _)| index)
            .collect();
        let starting = pod.phase.as_deref().is_none_or(|phase| phase == "Pending");
        // The watch shows claims with the set's label only; those a user made beforehand are bound by name and not seen.
        if starting && !lacking.is_empty() && is_missed(pod) {
            plan.remake.insert(*id, lacking);
        }
    }
    plan
}

/// Whether the scheduler says that it could not place the Pod. A claim that is merely not in the cache yet is no reason to make
/// it again.
fn is_missed(pod: &PodView) -> bool {
    pod.condition("PodScheduled")
        .is_some_and(|condition| condition.status == "False")
}

/// The set's claims with their server's id, and whether their template is still in the spec.
fn owned(observed: &Observed) -> impl Iterator<Item = (bool, Id, &Arc<ClaimView>)> {
    let set = &observed.set;
    let templates = &set.spec.game_server_template.volume_claim_templates;
    observed.claims.values().filter_map(move |claim| {
        let name = &claim.metadata.name;
        let id = api_types::names::ordinal_of(name)?;
        let is_of = |template: &str| claim_name(template, &set.metadata.name, id) == *name;
        let present = templates.iter().any(|template| is_of(&template.metadata.name));
        let ours = present
            || name.ends_with(&format!(
                "-{}",
                api_types::names::pod_name(&set.metadata.name, id)
            ));
        ours.then_some((present, id, claim))
    })
}

/// The change of a claim's owners that does not wait for a deletion.
fn step(
    set: &GameServerSetView,
    id: Id,
    claim: &ClaimView,
    pod: Option<&PodView>,
    wanted: bool,
) -> Option<ClaimStep> {
    let (with_set, with_pod) = retention(set);
    // A condemned claim is handed over with its Pod's deletion. Without its Pod it is on its way out, or was kept before the
    // policy was changed: it stays.
    if !wanted && with_pod {
        return None;
    }
    let pod_uid = pod.map(|pod| pod.metadata.uid.as_str());
    if obstacle(set, id, claim, pod_uid).is_some_and(|found| found <= Obstacle::Foreign) {
        return None;
    }
    let owners = &claim.metadata.owner_references;
    let is_owned_by = |uid: &str| owners.iter().any(|owner| owner.uid == uid);
    let set_uid = set.metadata.uid.as_str();
    let add = (with_set && !is_owned_by(set_uid)).then_some(Keeper::Set);
    let remove: Vec<String> = pod_uid
        .into_iter()
        .chain((!with_set).then_some(set_uid))
        .filter(|uid| is_owned_by(uid))
        .map(ToOwned::to_owned)
        .collect();
    (add.is_some() || !remove.is_empty()).then(|| change(id, claim, add, remove))
}

/// The change that makes a claim go with its Pod, whose deletion is certain.
pub fn handing_over(
    set: &GameServerSetView,
    id: Id,
    claim: &ClaimView,
    pod: &Keeper,
    pod_uid: &str,
) -> Option<ClaimStep> {
    let meta = &claim.metadata;
    if obstacle(set, id, claim, Some(pod_uid)).is_some_and(|found| found <= Obstacle::Foreign) {
        return None;
    }
    let is_owned_by = |uid: &str| meta.owner_references.iter().any(|owner| owner.uid == uid);
    let set_uid = &set.metadata.uid;
    let remove: Vec<String> = is_owned_by(set_uid)
        .then(|| set_uid.clone())
        .into_iter()
        .collect();
    let add = (!is_owned_by(pod_uid)).then(|| pod.clone());
    (add.is_some() || !remove.is_empty()).then(|| change(id, claim, add, remove))
}

fn change(id: Id, claim: &ClaimView, add: Option<Keeper>, remove: Vec<String>) -> ClaimStep {
    ClaimStep {
        id,
        name: claim.metadata.name.clone(),
        uid: claim.metadata.uid.clone(),
        resource_version: claim.metadata.resource_version.clone(),
        add,
        remove,
    }
}

fn look_at(
    plan: &mut VolumePlan,
    id: Id,
    claim: &ClaimView,
    pod: Option<&PodView>,
    set: &GameServerSetView,
    clock: Timestamp,
) {
    let runs = pod.is_some_and(|pod| pod.phase.as_deref() == Some("Running"));
    let obstacle = match obstacle(set, id, claim, pod.map(|pod| pod.metadata.uid.as_str())) {
        Some(Obstacle::Unbound) => {
            let made = claim.metadata.creation_timestamp.as_deref();
            let made = made
                .and_then(|time| time.parse::<Timestamp>().ok())
                .unwrap_or(clock);
            let left = BINDS_WITHIN - (clock.as_second() - made.as_second());
            if left > 0 {
                plan.changes_in = Some(plan.changes_in.map_or(left, |soonest| soonest.min(left)));
                return;
            }
            Obstacle::Unbound
        }
        // A running server has its volume; what is wrong with the claim shows when it is made again.
        Some(other) if !runs => other,
        _ => return,
    };
    let found = Blocked {
        claim: claim.metadata.name.clone(),
        obstacle,
    };
    let worst = plan.blocked.entry(id).or_insert_with(|| found.clone());
    if found.obstacle < worst.obstacle {
        *worst = found;
    }
}

/// What is wrong with a claim that the Pod of this UID, or a new one where there is none, would use.
pub fn obstacle(
    set: &GameServerSetView,
    id: Id,
    claim: &ClaimView,
    pod_uid: Option<&str>,
) -> Option<Obstacle> {
    let meta = &claim.metadata;
    if meta.is_terminating() {
        return Some(Obstacle::Terminating);
    }
    let pod_name = api_types::names::pod_name(&set.metadata.name, id);
    // An earlier set or Pod of the same name: the garbage collector is about to delete the claim. Other controllers: theirs.
    let foreign = meta.owner_references.iter().any(|owner| {
        let ours = owner.uid == set.metadata.uid || Some(owner.uid.as_str()) == pod_uid;
        let earlier = (owner.kind == keys::KIND_GAME_SERVER_SET && owner.name == set.metadata.name)
            || (owner.kind == "Pod" && owner.name == pod_name);
        !ours && (earlier || owner.controller)
    });
    match claim.phase.as_deref() {
        _ if foreign => Some(Obstacle::Foreign),
        Some("Lost") => Some(Obstacle::Lost),
        Some("Bound") => None,
        _ => Some(Obstacle::Unbound),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn set(with_set: bool, with_pod: bool) -> GameServerSetView {
        let when = |deletes| if deletes { "Delete" } else { "Retain" };
        serde_json::from_value(json!({
            "metadata": { "name": "arena", "uid": "set" },
            "spec": {
                "replicas": 1, "gameServerTemplate": {},
                "persistentVolumeClaimRetentionPolicy": { "whenDeleted": when(with_set), "whenScaled": when(with_pod) },
            },
        }))
        .unwrap()
    }

    fn claim(owners: &BTreeSet<&str>) -> ClaimView {
        let owner = |uid: &&str| json!({ "kind": "Any", "name": uid, "uid": uid });
        serde_json::from_value(json!({
            "metadata": {
                "name": "save-arena-3", "uid": "claim", "ownerReferences": owners.iter().map(owner).collect::<Vec<_>>(),
            },
            "status": { "phase": "Bound" },
        }))
        .unwrap()
    }

    fn pod() -> PodView {
        serde_json::from_value(json!({ "metadata": { "name": "arena-3", "uid": "pod" } })).unwrap()
    }

    /// The owners after the change, as UIDs.
    fn after<'a>(owners: &BTreeSet<&'a str>, step: Option<ClaimStep>) -> BTreeSet<&'a str> {
        let mut owners = owners.clone();
        if let Some(step) = step {
            owners.retain(|uid| !step.remove.iter().any(|removed| removed == uid));
            match step.add {
                Some(Keeper::Set) => drop(owners.insert("set")),
                Some(Keeper::Pod { .. }) => drop(owners.insert("pod")),
                None => {}
            }
        }
        owners
    }

    fn some_owners() -> impl Strategy<Value = BTreeSet<&'static str>> {
        prop::sample::subsequence(vec!["set", "pod", "other"], 0..=3)
            .prop_map(|found| found.into_iter().collect())
    }

    proptest! {
        // Whatever owners a claim has, one change brings those of ours in line, leaves others alone, and nothing follows it.
        #[test]
        fn owners_follow_the_policy(
            owners in some_owners(), with_set: bool, with_pod: bool, wanted: bool, has_pod: bool,
        ) {
            let (set, pod) = (set(with_set, with_pod), pod());
            let pod = has_pod.then_some(&pod);
            let change = |owners: &BTreeSet<&str>| step(&set, 3, &claim(owners), pod, wanted);
            let changed = after(&owners, change(&owners));
            let condemned = !wanted && with_pod;
            for owner in ["set", "pod", "other"] {
                let expected = match owner {
                    _ if condemned => owners.contains(owner),
                    "set" => with_set,
                    "pod" if has_pod => false,
                    _ => owners.contains(owner),
                };
                prop_assert_eq!(changed.contains(owner), expected, "{}", owner);
            }
            prop_assert_eq!(change(&changed), None);
        }

        #[test]
        fn a_claim_that_is_handed_over_goes_with_its_pod_and_not_with_the_set(owners in some_owners(), with_set: bool) {
            let set = set(with_set, true);
            let keeper = Keeper::Pod { name: "arena-3".into(), uid: "pod".into() };
            let change = |owners: &BTreeSet<&str>| handing_over(&set, 3, &claim(owners), &keeper, "pod");
            let changed = after(&owners, change(&owners));
            prop_assert!(changed.contains("pod") && !changed.contains("set"));
            prop_assert_eq!(changed.contains("other"), owners.contains("other"));
            prop_assert_eq!(change(&changed), None);
        }
    }

    #[test]
    fn a_claim_of_an_earlier_pod_or_of_another_controller_is_not_taken_over() {
        let owned = |kind: &str, name: &str, controller: bool| -> ClaimView {
            let owner = json!({ "kind": kind, "name": name, "uid": "stranger", "controller": controller });
            serde_json::from_value(json!({
                "metadata": { "name": "save-arena-3", "ownerReferences": [owner] }, "status": { "phase": "Bound" },
            }))
            .unwrap()
        };
        let set = set(true, true);
        let cases = [
            (owned("Pod", "arena-3", false), Some(Obstacle::Foreign)),
            (owned("GameServerSet", "arena", false), Some(Obstacle::Foreign)),
            (owned("Backup", "any", true), Some(Obstacle::Foreign)),
            (owned("Backup", "any", false), None),
        ];
        for (claim, expected) in cases {
            assert_eq!(obstacle(&set, 3, &claim, Some("pod")), expected);
            assert_eq!(step(&set, 3, &claim, None, true).is_none(), expected.is_some());
        }
    }
}

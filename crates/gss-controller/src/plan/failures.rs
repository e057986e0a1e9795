//! Failed servers: which have failed, which of them is counted for the first time, and what becomes of each.
//!
//! A failure is counted once for each Pod, in the write that stores the plan record, before anything is done about it. So a
//! controller that ends between the two finds it counted, and whoever is second gets 409 and finds it counted too.

use std::collections::BTreeSet;

use api_types::{FailureBehavior, FailurePolicy, Failures, GameServerSetSpec};

use super::ids::{Id, IdSet};

/// UIDs of Pods that are gone and remembered all the same: another controller's cache may still show one that was counted.
const REMEMBERED: usize = 50;
/// The most UIDs in the status, about 40 bytes each. Beyond, failures wait to be counted.
const MOST: usize = 500;

/// A server's Pod that may have failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect<'a> {
    /// The server's id.
    pub id: Id,
    /// The Pod's UID.
    pub pod_uid: &'a str,
    /// Its phase is Failed.
    pub pod_failed: bool,
    /// It reported that it has failed.
    pub reported: bool,
    /// When it was last heard, in seconds since 1970.
    pub heartbeat: Option<i64>,
    /// It is on its way out: nothing more is counted or done.
    pub leaving: bool,
}

/// What failures come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FailurePlan {
    /// The count to store.
    pub next: Option<Failures>,
    /// Servers to delete.
    pub delete: IdSet,
    /// Servers to take out of the set.
    pub remove: IdSet,
    /// Failed servers that stay as they are, because too many have failed.
    pub stuck: IdSet,
    /// Why each server has failed that is counted now for the first time.
    pub news: Vec<(Id, Why)>,
    /// Seconds until a heartbeat is overdue.
    pub wake: Option<i64>,
    /// The most failures the policy allows.
    pub limit: Option<i32>,
}

/// Why a server has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The phase of its Pod is Failed.
    Pod,
    /// It said so.
    Reported,
    /// It has not been heard for so many seconds.
    Silent(i64),
}

impl Why {
    /// In words.
    pub fn says(self) -> String {
        match self {
            Self::Pod => "its Pod has failed".to_owned(),
            Self::Reported => "it reported health Failed".to_owned(),
            Self::Silent(seconds) => format!("no heartbeat for {seconds} seconds"),
        }
    }
}

impl FailurePlan {
    /// Whether no more servers are replaced.
    pub fn needs_intervention(&self) -> bool {
        let count = self.next.as_ref().map_or(0, |failures| failures.count);
        count > 0 && self.limit.is_some_and(|limit| count >= limit)
    }
}

/// Decides about the servers of one set. `hash` is what its spec is now, `now` in seconds since 1970.
pub fn plan(
    policy: Option<&FailurePolicy>,
    before: Option<&Failures>,
    hash: &str,
    suspects: &[Suspect<'_>],
    now: i64,
) -> FailurePlan {
    let Some(policy) = policy else {
        return FailurePlan::default();
    };
    let mut plan = FailurePlan {
        limit: policy.max_failures,
        ..FailurePlan::default()
    };
    // A changed spec is the intervention: failures of before are forgotten, and those that are still there count anew.
    let known = before.filter(|before| before.spec_hash == hash);
    let mut next = Failures {
        spec_hash: hash.to_owned(),
        ..known.cloned().unwrap_or_default()
    };
    let present: BTreeSet<&str> = suspects.iter().map(|suspect| suspect.pod_uid).collect();
    forget(&mut next.pod_uids, &present);
    let mut counted: BTreeSet<String> = next.pod_uids.iter().cloned().collect();
    for suspect in suspects.iter().filter(|suspect| !suspect.leaving) {
        let Some(why) = judge(policy, suspect, now, &mut plan.wake) else {
            continue;
        };
        if !counted.contains(suspect.pod_uid) {
            if next.pod_uids.len() >= MOST {
                plan.stuck.insert(suspect.id);
                continue;
            }
            next.count = next.count.saturating_add(1);
            next.pod_uids.push(suspect.pod_uid.to_owned());
            counted.insert(suspect.pod_uid.to_owned());
            plan.news.push((suspect.id, why));
        }
        plan.decide(policy, &next, suspect);
    }
    // Nothing has failed, and nothing had: nothing is written.
    plan.next = (next.count > 0 || known.is_some()).then_some(next);
    plan
}

impl FailurePlan {
    /// The first `max_failures` that were counted are replaced. The place in the list tells which those are, however often
    /// the decision is made again.
    fn decide(&mut self, policy: &FailurePolicy, next: &Failures, suspect: &Suspect<'_>) {
        let place = next.pod_uids.iter().position(|uid| uid == suspect.pod_uid);
        let from_end = place.map_or(0, |place| next.pod_uids.len() - place - 1);
        let number = i64::from(next.count) - i64::try_from(from_end).unwrap_or(i64::MAX);
        if policy.max_failures.is_some_and(|limit| number > i64::from(limit)) {
            self.stuck.insert(suspect.id);
        } else if matches!(policy.behavior, Some(FailureBehavior::Delete)) {
            self.delete.insert(suspect.id);
        } else {
            self.remove.insert(suspect.id);
        }
    }
}

/// Whether a server has failed; `wake` is when to look again because of it.
fn judge(policy: &FailurePolicy, suspect: &Suspect<'_>, now: i64, wake: &mut Option<i64>) -> Option<Why> {
    if suspect.pod_failed {
        return Some(Why::Pod);
    }
    if suspect.reported {
        return Some(Why::Reported);
    }
    let silent = now - suspect.heartbeat?;
    let left = i64::from(policy.heartbeat_timeout_seconds?) - silent;
    if left <= 0 {
        return Some(Why::Silent(silent));
    }
    *wake = Some(wake.map_or(left, |wake| wake.min(left)));
    None
}

/// Leaves out the oldest of those that are gone, beyond those remembered.
fn forget(uids: &mut Vec<String>, present: &BTreeSet<&str>) {
    let gone = uids.iter().filter(|uid| !present.contains(uid.as_str())).count();
    let mut surplus = gone.saturating_sub(REMEMBERED);
    uids.retain(|uid| {
        let drop = surplus > 0 && !present.contains(uid.as_str());
        surplus -= usize::from(drop);
        !drop
    });
}

/// What a spec is, for counting failures: all that people write, and nothing that controllers do.
pub fn spec_hash(spec: &GameServerSetSpec) -> String {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let own = GameServerSetSpec {
        replicas: 0,
        reserve_game_server_ids: Vec::new(),
        ..spec.clone()
    };
    // A spec that came as JSON can be written as JSON.
    let text = serde_json::to_string(&own).unwrap_or_default();
    let hash = text
        .bytes()
        .fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn policy(behavior: FailureBehavior, max: Option<i32>) -> FailurePolicy {
        FailurePolicy {
            behavior: Some(behavior),
            max_failures: max,
            heartbeat_timeout_seconds: Some(10),
        }
    }

    fn suspect(id: Id, uid: &str) -> Suspect<'_> {
        Suspect {
            id,
            pod_uid: uid,
            pod_failed: false,
            reported: false,
            heartbeat: None,
            leaving: false,
        }
    }

    fn failed(id: Id, uid: &str) -> Suspect<'_> {
        Suspect {
            reported: true,
            ..suspect(id, uid)
        }
    }

    fn ids(set: &IdSet) -> Vec<Id> {
        set.iter().collect()
    }

    #[test]
    fn two_are_replaced_and_the_third_stays() {
        let policy = policy(FailureBehavior::Delete, Some(2));
        let first = plan(Some(&policy), None, "h", &[failed(0, "a"), suspect(1, "b")], 0);
        assert_eq!((ids(&first.delete), first.needs_intervention()), (vec![0], false));
        let second = plan(Some(&policy), first.next.as_ref(), "h", &[failed(1, "b")], 0);
        assert_eq!(
            (ids(&second.delete), second.needs_intervention()),
            (vec![1], true)
        );
        let all = [failed(0, "a2"), suspect(1, "b2")];
        let third = plan(Some(&policy), second.next.as_ref(), "h", &all, 0);
        assert_eq!((ids(&third.delete), ids(&third.stuck)), (vec![], vec![0]));
        assert_eq!(third.next.as_ref().unwrap().count, 3);
        let again = plan(Some(&policy), third.next.as_ref(), "h", &all, 0);
        assert_eq!((again.next, again.news), (third.next.clone(), vec![]));
        let changed = plan(Some(&policy), third.next.as_ref(), "other", &all, 0);
        assert_eq!(
            (ids(&changed.delete), changed.needs_intervention()),
            (vec![0], false)
        );
        assert_eq!(changed.next.unwrap().count, 1);
    }

    #[test]
    fn several_at_once_do_not_jump_over_the_limit() {
        let all = [failed(0, "a"), failed(1, "b"), failed(2, "c")];
        let found = plan(
            Some(&policy(FailureBehavior::Remove, Some(1))),
            None,
            "h",
            &all,
            0,
        );
        assert_eq!((ids(&found.remove), ids(&found.stuck)), (vec![0], vec![1, 2]));
        assert!(found.needs_intervention());
        let none = plan(
            Some(&policy(FailureBehavior::Remove, Some(0))),
            None,
            "h",
            &[suspect(0, "a")],
            0,
        );
        assert!(
            !none.needs_intervention() && none.next.is_none(),
            "nothing has failed yet"
        );
        let unlimited = plan(Some(&policy(FailureBehavior::Remove, None)), None, "h", &all, 0);
        assert_eq!(
            (ids(&unlimited.remove), unlimited.needs_intervention()),
            (vec![0, 1, 2], false)
        );
    }

    #[test]
    fn a_heartbeat_that_stops_is_a_failure_and_one_that_never_was_is_none() {
        let policy = policy(FailureBehavior::Delete, None);
        let heard = |at| Suspect {
            heartbeat: Some(at),
            ..suspect(0, "a")
        };
        let early = plan(Some(&policy), None, "h", &[heard(100)], 103);
        assert_eq!((ids(&early.delete), early.wake), (vec![], Some(7)));
        let late = plan(Some(&policy), None, "h", &[heard(100)], 110);
        assert_eq!(late.news, [(0, Why::Silent(10))]);
        let never = plan(Some(&policy), None, "h", &[suspect(0, "a")], 999);
        assert_eq!((never.wake, never.next), (None, None));
    }

    #[test]
    fn without_a_policy_nothing_is_judged() {
        assert_eq!(
            plan(None, None, "h", &[failed(0, "a")], 0),
            FailurePlan::default()
        );
    }

    #[test]
    fn what_controllers_write_is_no_intervention() {
        let spec = |text: serde_json::Value| -> GameServerSetSpec { serde_json::from_value(text).unwrap() };
        let hash = |text| spec_hash(&spec(text));
        let one = hash(serde_json::json!({ "replicas": 3 }));
        assert_eq!(
            one,
            hash(serde_json::json!({ "replicas": 9, "reserveGameServerIds": [1] }))
        );
        assert_ne!(
            one,
            hash(serde_json::json!({ "replicas": 3, "failurePolicy": { "maxFailures": 5 } }))
        );
    }

    proptest! {
        // Against a count kept by hand over a whole history of servers that fail, come and go, and of controllers that
        // plan twice or not at all.
        #[test]
        fn each_pod_is_counted_once_and_the_first_ones_are_replaced(
            limit in proptest::option::of(0..6_i32),
            steps in proptest::collection::vec((0..4_u32, any::<bool>(), 1..4_usize), 1..40),
        ) {
            let policy = policy(FailureBehavior::Delete, limit);
            let mut stored: Option<Failures> = None;
            let mut pods: BTreeMap<Id, (u32, bool)> = (0..4).map(|id| (id, (0, false))).collect();
            let mut seen: BTreeSet<String> = BTreeSet::new();
            let mut order: Vec<String> = Vec::new();
            for (id, fails, looks) in steps {
                pods.get_mut(&id).unwrap().1 |= fails;
                let uids: Vec<(Id, String, bool)> =
                    pods.iter().map(|(id, (run, failed))| (*id, format!("{id}.{run}"), *failed)).collect();
                for (_, uid, _) in uids.iter().filter(|(_, uid, failed)| *failed && !seen.contains(uid)) {
                    order.push(uid.clone());
                }
                seen.extend(uids.iter().filter(|(_, _, failed)| *failed).map(|(_, uid, _)| uid.clone()));
                let suspects: Vec<Suspect<'_>> = uids.iter()
                    .map(|(id, uid, failed)| Suspect { reported: *failed, ..suspect(*id, uid) })
                    .collect();
                let mut last = FailurePlan::default();
                for _ in 0..looks {
                    last = plan(Some(&policy), stored.as_ref(), "h", &suspects, 0);
                    stored = last.next.clone();
                }
                prop_assert_eq!(stored.as_ref().map_or(0, |failures| failures.count) as usize, order.len());
                for (id, uid, failed) in &uids {
                    let place = order.iter().position(|counted| counted == uid);
                    let replaced = place.is_some_and(|place| limit.is_none_or(|limit| place < limit as usize));
                    prop_assert_eq!(last.delete.contains(*id), *failed && replaced);
                    prop_assert_eq!(last.stuck.contains(*id), *failed && !replaced);
                    if *failed && replaced {
                        pods.insert(*id, (uid.split('.').nth(1).unwrap().parse::<u32>().unwrap() + 1, false));
                    }
                }
            }
        }
    }
}

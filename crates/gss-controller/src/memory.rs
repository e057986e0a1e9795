//! What this process did that its caches do not show yet.
//!
//! Nothing here is needed for safety: names are deterministic and every write has a precondition. It keeps a stale cache
//! from planning the same thing twice. Everything expires, so a lost watch event costs seconds and no more.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use api_types::Meta;
use controller_kit::{key::ObjectKey, store::Store};

use crate::{
    metrics,
    plan::{backoff::End, ids::Id, volumes::Blocked},
    status::hooks::Waiting,
    views::{PodView, RevisionView},
};

/// How long an own write is remembered without its event. Watches lag by milliseconds; a relist takes seconds.
const EXPIRY: Duration = Duration::from_secs(10);
/// How long a Pod name that somebody else uses is left alone. The watch cannot tell when such a Pod goes away.
const BLOCKED_FOR: Duration = Duration::from_secs(30);

/// Own writes of one set that its caches do not show yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pending {
    /// UIDs of created Pods by id.
    pub created: BTreeMap<Id, String>,
    /// UIDs of Pods whose deletion was accepted.
    pub deleted: Vec<String>,
    /// Reasons of claims by the claimed Pod's UID.
    pub claimed: HashMap<String, String>,
    /// Ids whose Pod name somebody else uses, and what was found.
    pub blocked: BTreeMap<Id, String>,
    /// UIDs of ended Pods whose replacement waits, and for how long still.
    pub backing_off: BTreeMap<String, Duration>,
    /// Names of volume claims that are there, though the cache does not show them.
    pub made_claims: BTreeSet<String>,
    /// Ids for which somebody else's volume claim is in the way.
    pub blocked_claims: BTreeMap<Id, Blocked>,
    /// Versions of Pods after our latest write to them, by UID.
    pub touched: HashMap<String, u64>,
    /// Pods that cannot be changed in place, by UID: to which revision, and why.
    pub refused: HashMap<String, (String, String)>,
    /// The revision that a Pod of unknown origin was compared with and is not, by its UID.
    pub compared: HashMap<String, String>,
    /// Revisions that were stored or bumped.
    pub revisions: Vec<Arc<RevisionView>>,
    /// Names of revisions that other objects have.
    pub taken: BTreeSet<String>,
}

impl Pending {
    /// Whether a later look may see more than this one without any event.
    pub fn is_empty(&self) -> bool {
        // Claims found to be there need no second look; the Pods they are for tell when they start. What was learned about a Pod
        // stays true.
        let rest = Self {
            made_claims: BTreeSet::new(),
            refused: HashMap::new(),
            compared: HashMap::new(),
            ..self.clone()
        };
        rest == Self::default()
    }

    /// Whether this is a Pod as it was before our latest write to it.
    pub fn is_behind(&self, pod: &Meta) -> bool {
        let written = self.touched.get(&pod.uid);
        written.is_some_and(|written| {
            pod.resource_version
                .parse::<u64>()
                .is_ok_and(|seen| seen < *written)
        })
    }
}

#[derive(Debug, Default)]
struct SetMemory {
    /// UID of the set; a later set of the same name starts afresh.
    uid: String,
    created: HashMap<Id, (String, Instant)>,
    deleted: HashMap<String, Instant>,
    claimed: HashMap<String, (String, Instant)>,
    blocked: BTreeMap<Id, (String, Instant)>,
    ends: HashMap<Id, End>,
    made_claims: HashMap<String, Instant>,
    /// By name, the UID of the Pod for which the claim was made again. No watch shows claims without the set's label: they are
    /// looked for once for each Pod.
    remade_claims: HashMap<String, String>,
    blocked_claims: BTreeMap<Id, (Blocked, Instant)>,
    waiting: Vec<Waiting>,
    namespace_ending: bool,
    touched: HashMap<String, (u64, Instant)>,
    refused: HashMap<String, (String, String)>,
    compared: HashMap<String, String>,
    revisions: BTreeMap<String, (Arc<RevisionView>, Instant)>,
    taken: BTreeMap<String, Instant>,
    /// Resource version of the latest own write to the set.
    version: Option<(u64, Instant)>,
    creation_failed: bool,
    status_written: Option<Instant>,
}

impl SetMemory {
    /// What concerns updates.
    fn updates(&mut self, now: Instant) -> Pending {
        let younger = |at: &Instant, limit| now.saturating_duration_since(*at) < limit;
        self.touched.retain(|_, (_, at)| younger(at, EXPIRY));
        self.revisions.retain(|_, (_, at)| younger(at, EXPIRY));
        self.taken.retain(|_, at| younger(at, BLOCKED_FOR));
        let touched = self.touched.iter();
        let revisions = self.revisions.values();
        Pending {
            touched: touched
                .map(|(uid, (version, _))| (uid.clone(), *version))
                .collect(),
            refused: self.refused.clone(),
            compared: self.compared.clone(),
            revisions: revisions.map(|(found, _)| Arc::clone(found)).collect(),
            taken: self.taken.keys().cloned().collect(),
            ..Pending::default()
        }
    }
}

/// The memory of all sets.
#[derive(Debug, Default)]
pub struct Memory {
    sets: Mutex<HashMap<ObjectKey, SetMemory>>,
}

impl Memory {
    /// What is still pending for this set, after forgetting what the Pod cache shows by now. Deletions and claims that
    /// a cache shows too do no harm: they say the same thing.
    pub fn pending(&self, key: &ObjectKey, uid: &str, pods: &Store<PodView>, now: Instant) -> Pending {
        let fresh = |at: &Instant| now.saturating_duration_since(*at) < EXPIRY;
        let named =
            |id: &Id| ObjectKey::new(key.namespace.clone(), api_types::names::pod_name(&key.name, *id));
        self.with(key, uid, |set| {
            set.created.retain(|id, (uid, at)| {
                fresh(at) && pods.get(&named(id)).is_none_or(|pod| pod.metadata.uid != *uid)
            });
            set.deleted.retain(|_, at| fresh(at));
            set.claimed.retain(|_, (_, at)| fresh(at));
            set.blocked
                .retain(|_, (_, at)| now.saturating_duration_since(*at) < BLOCKED_FOR);
            set.made_claims.retain(|_, at| fresh(at));
            set.blocked_claims
                .retain(|_, (_, at)| now.saturating_duration_since(*at) < BLOCKED_FOR);
            Pending {
                created: set
                    .created
                    .iter()
                    .map(|(id, (uid, _))| (*id, uid.clone()))
                    .collect(),
                deleted: set.deleted.keys().cloned().collect(),
                claimed: set
                    .claimed
                    .iter()
                    .map(|(uid, (reason, _))| (uid.clone(), reason.clone()))
                    .collect(),
                backing_off: BTreeMap::new(),
                made_claims: set
                    .made_claims
                    .keys()
                    .chain(set.remade_claims.keys())
                    .cloned()
                    .collect(),
                blocked_claims: set
                    .blocked_claims
                    .iter()
                    .map(|(id, (what, _))| (*id, what.clone()))
                    .collect(),
                blocked: set
                    .blocked
                    .iter()
                    .map(|(id, (what, _))| (*id, what.clone()))
                    .collect(),
                ..set.updates(now)
            }
        })
    }

    /// Which of these ended Pods are not to be replaced yet, by UID, and how long they stay.
    pub fn ended<'a>(
        &self,
        key: &ObjectKey,
        uid: &str,
        ended: impl Iterator<Item = (Id, &'a str)>,
        now: Instant,
    ) -> BTreeMap<String, Duration> {
        self.with(key, uid, |set| {
            let mut waiting = BTreeMap::new();
            for (id, pod_uid) in ended {
                let before = set.ends.get(&id);
                let end = match before.filter(|end| end.pod_uid == pod_uid) {
                    Some(same) => same.clone(),
                    None => End::after(before, pod_uid, now),
                };
                if let Some(left) = end.left(now) {
                    waiting.insert(pod_uid.to_owned(), left);
                }
                set.ends.insert(id, end);
            }
            set.ends.retain(|_, end| !end.is_over(now));
            waiting
        })
    }

    /// A Pod was created.
    pub fn created(&self, key: &ObjectKey, set_uid: &str, id: Id, pod_uid: &str, now: Instant) {
        self.with(key, set_uid, |set| {
            set.creation_failed = false;
            set.created.insert(id, (pod_uid.to_owned(), now));
        });
    }

    /// A Pod's deletion was accepted.
    pub fn deleted(&self, key: &ObjectKey, set_uid: &str, pod_uid: &str, now: Instant) {
        self.with(key, set_uid, |set| set.deleted.insert(pod_uid.to_owned(), now));
    }

    /// A deletion claim was written.
    pub fn claimed(&self, key: &ObjectKey, set_uid: &str, pod_uid: &str, reason: &str, now: Instant) {
        self.with(key, set_uid, |set| {
            set.claimed.insert(pod_uid.to_owned(), (reason.to_owned(), now))
        });
    }

    /// The name of this id's Pod is somebody else's.
    pub fn blocked(&self, key: &ObjectKey, set_uid: &str, id: Id, what: String, now: Instant) {
        self.with(key, set_uid, |set| set.blocked.insert(id, (what, now)));
    }

    /// The API server refused a Pod of this set: until one is accepted, they are tried one at a time.
    pub fn creation_failed(&self, key: &ObjectKey, set_uid: &str) {
        self.with(key, set_uid, |set| set.creation_failed = true);
    }

    /// Whether the last creation was refused.
    pub fn is_creation_failing(&self, key: &ObjectKey, set_uid: &str) -> bool {
        self.with(key, set_uid, |set| set.creation_failed)
    }

    /// A Pod was changed, and has this version now.
    pub fn touched(&self, key: &ObjectKey, set_uid: &str, pod_uid: &str, version: &str, now: Instant) {
        if let Ok(version) = version.parse() {
            self.with(key, set_uid, |set| {
                set.touched.insert(pod_uid.to_owned(), (version, now))
            });
        }
    }

    /// Somebody changed this Pod after the version the cache has.
    pub fn overtaken(&self, key: &ObjectKey, set_uid: &str, pod: &Meta, now: Instant) {
        let next = pod
            .resource_version
            .parse::<u64>()
            .map(|seen| seen.saturating_add(1));
        if let Ok(next) = next {
            self.with(key, set_uid, |set| {
                set.touched.insert(pod.uid.clone(), (next, now))
            });
        }
    }

    /// The API server will not have this Pod changed in place to this revision.
    pub fn refused(&self, key: &ObjectKey, set_uid: &str, pod_uid: &str, revision: &str, why: String) {
        self.with(key, set_uid, |set| {
            set.refused.insert(pod_uid.to_owned(), (revision.to_owned(), why))
        });
    }

    /// This Pod is not what this revision makes.
    pub fn compared(&self, key: &ObjectKey, set_uid: &str, pod_uid: &str, revision: &str) {
        self.with(key, set_uid, |set| {
            set.compared.insert(pod_uid.to_owned(), revision.to_owned())
        });
    }

    /// A revision was stored or bumped.
    pub fn stored(&self, key: &ObjectKey, set_uid: &str, revision: RevisionView, now: Instant) {
        let name = revision.metadata.name.clone();
        self.with(key, set_uid, |set| {
            set.revisions.insert(name, (Arc::new(revision), now))
        });
    }

    /// The name of a revision is another object's.
    pub fn taken(&self, key: &ObjectKey, set_uid: &str, name: String, now: Instant) {
        self.with(key, set_uid, |set| set.taken.insert(name, now));
    }

    /// A watch says that this Pod is gone.
    pub fn gone(&self, key: &ObjectKey, pod_uid: &str) {
        if let Some(set) = self.lock().get_mut(key) {
            set.created.retain(|_, (uid, _)| uid != pod_uid);
            set.deleted.remove(pod_uid);
            set.claimed.remove(pod_uid);
            set.remade_claims.retain(|_, uid| uid != pod_uid);
            set.touched.remove(pod_uid);
            set.refused.remove(pod_uid);
            set.compared.remove(pod_uid);
        }
    }

    /// A volume claim was made, or found to be there.
    pub fn made_claim(&self, key: &ObjectKey, set_uid: &str, name: &str, now: Instant) {
        self.with(key, set_uid, |set| set.made_claims.insert(name.to_owned(), now));
    }

    /// A watch says that this volume claim is gone.
    pub fn claim_gone(&self, key: &ObjectKey, name: &str) {
        if let Some(set) = self.lock().get_mut(key) {
            set.made_claims.remove(name);
            set.remade_claims.remove(name);
        }
    }

    /// A volume claim was made again for this Pod, or found to be there.
    pub fn remade_claim(&self, key: &ObjectKey, set_uid: &str, name: &str, pod_uid: &str) {
        self.with(key, set_uid, |set| {
            set.remade_claims.insert(name.to_owned(), pod_uid.to_owned())
        });
    }

    /// Somebody else's volume claim is in the way of this id.
    pub fn claim_blocked(&self, key: &ObjectKey, set_uid: &str, id: Id, what: Blocked, now: Instant) {
        self.with(key, set_uid, |set| set.blocked_claims.insert(id, (what, now)));
    }

    /// The set was written; a cache that shows an older version is behind.
    pub fn wrote(&self, key: &ObjectKey, set_uid: &str, resource_version: &str, now: Instant) {
        // Versions of one resource are integers that grow; where one is not, the preconditions have to do.
        if let Ok(version) = resource_version.parse() {
            self.with(key, set_uid, |set| set.version = Some((version, now)));
        }
    }

    /// Whether the cached set is older than an own write to it.
    pub fn is_ahead(&self, key: &ObjectKey, set_uid: &str, cached: &str, now: Instant) -> bool {
        self.with(key, set_uid, |set| {
            set.version.is_some_and(|(written, at)| {
                now.saturating_duration_since(at) < EXPIRY
                    && cached.parse::<u64>().is_ok_and(|cached| cached < written)
            })
        })
    }

    /// Counts a status write now.
    pub fn status_written(&self, key: &ObjectKey, set_uid: &str, now: Instant) {
        self.with(key, set_uid, |set| set.status_written = Some(now));
    }

    /// How long ago the status was written; `None` when not by this process.
    pub fn status_age(&self, key: &ObjectKey, set_uid: &str, now: Instant) -> Option<Duration> {
        self.with(key, set_uid, |set| {
            set.status_written.map(|at| now.saturating_duration_since(at))
        })
    }

    /// The namespace is being deleted. Whether that is news.
    pub fn first_refusal(&self, key: &ObjectKey, set_uid: &str) -> bool {
        self.with(key, set_uid, |set| {
            !std::mem::replace(&mut set.namespace_ending, true)
        })
    }

    /// What waits for hooks in this set now; the metrics show the sum over all sets.
    pub fn waiting(&self, key: &ObjectKey, set_uid: &str, waiting: &[Waiting]) {
        let before = self.with(key, set_uid, |set| {
            std::mem::replace(&mut set.waiting, waiting.to_vec())
        });
        if before != waiting {
            self.show_waiting();
        }
    }

    fn show_waiting(&self) {
        let sets = self.lock();
        metrics::hooks_waiting(sets.values().flat_map(|set| &set.waiting));
    }

    /// The set is gone.
    pub fn forget(&self, key: &ObjectKey) {
        let gone = self.lock().remove(key);
        if gone.is_some_and(|set| !set.waiting.is_empty()) {
            self.show_waiting();
        }
    }

    fn with<R>(&self, key: &ObjectKey, uid: &str, act: impl FnOnce(&mut SetMemory) -> R) -> R {
        let mut sets = self.lock();
        let set = sets.entry(key.clone()).or_default();
        if set.uid != uid {
            *set = SetMemory {
                uid: uid.to_owned(),
                ..SetMemory::default()
            };
        }
        act(set)
    }

    // Nothing can panic under the lock, and if it did the process would end.
    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, SetMemory>> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

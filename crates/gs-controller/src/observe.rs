//! Reads what is known about one game server from the caches.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use controller_kit::{echo::Version, key::ObjectKey, store::Store};

use crate::{
    conditions::{Claim, ClaimState},
    plan::Observed,
    views::{ClaimView, GameServerView, PodView, SetView, VolumeView},
};

/// Index of the Pods by namespace and name of their set.
pub(crate) const PODS_BY_SET: &str = "set";

/// The caches.
#[derive(Clone)]
pub(crate) struct Stores {
    /// Pods that carry a set's name.
    pub pods: Store<PodView>,
    /// GameServers.
    pub game_servers: Store<GameServerView>,
    /// GameServerSets.
    pub sets: Store<SetView>,
    /// PersistentVolumeClaims.
    pub claims: Store<ClaimView>,
    /// PersistentVolumes; `None` when they are not watched.
    pub volumes: Option<Store<VolumeView>>,
}

/// What the caches hold about one game server at one time.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// Its Pod.
    pub pod: Option<Arc<PodView>>,
    /// Its GameServer.
    pub game_server: Option<Arc<GameServerView>>,
    set: Option<Arc<SetView>>,
    claims: Vec<Claim>,
}

impl Stores {
    /// Reads the caches. The parts may be of different ages: no plan may depend on them being of one.
    pub(crate) fn observe(&self, key: &ObjectKey) -> Snapshot {
        let pod = self.pods.get(key);
        let set = pod.as_ref().and_then(|pod| pod.set()).and_then(|owner| {
            self.sets
                .get(&ObjectKey::new(Arc::clone(&key.namespace), owner.name.as_str()))
        });
        let claims = pod
            .as_ref()
            .map(|pod| self.claims_of(key, pod))
            .unwrap_or_default();
        Snapshot {
            pod,
            game_server: self.game_servers.get(key),
            set,
            claims,
        }
    }

    fn claims_of(&self, key: &ObjectKey, pod: &PodView) -> Vec<Claim> {
        let of = |name: &String| Claim {
            namespace: key.namespace.to_string(),
            name: name.clone(),
            state: self.claim_state(&ObjectKey::new(Arc::clone(&key.namespace), name.as_str())),
        };
        pod.claims.iter().map(of).collect()
    }

    fn claim_state(&self, key: &ObjectKey) -> ClaimState {
        let Some(claim) = self.claims.get(key) else {
            return ClaimState::Missing;
        };
        let Some(volume) = &claim.volume_name else {
            return ClaimState::Unbound;
        };
        let Some(volumes) = &self.volumes else {
            return ClaimState::Bound;
        };
        volumes
            .get(&ObjectKey::new("", volume.as_str()))
            .map_or(ClaimState::Unbound, |volume| ClaimState::Volume {
                reason: volume.reason.clone(),
                message: volume.message.clone(),
            })
    }
}

impl Snapshot {
    /// The snapshot as the plan takes it.
    pub(crate) fn observed(&self) -> Observed<'_> {
        Observed {
            pod: self.pod.as_deref(),
            game_server: self.game_server.as_deref(),
            set: self.set.as_deref(),
            claims: &self.claims,
        }
    }

    /// Identity and version of the cached GameServer.
    pub(crate) fn version(&self) -> Option<Version<'_>> {
        self.game_server.as_ref().map(|game_server| Version {
            uid: &game_server.metadata.uid,
            resource_version: &game_server.metadata.resource_version,
        })
    }
}

/// Which Pods use which volume claim, so that an event of a claim or a volume finds its Pods without a search.
#[derive(Debug, Default)]
pub(crate) struct ClaimUsers {
    pods: Mutex<HashMap<ObjectKey, HashSet<ObjectKey>>>,
}

impl ClaimUsers {
    /// A Pod's claims are no longer `old` but `new`.
    pub(crate) fn change(&self, pod: &ObjectKey, old: &[String], new: &[String]) {
        if old == new {
            return;
        }
        let claim_key = |name: &String| ObjectKey::new(Arc::clone(&pod.namespace), name.as_str());
        let mut pods = self.lock();
        for claim in old.iter().map(claim_key) {
            if let Some(users) = pods.get_mut(&claim) {
                users.remove(pod);
                if users.is_empty() {
                    pods.remove(&claim);
                }
            }
        }
        for claim in new.iter().map(claim_key) {
            pods.entry(claim).or_default().insert(pod.clone());
        }
    }

    /// The Pods that use a claim.
    pub(crate) fn of(&self, claim: &ObjectKey) -> Vec<ObjectKey> {
        self.lock().get(claim).into_iter().flatten().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, HashSet<ObjectKey>>> {
        // No code that can panic runs under the lock.
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_find_their_pods_and_leave_nothing_behind() {
        let (users, a, b) = (
            ClaimUsers::default(),
            ObjectKey::new("games", "a-0"),
            ObjectKey::new("games", "b-0"),
        );
        let shared = ObjectKey::new("games", "maps");
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        users.change(&a, &[], &names(&["maps", "save-a-0"]));
        users.change(&b, &[], &names(&["maps"]));
        assert_eq!(users.of(&shared).len(), 2);
        users.change(&a, &names(&["maps", "save-a-0"]), &names(&["save-a-0"]));
        assert_eq!(users.of(&shared), std::slice::from_ref(&b));
        assert_eq!(users.of(&ObjectKey::new("other", "maps")), []);
        users.change(&a, &names(&["save-a-0"]), &[]);
        users.change(&b, &names(&["maps"]), &[]);
        assert!(users.lock().is_empty());
    }
}

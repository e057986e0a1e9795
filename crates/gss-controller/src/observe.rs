//! What the caches show of one set, with this process's own latest writes in it.

mod servers;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Instant,
};

use api_types::{
    GameServerSetView,
    eviction::Policy,
    keys::{annotation, label},
    names,
    views::{Meta, OwnerRef},
};
use controller_kit::{key::ObjectKey, store::Store};
use jiff::Timestamp;

use crate::{
    build::template::Template,
    memory::{Memory, Pending},
    plan::{
        ids::{BadItem, Id, IdSet},
        record::Record,
        revisions::{self, RevisionInput, Revisions},
        server::Server,
    },
    views::{BudgetView, ClaimView, GameServerView, PodView, RemovedView, RevisionView},
};

pub use self::servers::{Availability, availability, lifecycle, min_ready_seconds};
use self::servers::{has_ended, servers};

/// Index of Pods, GameServers and claims by the set their label names: `namespace/set`.
pub const BY_SET: &str = "set";

/// Index of sets and PodDisruptionBudgets by their namespace.
pub const BY_NAMESPACE: &str = "namespace";

/// An object's value in [`BY_SET`].
pub fn set_of(meta: &Meta) -> Option<String> {
    Some(format!("{}/{}", meta.namespace, meta.label(label::OWNER_GSS)?))
}

/// A removed Pod's value in [`BY_SET`].
pub fn removed_from(meta: &Meta) -> Option<String> {
    Some(format!(
        "{}/{}",
        meta.namespace,
        meta.label(label::REMOVED_FROM_GSS)?
    ))
}

/// The caches.
pub struct Stores {
    /// GameServerSets.
    pub sets: Store<GameServerSetView>,
    /// Pods with the owner label.
    pub pods: Store<PodView>,
    /// GameServers.
    pub game_servers: Store<GameServerView>,
    /// Pods that were taken out of their sets.
    pub removed: Store<RemovedView>,
    /// Volume claims with the owner label.
    pub claims: Store<ClaimView>,
    /// ControllerRevisions with the owner label.
    pub revisions: Store<RevisionView>,
    /// PodDisruptionBudgets, indexed by namespace.
    pub budgets: Store<BudgetView>,
    /// Who may evict servers of sets that say nothing.
    pub default_eviction: Policy,
    /// Whether the cluster changes CPU and memory of running Pods, once it has answered.
    pub can_resize: Arc<OnceLock<bool>>,
}

/// A Pod that carries the set's label and is not the set's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// Its name.
    pub name: String,
    /// Its controller's kind and name; `None` for a Pod without one.
    pub controller: Option<String>,
    /// Whether it is one of the set's servers, still controlled by the OpenKruise workload of the set's name.
    pub of_kruise: bool,
}

/// Everything a plan for one set is made from.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The set.
    pub set: Arc<GameServerSetView>,
    /// Its stored plan.
    pub record: Option<Record>,
    /// The understood part of `spec.reserveGameServerIds`, and the rest.
    pub reserved: (IdSet, Vec<BadItem>),
    /// The annotation `reserve-ids`.
    pub acknowledged: IdSet,
    /// The set's own Pods.
    pub pods: BTreeMap<Id, Arc<PodView>>,
    /// The GameServers of those Pods, and those that outlive theirs.
    pub game_servers: BTreeMap<Id, Arc<GameServerView>>,
    /// Pods with the set's label that are not the set's.
    pub strangers: Vec<Stranger>,
    /// Ids whose names belong to Pods that were taken out of the set.
    pub removed: IdSet,
    /// Volume claims with the set's label, by name.
    pub claims: BTreeMap<String, Arc<ClaimView>>,
    /// PodDisruptionBudgets of its namespace, by name.
    pub budgets: Vec<Arc<BudgetView>>,
    /// Who may evict servers of sets that say nothing.
    pub default_eviction: Policy,
    /// The history of its template.
    pub history: History,
    /// Own writes not in the above.
    pub pending: Pending,
    /// Servers as the planner sees them, by ascending id.
    pub servers: Vec<Server>,
    /// When.
    pub clock: Timestamp,
}

impl Observed {
    /// How many of the set's servers still belong to its OpenKruise workload. While there is one, the set is not ours: which
    /// ids it has is written in that workload, and its holes look like missing Pods here.
    pub fn awaiting_take_over(&self) -> usize {
        self.strangers.iter().filter(|found| found.of_kruise).count()
    }
}

/// The history of a set's template.
#[derive(Debug, Clone)]
pub struct History {
    /// The set's own ControllerRevisions, by name.
    pub stored: BTreeMap<String, Arc<RevisionView>>,
    /// Which revision is wanted, and what is to be written.
    pub revisions: Revisions,
    /// Whether the cluster changes CPU and memory of running Pods; `None` until it has answered.
    pub can_resize: Option<bool>,
}

impl History {
    /// Puts the history of `set` together; `labelled` are the revisions with the set's label.
    pub fn of(
        set: &GameServerSetView,
        labelled: Vec<Arc<RevisionView>>,
        pods: &BTreeMap<Id, Arc<PodView>>,
        pending: &Pending,
        can_resize: Option<bool>,
    ) -> Self {
        let mut stored: BTreeMap<String, Arc<RevisionView>> = BTreeMap::new();
        for found in labelled.into_iter().chain(pending.revisions.iter().cloned()) {
            let owner = found.metadata.controller();
            let ours = owner.is_some_and(|owner| owner.uid == set.metadata.uid);
            let name = &found.metadata.name;
            if ours && stored.get(name).is_none_or(|seen| seen.revision < found.revision) {
                stored.insert(name.clone(), found);
            }
        }
        let names: Vec<&str> = pods
            .values()
            .filter_map(|pod| pod.metadata.label(label::CONTROLLER_REVISION_HASH))
            .collect();
        let status = &set.status;
        let revisions = revisions::plan(&RevisionInput {
            set: &set.metadata.name,
            template: &Template::of(set),
            stored: &stored,
            taken: &pending.taken,
            before: (
                status.current_revision.as_deref(),
                status.update_revision.as_deref(),
            ),
            of_pods: &names,
        });
        Self {
            stored,
            revisions,
            can_resize,
        }
    }
}

impl Stores {
    /// The set with this key; `None` when it is gone.
    pub fn observe(
        &self,
        key: &ObjectKey,
        memory: &Memory,
        now: Instant,
        clock: Timestamp,
    ) -> Option<Observed> {
        let set = self.sets.get(key)?;
        let mut pending = memory.pending(key, &set.metadata.uid, &self.pods, now);
        let index = key.to_string();
        let pods = self.pods.by_index(BY_SET, &index);
        let ended = pods
            .iter()
            .filter(|pod| has_ended(pod) && !pod.metadata.is_terminating())
            .filter_map(|pod| Some((id_in(&set, &pod.metadata.name)?, pod.metadata.uid.as_str())));
        pending.backing_off = memory.ended(key, &set.metadata.uid, ended, now);
        let claims = self.claims.by_index(BY_SET, &index);
        let mut observed = assemble(
            set,
            pods,
            |name| {
                self.game_servers
                    .get(&ObjectKey::new(key.namespace.clone(), name))
            },
            self.game_servers.by_index(BY_SET, &index),
            (
                self.revisions.by_index(BY_SET, &index),
                self.can_resize.get().copied(),
            ),
            pending,
            clock,
        );
        let removed = self.removed.by_index(BY_SET, &index);
        observed.removed = removed
            .iter()
            .filter_map(|pod| id_in(&observed.set, &pod.metadata.name))
            .collect();
        let named = |claim: Arc<ClaimView>| (claim.metadata.name.clone(), claim);
        observed.claims = claims.into_iter().map(named).collect();
        observed.budgets = self.budgets.by_index(BY_NAMESPACE, &key.namespace);
        observed
            .budgets
            .sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        observed.default_eviction = self.default_eviction;
        Some(observed)
    }
}

/// Puts the parts together. `game_server` finds one by name, whatever its labels; `labelled` are those with the set's
/// label.
pub fn assemble(
    set: Arc<GameServerSetView>,
    labelled_pods: Vec<Arc<PodView>>,
    game_server: impl Fn(&str) -> Option<Arc<GameServerView>>,
    labelled: Vec<Arc<GameServerView>>,
    (labelled_revisions, can_resize): (Vec<Arc<RevisionView>>, Option<bool>),
    pending: Pending,
    clock: Timestamp,
) -> Observed {
    let (pods, strangers) = sort_pods(&set, labelled_pods);
    let mut game_servers = BTreeMap::new();
    for found in labelled {
        // Without a Pod only those that the set itself owns mean anything: the others vanish with their Pods.
        let kept = found
            .metadata
            .controller()
            .is_some_and(|owner| owner.uid == set.metadata.uid);
        if let Some(id) = id_in(&set, &found.metadata.name).filter(|_| kept) {
            game_servers.insert(id, found);
        }
    }
    for (id, pod) in &pods {
        match game_server(&pod.metadata.name).filter(|found| speaks_for(found, &set, &pod.metadata.uid)) {
            Some(found) => game_servers.insert(*id, found),
            None => game_servers.remove(id),
        };
    }
    let acknowledged = set
        .metadata
        .annotation(annotation::RESERVE_IDS)
        .map(IdSet::parse_joined)
        .unwrap_or_default();
    let history = History::of(&set, labelled_revisions, &pods, &pending, can_resize);
    let mut observed = Observed {
        record: set.status.plan.as_ref().map(Record::from_api),
        reserved: IdSet::parse_items(&set.spec.reserve_game_server_ids),
        acknowledged,
        pods,
        game_servers,
        strangers,
        history,
        pending,
        removed: IdSet::new(),
        claims: BTreeMap::new(),
        budgets: Vec::new(),
        default_eviction: Policy::default(),
        servers: Vec::new(),
        clock,
        set,
    };
    observed.servers = servers(&observed, clock);
    observed
}

/// Whether a GameServer is about this very Pod, or about whatever Pod its server has. An earlier Pod's GameServer of the
/// same name, not collected yet, says nothing about this one.
pub fn speaks_for(game_server: &GameServerView, set: &GameServerSetView, pod_uid: &str) -> bool {
    match game_server.metadata.controller() {
        Some(owner) => owner.uid == pod_uid || owner.uid == set.metadata.uid,
        // Made by hand or restored without owners: the name is all there is.
        None => true,
    }
}

/// The id in the name of one of the set's Pods or GameServers.
pub fn id_in(set: &GameServerSetView, name: &str) -> Option<Id> {
    names::ordinal_of(name).filter(|id| names::pod_name(&set.metadata.name, *id) == name)
}

fn sort_pods(
    set: &GameServerSetView,
    labelled: Vec<Arc<PodView>>,
) -> (BTreeMap<Id, Arc<PodView>>, Vec<Stranger>) {
    let mut pods = BTreeMap::new();
    let mut strangers = Vec::new();
    for pod in labelled {
        let controller = pod.metadata.controller();
        let ours = controller.is_some_and(|owner| owner.uid == set.metadata.uid);
        if let Some(id) = id_in(set, &pod.metadata.name).filter(|_| ours) {
            pods.insert(id, pod);
        } else if !ours {
            strangers.push(Stranger {
                name: pod.metadata.name.clone(),
                controller: controller.map(|owner| format!("{} {}", owner.kind, owner.name)),
                of_kruise: controller.is_some_and(|owner| is_kruise_workload(set, owner)),
            });
        }
    }
    strangers.sort_by(|a, b| a.name.cmp(&b.name));
    (pods, strangers)
}

fn is_kruise_workload(set: &GameServerSetView, owner: &OwnerRef) -> bool {
    owner.kind == "StatefulSet"
        && owner.name == set.metadata.name
        && owner.api_version.starts_with("apps.kruise.io/")
}

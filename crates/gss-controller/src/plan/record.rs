//! The plan record, `GameServerSet.status.plan`: the one durable statement of which ids shall exist.

use api_types::{IntOrString, PlanRecord, PlannedDeletion, PlannedUpdate};

use super::{
    ids::{Id, IdSet, MAX_ID},
    scale::MAX_DELETING,
};

/// The plan record with its id lists parsed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// The ids that shall exist. A Pod that is missing, terminating or held by a hook does not change this.
    pub desired: IdSet,
    /// The explicit reserves (`spec.reserveGameServerIds`) already acted on.
    pub reserved: IdSet,
    /// Ids given up by scale-in. With strategy General they are free for growth; with ReserveIds they are on their
    /// way into the explicit reserves.
    pub implicit: IdSet,
    /// Desired ids whose server has yet to be available for the first time; kept only while
    /// `scaleStrategy.maxUnavailable` limits their creation.
    pub growing: IdSet,
    /// Pods that are to be deleted and are not terminating yet, by id. Nothing else may be deleted.
    pub deleting: Vec<Deletion>,
    /// Servers taken out of service for an update and not seen back in service, by id; one entry for each.
    pub updating: Vec<Taken>,
}

/// A server taken out of service for an update. `plan::update::taken` says what the entry is for and when it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The server's id.
    pub id: Id,
    /// The Pod's UID.
    pub pod_uid: String,
    /// The Pod's version from which it was decided, as `plan::update::taken::version` reads it.
    pub version: u64,
    /// Whether the Pod is replaced; otherwise it is changed in place.
    pub recreate: bool,
}

/// One Pod that is to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// The server's id.
    pub id: Id,
    /// The Pod's UID; a later Pod of the same name is not meant.
    pub pod_uid: String,
    /// Why, one of `api_types::keys::claim_reason`.
    pub reason: String,
}

impl Record {
    /// Parses a stored record. Items that cannot be understood are left out: the servers they stood for are live and
    /// find their way back into the plan like those of a set without a record.
    pub fn from_api(stored: &PlanRecord) -> Self {
        let set = |items: &[IntOrString]| IdSet::parse_items(items).0;
        Self {
            desired: set(&stored.desired),
            reserved: set(&stored.reserved),
            implicit: set(&stored.implicit),
            growing: set(&stored.growing),
            deleting: stored.deleting.iter().filter_map(Deletion::from_api).collect(),
            updating: stored.updating.iter().filter_map(Taken::from_api).collect(),
        }
    }

    /// The record as it is stored, made for this generation of the set.
    pub fn to_api(&self, generation: i64) -> PlanRecord {
        PlanRecord {
            generation,
            desired: self.desired.to_items(),
            reserved: self.reserved.to_items(),
            implicit: self.implicit.to_items(),
            growing: self.growing.to_items(),
            deleting: self.deleting.iter().map(Deletion::to_api).collect(),
            updating: self.updating.iter().map(Taken::to_api).collect(),
        }
    }

    /// Whether this Pod may be deleted under this record.
    pub fn names(&self, id: Id, pod_uid: &str) -> bool {
        self.deleting
            .iter()
            .any(|deletion| deletion.id == id && deletion.pod_uid == pod_uid)
    }

    /// Adds deletions, as many as one record holds.
    pub fn also_delete(&mut self, deletions: &[Deletion]) {
        let room = MAX_DELETING.saturating_sub(self.deleting.len());
        self.deleting.extend(deletions.iter().take(room).cloned());
        self.deleting.sort_by_key(|deletion| deletion.id);
    }

    /// Whether `next` decides anything that this record does not. Dropping finished deletions and updates and booking
    /// reserves decides nothing: it is recomputed from the same spec until it is written along with the status.
    pub fn is_decided_anew_by(&self, next: &Self) -> bool {
        self.desired != next.desired
            || next
                .deleting
                .iter()
                .any(|wanted| !self.names(wanted.id, &wanted.pod_uid))
            || next.updating.iter().any(|taken| !self.updating.contains(taken))
    }
}

impl Taken {
    fn from_api(stored: &PlannedUpdate) -> Option<Self> {
        Some(Self {
            id: Some(stored.id).filter(|id| *id <= MAX_ID)?,
            pod_uid: stored.pod_uid.clone(),
            // Any version of the Pod is later than one that cannot be read.
            version: stored.resource_version.parse().unwrap_or(0),
            recreate: stored.recreate,
        })
    }

    fn to_api(&self) -> PlannedUpdate {
        PlannedUpdate {
            id: self.id,
            pod_uid: self.pod_uid.clone(),
            resource_version: self.version.to_string(),
            recreate: self.recreate,
        }
    }
}

impl Deletion {
    fn from_api(stored: &PlannedDeletion) -> Option<Self> {
        Some(Self {
            id: Some(stored.id).filter(|id| *id <= MAX_ID)?,
            pod_uid: stored.pod_uid.clone(),
            reason: stored.reason.clone(),
        })
    }

    fn to_api(&self) -> PlannedDeletion {
        PlannedDeletion {
            id: self.id,
            pod_uid: self.pod_uid.clone(),
            reason: self.reason.clone(),
        }
    }
}

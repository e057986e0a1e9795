//! Decides, from one GameServer and its Pod, the one patch that makes the Pod show the GameServer. Pure.
//!
//! The same function is the filter in the watch callbacks: no patch means the event never reaches the queue, whoever caused
//! it, this process's own writes included.

mod eviction;
mod mirror;
mod spec;

use std::collections::BTreeMap;

use api_types::{
    keys,
    state::GameServerState,
    views::{GameServerView, PodView},
};
use jiff::Timestamp;

use crate::record::{self, SyncRecord};

pub use eviction::Eviction;
pub use spec::{InvalidValue, invalid_values};

/// The labels pod-sync owns on every Pod; their values are checked before they are written.
pub const FIXED_LABELS: [&str; 5] = [
    keys::label::GS_STATE,
    keys::label::GS_OPS_STATE,
    keys::label::GS_UPDATE_PRIORITY,
    keys::label::GS_DELETE_PRIORITY,
    keys::label::NETWORK_DISABLED,
];

/// Container name to image, as the GameServerSet's template has them.
pub type TemplateImages = BTreeMap<String, String>;

/// All that a decision about one Pod rests on.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// The GameServer of the Pod's name, if there is one yet.
    pub server: Option<&'a GameServerView>,
    /// The Pod, with our own latest write in it.
    pub pod: &'a PodView,
    /// Images of the set's template; `None` while the set is not known.
    pub template: Option<&'a TemplateImages>,
    /// Who may evict the server; `None` while the set is not known.
    pub eviction: Option<Eviction>,
}

/// What a change was about: the label of the metrics and the words of the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// `spec.opsState`.
    OpsState,
    /// The Pod's own state.
    State,
    /// `spec.updatePriority`.
    UpdatePriority,
    /// `spec.deletionPriority`.
    DeletionPriority,
    /// `spec.networkDisabled`.
    Network,
    /// Who may evict the server.
    Eviction,
    /// A `gs-sync/` label or annotation.
    GsSync,
    /// A container's image.
    Image,
    /// The list of containers about to be updated.
    UpdatingContainers,
    /// Only what pod-sync remembers for itself.
    Bookkeeping,
}

/// One difference between the GameServer and its Pod, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What differs.
    pub subject: Subject,
    /// What the Pod showed; empty when it showed nothing.
    pub old: String,
    /// What it is to show.
    pub new: String,
}

/// One patch of one Pod. In the maps `None` removes the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodPatch {
    /// The Pod the decision is about; another Pod of the same name refuses the patch.
    pub uid: String,
    /// The Pod's version the decision was taken from; a Pod that moved on refuses the patch (ADR 0008).
    pub resource_version: String,
    /// Labels to set or remove.
    pub labels: BTreeMap<String, Option<String>>,
    /// Annotations to set or remove.
    pub annotations: BTreeMap<String, Option<String>>,
    /// Container name to image.
    pub images: BTreeMap<String, String>,
    /// Why, in the order found.
    pub changes: Vec<Change>,
}

impl PodPatch {
    fn of(pod: &PodView) -> Self {
        Self {
            uid: pod.metadata.uid.clone(),
            resource_version: pod.metadata.resource_version.clone(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            images: BTreeMap::new(),
            changes: Vec::new(),
        }
    }

    fn set_label(&mut self, key: &str, value: &str) {
        self.labels.insert(key.to_owned(), Some(value.to_owned()));
    }

    fn set_annotation(&mut self, key: &str, value: impl Into<String>) {
        self.annotations.insert(key.to_owned(), Some(value.into()));
    }

    fn note(&mut self, subject: Subject, old: &str, new: &str) {
        self.changes.push(Change {
            subject,
            old: old.to_owned(),
            new: new.to_owned(),
        });
    }

    /// What may still be written when the API server refused the whole, in the order to try: everything but the images; then
    /// the labels of fixed form alone, which it cannot refuse. What users write elsewhere must not keep opsState from its Pod.
    pub fn reduced(&self) -> Vec<Self> {
        let mut without_images = Self {
            images: BTreeMap::new(),
            ..self.clone()
        };
        without_images
            .changes
            .retain(|change| change.subject != Subject::Image);
        // The Pod does not show this generation, so it must not say so.
        without_images
            .annotations
            .remove(keys::annotation::SYNCED_GENERATION);

        let mut labels_only = without_images.clone();
        let fixed = [
            keys::annotation::OPS_STATE_LAST_CHANGED,
            keys::annotation::STATE_LAST_CHANGED,
            keys::annotation::SAFE_TO_EVICT,
        ];
        labels_only
            .labels
            .retain(|key, _| FIXED_LABELS.contains(&key.as_str()) || key == keys::label::SAFE_TO_EVICT);
        labels_only
            .annotations
            .retain(|key, _| fixed.contains(&key.as_str()));
        labels_only
            .changes
            .retain(|change| change.subject <= Subject::Eviction);

        let mut reduced = vec![without_images, labels_only];
        reduced.dedup();
        reduced.retain(|patch| patch != self && !patch.changes.is_empty());
        reduced
    }
}

/// The patch that `observed.pod` needs at `now`; `None` when it shows all it should.
pub fn plan(observed: &Observed<'_>, now: Timestamp) -> Option<PodPatch> {
    let pod = observed.pod;
    let mut patch = PodPatch::of(pod);
    let state = pod.state();
    plan_state(&mut patch, pod, state, now);
    let record = SyncRecord::of_pod(pod);
    let server = observed
        .server
        .filter(|server| belongs_to(server, pod) && !record::shows_newer(pod, server, &record));
    plan_updating_containers(&mut patch, pod, state, observed.template, server);
    if let Some(eviction) = observed.eviction {
        eviction::plan_marks(&mut patch, eviction, server, pod);
    }
    if let Some(server) = server {
        spec::plan_labels(&mut patch, server, pod, now);
        spec::plan_images(&mut patch, server, pod);
        mirror::plan_gs_sync(&mut patch, server, pod, &record);
        plan_bookkeeping(&mut patch, server, pod, &record, state);
    }
    (!patch.changes.is_empty()).then_some(patch)
}

/// Whether `server` says anything about this very Pod.
///
/// Under Cascade a GameServer lives and dies with one Pod: between a Pod's replacement and the collection of its GameServer
/// the name matches, the UID does not, and the old opsState (Kill, say) must not reach the new Pod. Under Delete the
/// GameServer belongs to the set and outlives its Pods.
pub fn belongs_to(server: &GameServerView, pod: &PodView) -> bool {
    match server.metadata.controller() {
        Some(owner) if owner.kind == "Pod" => owner.uid == pod.metadata.uid,
        Some(owner) if owner.kind == "GameServerSet" => pod.owner_set() == Some(owner.name.as_str()),
        Some(_) => false,
        // Made by hand, or restored by a tool that drops owners: the name is all there is.
        None => true,
    }
}

/// Whether `pod` shows a newer GameServer than `server`: this process lags behind another one.
pub fn is_behind(server: &GameServerView, pod: &PodView) -> bool {
    belongs_to(server, pod) && record::shows_newer(pod, server, &SyncRecord::of_pod(pod))
}

fn plan_state(patch: &mut PodPatch, pod: &PodView, state: GameServerState, now: Timestamp) {
    let old = pod.metadata.labels.get(keys::label::GS_STATE).unwrap_or_default();
    if old == state.as_str() {
        return;
    }
    patch.set_label(keys::label::GS_STATE, state.as_str());
    if !old.is_empty() {
        patch.set_annotation(keys::annotation::STATE_LAST_CHANGED, timestamp(now));
    }
    patch.note(Subject::State, old, state.as_str());
}

/// Which containers an update is about to touch: listed while the Pod is held in PreUpdate, kept through Updating, then
/// removed.
fn plan_updating_containers(
    patch: &mut PodPatch,
    pod: &PodView,
    state: GameServerState,
    template: Option<&TemplateImages>,
    server: Option<&GameServerView>,
) {
    let shown = pod
        .metadata
        .annotations
        .get(keys::annotation::GS_UPDATING_CONTAINERS);
    match state {
        GameServerState::Updating => {}
        GameServerState::PreUpdate => {
            let Some(template) = template else { return };
            let names = spec::outdated_containers(pod, template, server);
            if shown != Some(names.as_str()) {
                patch.note(Subject::UpdatingContainers, shown.unwrap_or_default(), &names);
                patch.set_annotation(keys::annotation::GS_UPDATING_CONTAINERS, names);
            }
        }
        _ => {
            if let Some(shown) = shown {
                patch
                    .annotations
                    .insert(keys::annotation::GS_UPDATING_CONTAINERS.to_owned(), None);
                patch.note(Subject::UpdatingContainers, shown, "");
            }
        }
    }
}

/// What the Pod remembers travels with any other change. Alone it is worth a patch when the set of `gs-sync/` keys changed
/// (a later removal depends on it), or when an allocator may be waiting to see its generation; a Pod that is still being
/// created gets it with its first state change instead, which saves a request for every server.
fn plan_bookkeeping(
    patch: &mut PodPatch,
    server: &GameServerView,
    pod: &PodView,
    old: &SyncRecord,
    state: GameServerState,
) {
    let new = SyncRecord::of_server(server, pod);
    let generation = server.metadata.generation;
    let new_generation = record::synced_generation(pod) != Some(generation);
    if patch.changes.is_empty() {
        let due = new_generation && state != GameServerState::Creating;
        if !due && old.same_keys(&new) {
            return;
        }
        patch.note(Subject::Bookkeeping, "", &generation.to_string());
    }
    if new_generation {
        patch.set_annotation(keys::annotation::SYNCED_GENERATION, generation.to_string());
    }
    if *old != new {
        patch.set_annotation(keys::annotation::SYNCED_FROM, new.to_json());
    }
}

/// RFC 3339 in UTC with whole seconds, as the annotations have always had it.
fn timestamp(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests;

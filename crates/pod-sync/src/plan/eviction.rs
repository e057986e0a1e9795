//! Who may evict the server, to the Pod's label and annotation.
//!
//! They go with whatever else the Pod is to show: the patch that shows an allocation protects the server, and there is no
//! moment at which the Pod shows the one without the other.

use api_types::{
    eviction::Policy,
    keys::{annotation, label},
    ops_state,
    views::{GameServerView, PodView},
};

use super::{PodPatch, Subject};
use crate::template::SetEviction;

/// Who may evict the servers of a Pod's set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eviction {
    /// What the set says, or else the installation.
    pub policy: Policy,
    /// What the set's template has of its own.
    pub set: SetEviction,
}

/// A set that changes its mind changes its running Pods too, without a new one. A Pod that is going keeps what it has: nobody
/// evicts it twice.
pub(super) fn plan_marks(
    patch: &mut PodPatch,
    eviction: Eviction,
    server: Option<&GameServerView>,
    pod: &PodView,
) {
    if pod.metadata.is_terminating() {
        return;
    }
    let busy = match server {
        Some(server) => is_busy(server, pod),
        // Nothing is known about players: it stays as it was born, or as it was last seen.
        None if eviction.policy == Policy::WhenIdle => return,
        None => false,
    };
    let wanted = eviction.policy.marks(busy);
    let shown = pod.metadata.label(label::SAFE_TO_EVICT);
    if !eviction.set.keeps_label && shown != Some(wanted.label) {
        patch.set_label(label::SAFE_TO_EVICT, wanted.label);
        patch.note(Subject::Eviction, shown.unwrap_or_default(), wanted.label);
    }
    let shown = pod.metadata.annotation(annotation::SAFE_TO_EVICT);
    if !eviction.set.keeps_annotation && shown != Some(wanted.annotation) {
        patch.set_annotation(annotation::SAFE_TO_EVICT, wanted.annotation);
        patch.note(Subject::Eviction, shown.unwrap_or_default(), wanted.annotation);
    }
}

/// Whether players are on the server, or on their way to it.
fn is_busy(server: &GameServerView, pod: &PodView) -> bool {
    server.ops_state() == ops_state::ALLOCATED || server.has_players(&pod.metadata.uid)
}

//! `gs-sync/` labels and annotations: added, changed and removed with the GameServer's.

use std::collections::{BTreeMap, BTreeSet};

use api_types::{
    keys::GS_SYNC_PREFIX,
    label::is_label_value,
    views::{GameServerView, PodView, StringMap},
};

use super::{PodPatch, Subject};
use crate::record::SyncRecord;

pub(super) fn plan_gs_sync(
    patch: &mut PodPatch,
    server: &GameServerView,
    pod: &PodView,
    record: &SyncRecord,
) {
    let (wanted, shown) = (&server.metadata, &pod.metadata);
    let labels = differences(&wanted.labels, &shown.labels, &record.labels, is_label_value);
    let annotations = differences(
        &wanted.annotations,
        &shown.annotations,
        &record.annotations,
        |_| true,
    );
    for (key, value) in labels.iter().chain(&annotations) {
        patch.note(Subject::GsSync, key, value.as_deref().unwrap_or_default());
    }
    patch.labels.extend(labels);
    patch.annotations.extend(annotations);
}

/// What to change in `shown` so that it has every `gs-sync/` key of `wanted`, and none of `recorded` that left `wanted`.
/// A key that is neither wanted nor recorded came with the Pod's template and stays.
fn differences(
    wanted: &StringMap,
    shown: &StringMap,
    recorded: &BTreeSet<String>,
    writable: impl Fn(&str) -> bool,
) -> BTreeMap<String, Option<String>> {
    let set = wanted
        .iter()
        .filter(|(key, value)| {
            key.starts_with(GS_SYNC_PREFIX) && shown.get(key) != Some(*value) && writable(value)
        })
        .map(|(key, value)| (key.to_owned(), Some(value.to_owned())));
    let removed = recorded
        .iter()
        // The record is an annotation that others could edit: it never reaches beyond the prefix.
        .filter(|key| key.starts_with(GS_SYNC_PREFIX) && !wanted.contains_key(key) && shown.contains_key(key))
        .map(|key| (key.clone(), None));
    set.chain(removed).collect()
}

//! The Pod as it is after our own write, before the watch has shown it.
//!
//! An acknowledged patch was conditional on the Pod's resource version, so the result is known exactly: the Pod the plan was
//! made from, plus the patch, under the version in the answer. Planning from that, instead of from the cache, is what lets a
//! second change follow the first within milliseconds without a conflict, and keeps any event that arrives in between from
//! writing the same thing twice.

use api_types::views::{PodView, StringMap};

use crate::{plan::PodPatch, record::version};

/// `pod` with `patch` applied, under the resource version the API server answered with.
pub fn patched(pod: &PodView, patch: &PodPatch, resource_version: &str) -> PodView {
    let mut pod = pod.clone();
    resource_version.clone_into(&mut pod.metadata.resource_version);
    merge(&mut pod.metadata.labels, &patch.labels);
    merge(&mut pod.metadata.annotations, &patch.annotations);
    for container in &mut pod.containers {
        if let Some(image) = patch.images.get(&container.name) {
            container.image.clone_from(image);
        }
    }
    pod
}

fn merge(map: &mut StringMap, patch: &std::collections::BTreeMap<String, Option<String>>) {
    for (key, value) in patch {
        match value {
            Some(value) => map.insert(key, value),
            None => drop(map.remove(key)),
        }
    }
}

/// Whether `ours`, from a write, is a later version of the same Pod than `cached`. When the versions cannot be compared the
/// cache is believed: the worst that follows is a refused patch.
pub fn is_ahead(ours: &PodView, cached: &PodView) -> bool {
    ours.metadata.uid == cached.metadata.uid
        && match (
            version(&ours.metadata.resource_version),
            version(&cached.metadata.resource_version),
        ) {
            (Some(ours), Some(cached)) => ours > cached,
            _ => false,
        }
}

//! Patch to request body. Pure.

use controller_kit::write::PatchKind;
use serde_json::{Map, Value, json};

use crate::plan::PodPatch;

/// The kind and body of the request. The preconditions (UID, resource version) are added by the writer.
///
/// Only a strategic merge knows containers by name; it costs the API server more than a merge patch, so it is used for image
/// changes alone.
pub fn build_body(patch: &PodPatch) -> (PatchKind, Value) {
    let mut body = Map::new();
    let mut metadata = Map::new();
    if !patch.labels.is_empty() {
        metadata.insert("labels".to_owned(), json!(patch.labels));
    }
    if !patch.annotations.is_empty() {
        metadata.insert("annotations".to_owned(), json!(patch.annotations));
    }
    if !metadata.is_empty() {
        body.insert("metadata".to_owned(), Value::Object(metadata));
    }
    if patch.images.is_empty() {
        return (PatchKind::Merge, Value::Object(body));
    }
    let containers: Vec<Value> = patch
        .images
        .iter()
        .map(|(name, image)| json!({ "name": name, "image": image }))
        .collect();
    body.insert("spec".to_owned(), json!({ "containers": containers }));
    (PatchKind::Strategic, Value::Object(body))
}

//! A GameServerSet as this controller keeps it.

use std::collections::BTreeMap;

use api_types::{ReclaimPolicy, keys, views::Meta};
use serde::Deserialize;

use crate::fingerprint;

/// A GameServerSet: what its GameServers are made from.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WireSet")]
pub(crate) struct SetView {
    /// Identity only.
    pub metadata: Meta,
    /// Labels of the template that a GameServer takes over.
    pub template_labels: BTreeMap<String, String>,
    /// Annotations of the template that a GameServer takes over.
    pub template_annotations: BTreeMap<String, String>,
    /// Fingerprint of both: the value of annotation `gsTemplate-metadata-hash` on a GameServer that shows them.
    pub template_hash: String,
    /// Whether a GameServer outlives its Pod (`reclaimPolicy: Delete`).
    pub keeps_game_servers: bool,
}

/// Keys that a template cannot set on a GameServer: each has a writer of its own.
pub(crate) const RESERVED: [&str; 5] = [
    keys::label::OWNER_GSS,
    keys::label::GS_DELETING,
    keys::label::NODE_NAME,
    keys::annotation::GS_TEMPLATE_METADATA_HASH,
    keys::annotation::GS_TEMPLATE_METADATA_KEYS,
];

#[derive(Deserialize)]
struct WireSet {
    metadata: Meta,
    #[serde(default)]
    spec: WireSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSpec {
    game_server_template: WireTemplate,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireTemplate {
    metadata: Option<WireMetadata>,
    reclaim_policy: Option<ReclaimPolicy>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireMetadata {
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
}

impl From<WireSet> for SetView {
    fn from(set: WireSet) -> Self {
        let mut metadata = set.metadata;
        metadata.labels.clear();
        metadata.annotations.clear();
        let template = set.spec.game_server_template;
        let given = template.metadata.unwrap_or_default();
        let own = |map: Option<BTreeMap<String, String>>| {
            let mut map = map.unwrap_or_default();
            map.retain(|key, _| !RESERVED.contains(&key.as_str()));
            map
        };
        let (template_labels, template_annotations) = (own(given.labels), own(given.annotations));
        Self {
            metadata,
            template_hash: fingerprint::of_maps([&template_labels, &template_annotations]),
            template_labels,
            template_annotations,
            keeps_game_servers: template.reclaim_policy == Some(ReclaimPolicy::Delete),
        }
    }
}

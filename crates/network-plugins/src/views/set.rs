//! A GameServerSet: who it is, and the images its template names.

use std::collections::BTreeMap;

use api_types::views::Meta;
use serde::Deserialize;

use super::{is_same, null_as_default};

/// A GameServerSet as this controller keeps it.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WireSet")]
pub(crate) struct SetView {
    /// Identity.
    pub metadata: Meta,
    /// Images by container; empty for a set without a network.
    pub images: BTreeMap<String, String>,
    /// Whether its servers are to have a network.
    pub has_network: bool,
}

impl SetView {
    /// Whether anything of a server's network may differ.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        !is_same(&self.metadata, &other.metadata) || self.images != other.images
    }
}

#[derive(Deserialize)]
struct WireSet {
    metadata: Meta,
    #[serde(default)]
    spec: WireSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSpec {
    network: Option<serde::de::IgnoredAny>,
    #[serde(deserialize_with = "null_as_default")]
    game_server_template: WireTemplate,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireTemplate {
    #[serde(deserialize_with = "null_as_default")]
    spec: WirePodSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WirePodSpec {
    #[serde(deserialize_with = "null_as_default")]
    containers: Vec<WireContainer>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireContainer {
    name: String,
    image: String,
}

impl From<WireSet> for SetView {
    fn from(set: WireSet) -> Self {
        let containers = set.spec.game_server_template.spec.containers.into_iter();
        let has_network = set.spec.network.is_some();
        Self {
            metadata: set.metadata.into_identity(),
            has_network,
            images: containers
                .filter(|_| has_network)
                .map(|container| (container.name, container.image))
                .collect(),
        }
    }
}

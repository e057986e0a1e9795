//! The one thing pod-sync reads of a GameServerSet: the images of its template, to name the containers an update is about
//! to touch. A few hundred bytes a set.

use api_types::{
    keys,
    views::{ContainerImage, Meta},
};
use controller_kit::{
    resource::{GAME_SERVER_SET, ResourceKind},
    watch::Watched,
};
use serde::Deserialize;

use crate::plan::TemplateImages;

/// A GameServerSet as pod-sync sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "SetWire")]
pub(crate) struct SetTemplate {
    pub(crate) metadata: Meta,
    pub(crate) images: TemplateImages,
}

impl Watched for SetTemplate {
    const RESOURCE: ResourceKind = GAME_SERVER_SET;

    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SetWire {
    metadata: Meta,
    spec: SetSpecWire,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SetSpecWire {
    game_server_template: TemplateWire,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TemplateWire {
    spec: PodSpecWire,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodSpecWire {
    containers: Vec<ContainerImage>,
}

impl From<SetWire> for SetTemplate {
    fn from(wire: SetWire) -> Self {
        let containers = wire.spec.game_server_template.spec.containers;
        let images = containers
            .into_iter()
            .map(|container| (container.name, container.image))
            .collect();
        Self {
            metadata: wire.metadata,
            images,
        }
    }
}

/// Value of the Pod index that finds a set's Pods.
pub(crate) fn set_index(namespace: &str, set: &str) -> String {
    format!("{namespace}/{set}")
}

/// Whether the annotation depends on the template while the Pod is in this state: label `lifecycle…/state` says so.
pub(crate) fn waits_for_update(pod: &api_types::views::PodView) -> bool {
    pod.metadata.label(keys::label::LIFECYCLE_STATE) == Some(keys::lifecycle::PREPARING_UPDATE)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn template_reads_names_and_images_whatever_else_is_there() {
        let set: SetTemplate = serde_json::from_value(json!({
            "metadata": {"name": "arena", "namespace": "games"},
            "spec": {"replicas": 3, "gameServerTemplate": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "game", "image": "game:2", "env": [{"name": "X"}]}], "volumes": []},
            }},
        }))
        .unwrap();
        assert_eq!(set.images, [("game".to_owned(), "game:2".to_owned())].into());
        assert_eq!(
            serde_json::from_value::<SetTemplate>(json!({})).unwrap().images,
            TemplateImages::new()
        );
    }
}

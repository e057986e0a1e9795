//! What pod-sync reads of a GameServerSet: the images of its template, to name the containers an update is about to touch, and
//! who may evict its servers. A few hundred bytes a set.

use std::collections::BTreeMap;

use api_types::{
    Eviction,
    eviction::{Kept, Policy},
    keys::{self, annotation, label},
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
    pub(crate) eviction: SetEviction,
}

/// Who may evict a set's servers, as far as the set says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SetEviction {
    /// What it asks for; `None` leaves it to the installation.
    pub policy: Option<Policy>,
    /// Whether the template has the annotation: then it stays as it is.
    pub keeps_annotation: bool,
    /// Whether the template has the label.
    pub keeps_label: bool,
}

impl SetEviction {
    fn of(wanted: &Eviction, template: &MetaWire) -> Self {
        let kept = Kept {
            annotation: template
                .annotations
                .get(annotation::SAFE_TO_EVICT)
                .map(String::as_str),
            label: template.labels.get(label::SAFE_TO_EVICT).map(String::as_str),
        };
        // The answer for two different defaults is the same where the set decides.
        let with = |default| Policy::of(wanted.safe.as_ref(), &kept, default);
        let decided = with(Policy::Never) == with(Policy::OnUpgrade);
        Self {
            policy: decided.then(|| with(Policy::Never)),
            keeps_annotation: kept.annotation.is_some(),
            keeps_label: kept.label.is_some(),
        }
    }
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
    eviction: Option<Eviction>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TemplateWire {
    metadata: MetaWire,
    spec: PodSpecWire,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MetaWire {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodSpecWire {
    containers: Vec<ContainerImage>,
}

impl From<SetWire> for SetTemplate {
    fn from(wire: SetWire) -> Self {
        let template = wire.spec.game_server_template;
        let wanted = wire.spec.eviction.unwrap_or_default();
        let eviction = SetEviction::of(&wanted, &template.metadata);
        let containers = template.spec.containers;
        let images = containers
            .into_iter()
            .map(|container| (container.name, container.image))
            .collect();
        Self {
            metadata: wire.metadata,
            images,
            eviction,
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

    #[test]
    fn eviction_is_what_the_set_says_or_what_its_old_template_meant() {
        let read = |spec: serde_json::Value| {
            serde_json::from_value::<SetTemplate>(json!({ "metadata": { "name": "arena" }, "spec": spec }))
                .unwrap()
                .eviction
        };
        assert_eq!(read(json!({})), SetEviction::default());
        let wanted = |safe: &str| read(json!({ "eviction": { "safe": safe } })).policy;
        assert_eq!(wanted("WhenIdle"), Some(Policy::WhenIdle));
        assert_eq!((wanted("Never"), wanted("")), (Some(Policy::Never), None));
        let old = read(json!({ "gameServerTemplate": { "metadata": {
            "annotations": { "cluster-autoscaler.kubernetes.io/safe-to-evict": "true" } } } }));
        assert_eq!(
            (old.policy, old.keeps_annotation, old.keeps_label),
            (Some(Policy::Always), true, false)
        );
    }
}

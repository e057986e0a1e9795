//! `GameServer.spec` to labels and images.

use std::collections::BTreeMap;

use api_types::{
    GameServerContainer,
    int_or_string::IntOrString,
    keys,
    label::is_label_value,
    ops_state,
    views::{GameServerView, PodView},
};
use jiff::Timestamp;

use super::{PodPatch, Subject, TemplateImages, timestamp};

/// A value of the GameServer that no label can hold. Its key is left as it is; everything else is still written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidValue {
    /// The field or key, as the user wrote it.
    pub field: String,
    /// The value.
    pub value: String,
}

/// The values of `server` that cannot be written to a label.
pub fn invalid_values(server: &GameServerView) -> Vec<InvalidValue> {
    let spec = spec_labels(server)
        .into_iter()
        .map(|label| (label.field.to_owned(), label.value));
    let synced = server
        .metadata
        .labels
        .iter()
        .filter(|(key, _)| key.starts_with(keys::GS_SYNC_PREFIX))
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    spec.chain(synced)
        .filter(|(_, value)| !is_label_value(value))
        .map(|(field, value)| InvalidValue { field, value })
        .collect()
}

struct SpecLabel {
    subject: Subject,
    field: &'static str,
    key: &'static str,
    value: String,
}

fn spec_labels(server: &GameServerView) -> [SpecLabel; 4] {
    let spec = &server.spec;
    [
        SpecLabel {
            subject: Subject::OpsState,
            field: "spec.opsState",
            key: keys::label::GS_OPS_STATE,
            value: ops_state::normalise(spec.ops_state.as_deref()).to_owned(),
        },
        SpecLabel {
            subject: Subject::UpdatePriority,
            field: "spec.updatePriority",
            key: keys::label::GS_UPDATE_PRIORITY,
            value: priority(spec.update_priority.as_ref()),
        },
        SpecLabel {
            subject: Subject::DeletionPriority,
            field: "spec.deletionPriority",
            key: keys::label::GS_DELETE_PRIORITY,
            value: priority(spec.deletion_priority.as_ref()),
        },
        SpecLabel {
            subject: Subject::Network,
            field: "spec.networkDisabled",
            key: keys::label::NETWORK_DISABLED,
            value: spec.network_disabled.unwrap_or(false).to_string(),
        },
    ]
}

/// An absent or empty priority is 0, which is what every reader of the label takes it for.
fn priority(value: Option<&IntOrString>) -> String {
    value
        .map(IntOrString::to_label_string)
        .filter(|label| !label.is_empty())
        .unwrap_or_else(|| "0".to_owned())
}

pub(super) fn plan_labels(patch: &mut PodPatch, server: &GameServerView, pod: &PodView, now: Timestamp) {
    for label in spec_labels(server) {
        let old = pod.metadata.labels.get(label.key);
        if old == Some(label.value.as_str()) || !is_label_value(&label.value) {
            continue;
        }
        patch.set_label(label.key, &label.value);
        if label.subject == Subject::OpsState {
            patch.set_annotation(keys::annotation::OPS_STATE_LAST_CHANGED, timestamp(now));
        }
        patch.note(label.subject, old.unwrap_or_default(), &label.value);
    }
}

/// The images this one server overrides; an empty image is no override. A container named twice has its last image: both
/// in turn would be a patch without end.
fn overrides(server: &GameServerView) -> BTreeMap<&str, &str> {
    let image =
        |container: &'_ GameServerContainer| container.image.as_ref().is_some_and(|image| !image.is_empty());
    let named = server.spec.containers.iter().filter(|container| image(container));
    named
        .map(|container| {
            (
                container.name.as_str(),
                container.image.as_deref().unwrap_or_default(),
            )
        })
        .collect()
}

pub(super) fn plan_images(patch: &mut PodPatch, server: &GameServerView, pod: &PodView) {
    for (name, image) in overrides(server) {
        let Some(container) = pod.containers.iter().find(|container| container.name == name) else {
            continue;
        };
        if container.image != image {
            patch.images.insert(name.to_owned(), image.to_owned());
            patch.note(Subject::Image, &container.image, image);
        }
    }
}

/// Names, comma-joined in the Pod's order, of the containers whose image an update will change: spec against spec, because
/// the runtime reports images under other names than users wrote.
pub(super) fn outdated_containers(
    pod: &PodView,
    template: &TemplateImages,
    server: Option<&GameServerView>,
) -> String {
    let overridden = server.map(overrides).unwrap_or_default();
    let names: Vec<&str> = pod
        .containers
        .iter()
        .filter(|container| !overridden.contains_key(container.name.as_str()))
        .filter(|container| {
            template
                .get(&container.name)
                .is_some_and(|image| *image != container.image)
        })
        .map(|container| container.name.as_str())
        .collect();
    names.join(",")
}

//! What Pods are made from: the part of a set, or of one of its revisions, that ends up in them.

use std::collections::BTreeMap;

use api_types::{
    GameServerSetView,
    keys::{annotation, label},
};
use network_plugins::go_json;
use serde_json::{Value, json};

use super::canonical;

/// What Pods of one revision are made from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Template {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations, those for network plugins included.
    pub annotations: BTreeMap<String, String>,
    /// The PodSpec as it was written.
    pub spec: Value,
}

impl Template {
    /// The set's template as it is now.
    pub fn of(set: &GameServerSetView) -> Self {
        let template = &set.spec.game_server_template;
        Self {
            labels: template.metadata.labels.clone(),
            annotations: annotations(set),
            spec: template.spec.clone(),
        }
    }

    /// The template in a ControllerRevision's `data`, ours or one that OpenKruise's Advanced StatefulSet wrote; `None` where
    /// there is none in it.
    pub fn from_data(data: &Value) -> Option<Self> {
        let template = data.get("spec")?.get("template")?;
        let map = |name: &str| -> BTreeMap<String, String> {
            let entries = template.get("metadata").and_then(|metadata| metadata.get(name));
            let entries = entries.and_then(Value::as_object).into_iter().flatten();
            entries
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect()
        };
        let mut labels = map("labels");
        // Every Pod has it, whatever its template says.
        labels.remove(label::OWNER_GSS);
        Some(Self {
            labels,
            annotations: map("annotations"),
            spec: template.get("spec").filter(|spec| spec.is_object())?.clone(),
        })
    }

    /// The `data` of this template's ControllerRevision, in the form that StatefulSets have always used.
    pub fn to_data(&self) -> Value {
        let metadata = json!({ "labels": self.labels, "annotations": self.annotations });
        json!({ "spec": { "template": { "metadata": metadata, "spec": self.spec, "$patch": "replace" } } })
    }

    /// The meaning of the template: equal for two templates that make the same Pods, see [`canonical`].
    pub fn meaning(&self) -> Value {
        let mut labels = self.labels.clone();
        labels.remove(label::OWNER_GSS);
        json!({
            "metadata": { "labels": labels, "annotations": self.annotations },
            "spec": canonical::pod_spec(&self.spec),
        })
    }

    /// [`Self::meaning`] as text with sorted keys.
    pub fn canonical(&self) -> String {
        let mut text = String::new();
        canonical::write(&self.meaning(), &mut text);
        text
    }
}

/// The template's annotations with those that tell network plugins what to do.
fn annotations(set: &GameServerSetView) -> BTreeMap<String, String> {
    let mut annotations = set.spec.game_server_template.metadata.annotations.clone();
    if let Some(network) = &set.spec.network {
        let conf = (!network.network_conf.is_empty()).then_some(&network.network_conf);
        annotations.insert(annotation::NETWORK_CONF.into(), go_json(&json!(conf)));
        annotations.insert(
            annotation::NETWORK_TYPE.into(),
            network.network_type.clone().unwrap_or_default(),
        );
    }
    annotations
}

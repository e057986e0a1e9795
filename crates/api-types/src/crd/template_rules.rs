//! Bounds and rules of the Pod template.
//!
//! The PodSpec is not described: it belongs to Kubernetes, changes with it, and is passed on untouched. Only the few
//! fields that a rule reads are named, and everything beside them is kept.

use serde_json::{Value, json};

use super::{
    patterns::{DNS_LABEL, LABEL_VALUE},
    rule::{Node, at},
};
use crate::keys::label;

/// Labels that controllers write on Pods and GameServers.
const RESERVED: [&str; 12] = [
    label::OWNER_GSS,
    label::GS_STATE,
    label::GS_OPS_STATE,
    label::GS_UPDATE_PRIORITY,
    label::GS_DELETE_PRIORITY,
    label::NETWORK_DISABLED,
    label::GS_DELETING,
    label::NODE_NAME,
    label::POD_NAME,
    label::POD_INDEX,
    label::CONTROLLER_REVISION_HASH,
    label::LIFECYCLE_STATE,
];

pub(super) fn nodes() -> Vec<Node> {
    let mut nodes = vec![
        at("spec").rule(
            "has(self.gameServerTemplate) && has(self.gameServerTemplate.spec) && \
             has(self.gameServerTemplate.spec.containers) && self.gameServerTemplate.spec.containers.size() > 0",
            "gameServerTemplate.spec.containers needs at least one container with a name and an image",
        ),
        at("spec.gameServerTemplate").keep_unknown(),
    ];
    nodes.extend(metadata());
    nodes.extend(pod_spec());
    nodes.extend(claims());
    nodes
}

fn metadata() -> Vec<Node> {
    let path = "spec.gameServerTemplate.metadata";
    let mut labels = at(&format!("{path}.labels")).max_properties(128);
    for key in RESERVED {
        labels = labels.rule(
            &format!("!('{key}' in self)"),
            &format!("label {key} is written by Gamekeeper: remove it from the template"),
        );
    }
    vec![
        at(path).keep_unknown(),
        labels,
        at(&format!("{path}.labels{{}}")).max_length(63).rule(
            &format!("self.matches({LABEL_VALUE})"),
            "a label value has letters, digits, '-', '_' and '.', and begins and ends with a letter or digit, for example \"true\"",
        ),
        at(&format!("{path}.annotations")).max_properties(256),
        at(&format!("{path}.annotations{{}}")).max_length(262_144),
    ]
}

fn pod_spec() -> Vec<Node> {
    let path = "spec.gameServerTemplate.spec";
    vec![
        at(path)
            .set("properties", pod_spec_properties())
            .rule(
                "!has(self.restartPolicy) || self.restartPolicy in ['', 'Always']",
                "restartPolicy must be Always or absent: to end one server, set its opsState to Kill",
            )
            .rule(
                "!has(self.activeDeadlineSeconds)",
                "activeDeadlineSeconds would end servers with players on them: remove it",
            ),
        at(&format!("{path}.containers")).rule(
            "self.all(c, !has(c.name) || self.exists_one(o, has(o.name) && o.name == c.name))",
            "container names must differ from each other: rename one of them",
        ),
        at(&format!("{path}.containers[]"))
            .rule(
                "has(self.name) && self.name != ''",
                "every container needs a name, for example name: minecraft",
            )
            .rule(
                "has(self.image) && self.image != ''",
                "every container needs an image, for example image: registry.example.com/minecraft:1.21",
            ),
        at(&format!("{path}.containers[].name")).rule(
            &format!("self == '' || self.matches({DNS_LABEL})"),
            "a container name has lower-case letters, digits and '-', for example minecraft",
        ),
        at(&format!("{path}.containers[].image")).rule(
            "!self.matches('[[:space:]]')",
            "an image has no spaces, for example registry.example.com/minecraft:1.21",
        ),
    ]
}

/// The fields of a PodSpec that rules read; all others are kept unseen.
fn pod_spec_properties() -> Value {
    json!({
        "containers": {
            "description": "Containers of the Pod. Fields other than these are kept as written.",
            "type": "array",
            "maxItems": 64,
            "items": {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": true,
                "properties": {
                    "name": { "description": "Name of the container.", "type": "string", "maxLength": 63 },
                    "image": { "description": "Image of the container.", "type": "string", "maxLength": 1024 },
                },
            },
        },
        "restartPolicy": {
            "description": "Always, which is also the default.",
            "type": "string",
            "maxLength": 16,
        },
        "activeDeadlineSeconds": {
            "description": "Not supported: a game server has no deadline.",
            "type": "integer",
            "format": "int64",
        },
    })
}

fn claims() -> Vec<Node> {
    let path = "spec.gameServerTemplate.volumeClaimTemplates";
    vec![
        at(path).max_items(16).rule(
            "self.all(c, !has(c.metadata) || !has(c.metadata.name) || \
             self.exists_one(o, has(o.metadata) && has(o.metadata.name) && o.metadata.name == c.metadata.name))",
            "volume claim templates must have different names: rename one of them",
        ),
        at(&format!("{path}[]"))
            .keep_unknown()
            .rule(
                "has(self.metadata) && has(self.metadata.name) && self.metadata.name != ''",
                "a volume claim template needs metadata.name: the name of the volume it fills",
            )
            .rule(
                "has(self.spec)",
                "a volume claim template needs a spec with accessModes and resources.requests.storage",
            ),
        at(&format!("{path}[].metadata")).keep_unknown(),
        at(&format!("{path}[].metadata.name")).max_length(63).rule(
            &format!("self == '' || self.matches({DNS_LABEL})"),
            "the name of a volume claim template has lower-case letters, digits and '-', for example data",
        ),
        at(&format!("{path}[].metadata.labels")).max_properties(64),
        at(&format!("{path}[].metadata.labels{{}}")).max_length(63),
        at(&format!("{path}[].metadata.annotations")).max_properties(64),
        at(&format!("{path}[].metadata.annotations{{}}")).max_length(262_144),
    ]
}

//! The CustomResourceDefinitions, with their validation rules.
//!
//! The schema's shape and texts come from the Rust types; its bounds and rules are tables in `game_server_rules`,
//! `set_rules`, `quality_rules`, `template_rules`, `network_rules`, `player_rules` and `autoscaling_rules`. `cargo xtask gen-crds` writes the result to
//! `crds/`. Nothing else in the system validates at admission: there is no webhook.

use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1 as ext,
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube_core::Resource;
use schemars::JsonSchema;
use serde_json::json;

use crate::{GameServer, GameServerSet};

mod autoscaling_rules;
mod columns;
mod game_server_rules;
mod network_rules;
mod patterns;
mod player_rules;
mod quality_rules;
mod rule;
mod schema;
mod set_rules;
mod template_rules;

use columns::Column;
pub use game_server_rules::CLAIMED;
pub use rule::CrdError;
use rule::Node;

/// Both definitions, in the order of their names.
pub fn all() -> Result<Vec<ext::CustomResourceDefinition>, CrdError> {
    Ok(vec![game_server()?, game_server_set()?])
}

/// Definition of the GameServer resource.
pub fn game_server() -> Result<ext::CustomResourceDefinition, CrdError> {
    let columns = [
        (
            "STATE",
            "string",
            ".status.currentState",
            "State the server is in",
        ),
        (
            "OPSSTATE",
            "string",
            ".spec.opsState",
            "Operational state of the server",
        ),
        (
            "DP",
            "string",
            ".status.deletionPriority",
            "Deletion priority: higher is deleted earlier",
        ),
        (
            "UP",
            "string",
            ".status.updatePriority",
            "Update priority: higher is updated earlier",
        ),
        (
            "AGE",
            "date",
            ".metadata.creationTimestamp",
            "Time since creation",
        ),
    ];
    let mut nodes = game_server_rules::nodes();
    nodes.extend(player_rules::server_nodes());
    definition::<GameServer>("gs", &columns, &columns::GAME_SERVER_WIDE, None, &nodes)
}

/// Definition of the GameServerSet resource.
pub fn game_server_set() -> Result<ext::CustomResourceDefinition, CrdError> {
    let columns = [
        ("DESIRED", "integer", ".spec.replicas", "Servers wanted"),
        ("CURRENT", "integer", ".status.currentReplicas", "Pods that exist"),
        (
            "UPDATED",
            "integer",
            ".status.updatedReplicas",
            "Pods of the current template",
        ),
        ("READY", "integer", ".status.readyReplicas", "Pods that are ready"),
        (
            "Maintaining",
            "integer",
            ".status.maintainingReplicas",
            "Servers with opsState Maintaining",
        ),
        (
            "WaitToBeDeleted",
            "integer",
            ".status.waitToBeDeletedReplicas",
            "Servers with opsState WaitToBeDeleted",
        ),
        (
            "PreDelete",
            "integer",
            ".status.preDeleteReplicas",
            "Servers in state PreDelete",
        ),
        (
            "AGE",
            "date",
            ".metadata.creationTimestamp",
            "Time since creation",
        ),
    ];
    let scale = ext::CustomResourceSubresourceScale {
        spec_replicas_path: ".spec.replicas".to_owned(),
        status_replicas_path: ".status.replicas".to_owned(),
        label_selector_path: Some(".status.labelSelector".to_owned()),
    };
    let mut nodes = set_rules::nodes();
    nodes.extend(template_rules::nodes());
    nodes.extend(quality_rules::nodes());
    nodes.extend(network_rules::nodes());
    nodes.extend(player_rules::set_nodes());
    nodes.extend(autoscaling_rules::nodes());
    definition::<GameServerSet>("gss", &columns, &columns::SET_WIDE, Some(scale), &nodes)
}

/// `columns` are OpenKruiseGame's; `wide` are shown by `kubectl get -o wide` only.
fn definition<T: Resource<DynamicType = ()> + JsonSchema>(
    short_name: &str,
    columns: &[Column<'_>],
    wide: &[Column<'_>],
    scale: Option<ext::CustomResourceSubresourceScale>,
    nodes: &[Node],
) -> Result<ext::CustomResourceDefinition, CrdError> {
    let (kind, plural) = (T::kind(&()).into_owned(), T::plural(&()).into_owned());
    let mut root = schema::of::<T>();
    rule::apply(&mut root, nodes)?;
    let open_api_v3_schema = Some(serde_json::from_value(root)?);
    let always = columns.iter().map(|column| (column, None));
    let columns = always.chain(wide.iter().map(|column| (column, Some(1)))).map(
        |((name, type_, json_path, description), priority)| ext::CustomResourceColumnDefinition {
            name: (*name).to_owned(),
            type_: (*type_).to_owned(),
            json_path: (*json_path).to_owned(),
            description: Some((*description).to_owned()),
            priority,
            ..Default::default()
        },
    );
    let version = ext::CustomResourceDefinitionVersion {
        name: T::version(&()).into_owned(),
        served: true,
        storage: true,
        additional_printer_columns: Some(columns.collect()),
        schema: Some(ext::CustomResourceValidation { open_api_v3_schema }),
        subresources: Some(ext::CustomResourceSubresources {
            scale,
            status: Some(ext::CustomResourceSubresourceStatus(json!({}))),
        }),
        ..Default::default()
    };
    Ok(ext::CustomResourceDefinition {
        metadata: ObjectMeta {
            name: Some(format!("{plural}.{}", T::group(&()))),
            ..ObjectMeta::default()
        },
        spec: ext::CustomResourceDefinitionSpec {
            group: T::group(&()).into_owned(),
            names: ext::CustomResourceDefinitionNames {
                list_kind: Some(format!("{kind}List")),
                singular: Some(kind.to_lowercase()),
                kind,
                plural,
                short_names: Some(vec![short_name.to_owned()]),
                ..Default::default()
            },
            scope: "Namespaced".to_owned(),
            versions: vec![version],
            ..Default::default()
        },
        status: None,
    })
}

#[cfg(test)]
mod tests;

//! Bounds and rules of GameServers.
//!
//! Texts of the status are not bounded where they repeat what somebody else wrote (a probe's output, a kubelet's message):
//! a bound would not shorten them, it would stop the status.

use serde_json::json;

use super::{
    patterns::{DNS_LABEL, LABEL_VALUE, PRIORITY},
    rule::{Node, at},
};
use crate::game_server::reported::{LONGEST_HEALTH_REASON, MOST_PLAYERS};

/// Message of the rule that keeps a server with a deletion claim from being allocated.
pub const CLAIMED: &str = "this game server is being deleted and can no longer be allocated";

/// Message for priorities that no label could show.
pub(super) const PRIORITY_MESSAGE: &str =
    "a priority is a whole number of at least 0, written as a number (10) or as a string of digits (\"10\")";

/// What to write as an opsState.
pub(super) const OPS_STATE_MESSAGE: &str = "opsState is shown as a Pod label: use letters, digits, '-', '_' and '.', and begin and end with a letter or \
     digit, for example Maintaining";

pub(super) fn nodes() -> Vec<Node> {
    let mut nodes = vec![
        at("").rule(&claim_rule(), CLAIMED),
        at("spec.opsState")
            .max_length(63)
            .rule(&format!("self.matches({LABEL_VALUE})"), OPS_STATE_MESSAGE),
        at("spec.updatePriority")
            .max_length(18)
            .rule(PRIORITY, PRIORITY_MESSAGE),
        at("spec.deletionPriority")
            .max_length(18)
            .rule(PRIORITY, PRIORITY_MESSAGE),
    ];
    nodes.extend(containers("spec.containers"));
    nodes.extend(status());
    nodes
}

/// An allocation is a change of opsState to `Allocated`. A server that was allocated before the claim keeps its opsState:
/// only the change is refused, not the claim.
fn claim_rule() -> String {
    let allocated = |object: &str| {
        format!("has({object}.spec) && has({object}.spec.opsState) && {object}.spec.opsState == 'Allocated'")
    };
    format!(
        "!(has(self.status) && has(self.status.deletionClaim)) || !({new}) || ({old})",
        new = allocated("self"),
        old = allocated("oldSelf"),
    )
}

/// Rules of a list of per-server container overrides.
pub(super) fn containers(path: &str) -> Vec<Node> {
    let item = format!("{path}[]");
    let mut nodes = vec![
        at(path).max_items(32).rule(
            "self.all(c, self.exists_one(o, o.name == c.name))",
            "each container may be listed once: merge the entries of the same name",
        ),
        at(&format!("{item}.name")).max_length(63).rule(
            &format!("self.matches({DNS_LABEL})"),
            "name is the name of a container of the template: lower-case letters, digits and '-'",
        ),
        at(&format!("{item}.image")).max_length(1024),
        at(&format!("{item}.resources.claims")).max_items(16),
        at(&format!("{item}.resources.claims[].name")).max_length(63),
        at(&format!("{item}.resources.claims[].request")).max_length(63),
    ];
    for kind in ["limits", "requests"] {
        nodes.push(at(&format!("{item}.resources.{kind}")).max_properties(16));
        nodes.push(at(&format!("{item}.resources.{kind}{{}}")).max_length(64).rule(
            "type(self) == int ? self >= 0 : isQuantity(self)",
            "write a quantity such as \"500m\", \"2\" or \"2Gi\"",
        ));
    }
    nodes
}

fn status() -> Vec<Node> {
    let mut nodes = reports();
    nodes.extend([
        at("status.conditions").keyed_by("type"),
        at("status.serviceQualitiesConditions").keyed_by("name"),
        at("status.deletionClaim.podUID").set("minLength", 1).max_length(64),
        at("status.deletionClaim.reason").set("minLength", 1).max_length(64),
        at("status.podStatus")
            .set(
                "description",
                "Copy of the Pod's status. Its fields are not listed here, so that no field of a newer Kubernetes is dropped: \
                 what is stored always equals what was written.",
            )
            // One field to server-side apply: the copy is replaced whole, so nothing of an earlier Pod stays in it, and
            // managedFields has one entry for it instead of one for each field.
            .set("x-kubernetes-map-type", "atomic"),
        at("").set("description", json!("The operational record of one game server: what its operators want of it, and how it is.")),
    ]);
    nodes
}

/// What a server may say about itself: game-api refuses it first, with words for whoever programs the game.
fn reports() -> Vec<Node> {
    vec![
        at("status.players.count").range(0, MOST_PLAYERS.into()),
        at("status.players.capacity").range(0, MOST_PLAYERS.into()),
        at("status.reported").set("required", json!(["podUID"])),
        at("status.reported.podUID").set("minLength", 1).max_length(64),
        at("status.reported.healthReason").max_length(LONGEST_HEALTH_REASON),
    ]
}

//! Bounds and rules of GameServerSets, except for the template, service qualities and network.

use serde_json::json;

use super::{
    patterns::{DNS_LABEL, LABEL_VALUE},
    rule::{Node, at},
};

const LONGEST_NAME: u32 = 52;
const MOST_REPLICAS: i64 = 10_000;

const MAX_UNAVAILABLE: &str = "type(self) == int ? self >= 1 : self.matches('^([1-9][0-9]?|100)%$')";
const MAX_UNAVAILABLE_MESSAGE: &str = "maxUnavailable is a number of at least 1 (2), or a percentage from \"1%\" to \"100%\"; with 0 nothing would ever happen";

const RANGE: &str = "'^ *[0-9]{1,7} *- *[0-9]{1,7} *$'";

pub(super) fn nodes() -> Vec<Node> {
    let mut nodes = root();
    nodes.extend(ids());
    nodes.extend(strategies());
    nodes.extend(lifecycle());
    nodes.extend(status());
    nodes
}

fn root() -> Vec<Node> {
    let service_name = |object: &str| format!("(has({object}.serviceName) ? {object}.serviceName : '')");
    vec![
        at("")
            .set("required", json!(["spec"]))
            .set(
                "properties",
                json!({ "metadata": { "type": "object", "properties": { "name": { "type": "string", "maxLength": 253 } } } }),
            )
            // The longest thing made of the name is the label `<name>-<hash of ten>`, which has 63 characters at most.
            // Sets that exist already keep working: their names cannot be changed.
            .rule_with_optional_old(
                &format!(
                    "oldSelf.hasValue() || (self.metadata.name.size() <= {LONGEST_NAME} && self.metadata.name.matches({DNS_LABEL}))"
                ),
                "metadata.name becomes part of host names and labels: use at most 52 lower-case letters, digits and '-', without '.'",
            ),
        at("spec")
            .set("required", json!(["replicas"]))
            .rule(
                &format!("{} == {}", service_name("self"), service_name("oldSelf")),
                "serviceName cannot be changed after creation: make a new GameServerSet with the other serviceName",
            ),
        at("spec.replicas").range(0, MOST_REPLICAS),
        at("spec.serviceName").max_length(63).rule(
            &format!("self == '' || self.matches({DNS_LABEL})"),
            "serviceName is the name of a Service: lower-case letters, digits and '-', for example minecraft",
        ),
    ]
}

fn ids() -> Vec<Node> {
    vec![
        at("spec.reserveGameServerIds").max_items(2000),
        at("spec.reserveGameServerIds[]")
            .max_length(32)
            .rule(
                &format!("type(self) == int ? self >= 0 && self <= 9999999 : self.matches({RANGE})"),
                "a reserved id is a number from 0 to 9999999 (3), or a range with both ends included (\"3-7\"); a single id is \
                 written without quotes",
            )
            .rule(
                &format!(
                    "type(self) == int || !self.matches({RANGE}) || \
                     int(self.split('-')[0].trim()) <= int(self.split('-')[1].trim())"
                ),
                "a range of reserved ids begins with its lower end: write \"3-7\", not \"7-3\"",
            ),
    ]
}

fn strategies() -> Vec<Node> {
    let rolling = "spec.updateStrategy.rollingUpdate";
    vec![
        at(&format!("{rolling}.partition")).set("minimum", 0),
        at(&format!("{rolling}.maxUnavailable"))
            .max_length(8)
            .rule(MAX_UNAVAILABLE, MAX_UNAVAILABLE_MESSAGE),
        at(&format!("{rolling}.minReadySeconds")).range(0, 300),
        at(&format!("{rolling}.inPlaceUpdateStrategy.gracePeriodSeconds")).set("minimum", 0),
        at("spec.scaleStrategy.maxUnavailable")
            .max_length(8)
            .rule(MAX_UNAVAILABLE, MAX_UNAVAILABLE_MESSAGE),
    ]
}

fn lifecycle() -> Vec<Node> {
    let mut nodes = Vec::new();
    for hook in ["preDelete", "inPlaceUpdate", "preNormal"] {
        let hook = format!("spec.lifecycle.{hook}");
        nodes.push(at(&hook).rule(
            "(has(self.labelsHandler) && self.labelsHandler.size() > 0) || \
             (has(self.finalizersHandler) && self.finalizersHandler.size() > 0)",
            "a lifecycle hook needs something to wait for: set labelsHandler, for example gs-sync/delete-block: \"true\", or \
             finalizersHandler",
        ));
        nodes.push(at(&format!("{hook}.labelsHandler")).max_properties(16));
        nodes.push(at(&format!("{hook}.labelsHandler{{}}")).max_length(63).rule(
            &format!("self.matches({LABEL_VALUE})"),
            "a label value has letters, digits, '-', '_' and '.', and begins and ends with a letter or digit, for example \"true\"",
        ));
        nodes.push(at(&format!("{hook}.finalizersHandler")).max_items(16));
        nodes.push(at(&format!("{hook}.finalizersHandler[]")).max_length(316).rule(
            "self.matches('^[^/ ]+/[^/ ]+$')",
            "a finalizer has a domain and a name, for example example.com/drain",
        ));
    }
    nodes
}

fn status() -> Vec<Node> {
    vec![
        at("status.conditions").keyed_by("type"),
        at("status.conditions[].status").set("enum", json!(["True", "False", "Unknown"])),
    ]
}

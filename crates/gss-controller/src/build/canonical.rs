//! One form for all PodSpecs that mean the same.
//!
//! A template is compared by what the API server makes of it, not by its text: whoever writes a default out, reorders keys or
//! adds an empty list changes nothing, and nothing may be rolled for it. Two kinds of error are possible here, and they are not
//! alike. Where two spellings of one meaning are taken for different, Pods are rolled needlessly; where two meanings are taken
//! for the same, a change is never rolled out. So only what is known to be a default is removed, and everything else counts.

use std::fmt::Write as _;

use api_types::keys;
use serde_json::{Map, Value, json};

use super::quantity;

/// Where in a PodSpec a value is: the name of the field that holds it, or holds the list it is in.
type Place<'a> = &'a str;

/// Fields whose empty value says something else than their absence.
const MEANINGFUL_EMPTY: [&str; 10] = [
    "labelSelector",
    "namespaceSelector",
    "selector",
    "preference",
    "downwardAPI",
    "projected",
    "ephemeral",
    "image",
    "hostPath",
    "metadata",
];

/// Maps of the user's own keys: an empty value in them is a value.
const MAPS: [&str; 6] = [
    "nodeSelector",
    "matchLabels",
    "labels",
    "annotations",
    "volumeAttributes",
    "options",
];

/// The canonical form of a PodSpec, for comparing only: the readiness gate that is ours to add is left out.
pub fn pod_spec(spec: &Value) -> Value {
    let mut spec = tidy(spec, "spec");
    let Value::Object(fields) = &mut spec else {
        return spec;
    };
    // The old name of serviceAccountName, filled in by the API server.
    let account = fields
        .get("serviceAccountName")
        .or(fields.get("serviceAccount"))
        .cloned();
    fields.remove("serviceAccount");
    if let Some(account) = account.filter(|account| account != "default") {
        fields.insert("serviceAccountName".into(), account);
    } else {
        fields.remove("serviceAccountName");
    }
    if fields.get("hostNetwork") == Some(&Value::Bool(true)) {
        strip_host_ports(fields);
    }
    if let Some(Value::Array(gates)) = fields.get_mut("readinessGates") {
        gates.retain(|gate| {
            gate.get("conditionType")
                .is_none_or(|gate| gate != keys::IN_PLACE_UPDATE_READY)
        });
        if gates.is_empty() {
            fields.remove("readinessGates");
        }
    }
    spec
}

/// With the host's network the API server makes each port a host port.
fn strip_host_ports(spec: &mut Map<String, Value>) {
    for list in ["containers", "initContainers"] {
        let containers = spec
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten();
        let ports = containers.filter_map(|container| container.get_mut("ports")?.as_array_mut());
        for port in ports.flatten().filter_map(Value::as_object_mut) {
            if port.get("hostPort") == port.get("containerPort") {
                port.remove("hostPort");
            }
        }
    }
}

fn tidy(value: &Value, place: Place<'_>) -> Value {
    match value {
        Value::Object(fields) => tidy_object(fields, place),
        Value::Array(items) => Value::Array(items.iter().map(|item| tidy(item, place)).collect()),
        scalar => scalar.clone(),
    }
}

fn tidy_object(fields: &Map<String, Value>, place: Place<'_>) -> Value {
    if matches!(place, "limits" | "requests") {
        return amounts(fields);
    }
    let mut tidied = Map::new();
    for (name, value) in fields {
        if value.is_null() {
            continue;
        }
        if MAPS.contains(&place) {
            tidied.insert(name.clone(), value.clone());
            continue;
        }
        let value = match name.as_str() {
            "sizeLimit" | "divisor" => amount(value),
            _ => tidy(value, name),
        };
        let empty = match &value {
            Value::Object(inner) => inner.is_empty(),
            Value::Array(inner) => inner.is_empty(),
            _ => false,
        };
        if (empty && !MEANINGFUL_EMPTY.contains(&name.as_str())) || is_default(place, name, &value, fields) {
            continue;
        }
        tidied.insert(name.clone(), value);
    }
    if place == "resources" {
        strip_requests(&mut tidied);
    }
    Value::Object(tidied)
}

/// Whether the API server would fill in this very value.
fn is_default(place: Place<'_>, name: &str, value: &Value, siblings: &Map<String, Value>) -> bool {
    let default = match (place, name) {
        ("spec", "dnsPolicy") => json!("ClusterFirst"),
        ("spec", "restartPolicy") => json!("Always"),
        ("spec", "schedulerName") => json!("default-scheduler"),
        ("spec", "terminationGracePeriodSeconds") => json!(30),
        ("spec", "enableServiceLinks") => json!(true),
        ("spec", "hostNetwork" | "hostPID" | "hostIPC")
        | ("containers" | "initContainers", "stdin" | "stdinOnce" | "tty")
        | (_, "readOnly") => json!(false),
        (
            "spec",
            "nodeName" | "priorityClassName" | "serviceAccountName" | "serviceAccount" | "hostname"
            | "subdomain",
        )
        | ("env", "value")
        | ("volumeMounts", "subPath" | "subPathExpr")
        | ("containers" | "initContainers", "workingDir")
        | ("grpc", "service")
        | ("hostPath", "type") => json!(""),
        ("containers" | "initContainers", "imagePullPolicy") => {
            json!(default_pull_policy(
                siblings.get("image").and_then(Value::as_str).unwrap_or_default()
            ))
        }
        ("containers" | "initContainers", "terminationMessagePath") => json!("/dev/termination-log"),
        ("containers" | "initContainers", "terminationMessagePolicy") => json!("File"),
        ("ports", "protocol") => json!("TCP"),
        ("ports", "hostPort") => json!(0),
        ("livenessProbe" | "readinessProbe" | "startupProbe", field) => match field {
            "timeoutSeconds" | "successThreshold" => json!(1),
            "periodSeconds" => json!(10),
            "failureThreshold" => json!(3),
            "initialDelaySeconds" => json!(0),
            _ => return false,
        },
        ("httpGet", "scheme") => json!("HTTP"),
        ("httpGet", "path") => json!("/"),
        ("fieldRef", "apiVersion") => json!("v1"),
        ("resourceFieldRef", "divisor") => json!("0"),
        ("secret" | "configMap" | "projected" | "downwardAPI", "defaultMode") => json!(420),
        ("serviceAccountToken", "expirationSeconds") => json!(3600),
        ("securityContext", "procMount") => json!("Default"),
        _ => return false,
    };
    *value == default
}

/// The pull policy of a container that names none: `Always` for what may be another image tomorrow.
pub fn default_pull_policy(image: &str) -> &'static str {
    let name = image.rsplit('/').next().unwrap_or_default();
    let moving = !name.contains('@') && name.split_once(':').is_none_or(|(_, tag)| tag == "latest");
    if moving { "Always" } else { "IfNotPresent" }
}

/// Requests default to the limits.
fn strip_requests(resources: &mut Map<String, Value>) {
    let limits = resources.get("limits").cloned();
    let Some(Value::Object(requests)) = resources.get_mut("requests") else {
        return;
    };
    requests.retain(|name, amount| limits.as_ref().and_then(|limits| limits.get(name)) != Some(amount));
    if requests.is_empty() {
        resources.remove("requests");
    }
}

fn amounts(fields: &Map<String, Value>) -> Value {
    let present = fields.iter().filter(|(_, value)| !value.is_null());
    Value::Object(
        present
            .map(|(name, value)| (name.clone(), amount(value)))
            .collect(),
    )
}

/// A quantity in one spelling. Zero is kept: it is a statement.
fn amount(value: &Value) -> Value {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        other => return other.clone(),
    };
    match quantity::parse(&text) {
        Some(0) => json!("0"),
        Some(nano) => json!(format!("{nano}n")),
        None => json!(text),
    }
}

/// JSON with sorted keys: `serde_json` may keep insertion order, depending on features other crates switch on.
pub fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().filter(|(_, value)| !value.is_null()).collect();
            entries.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (key, value) in entries {
                // Writing to a String cannot fail.
                let _ = write!(out, "{}:", Value::from(key.as_str()));
                self::write(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                self::write(item, out);
                out.push(',');
            }
            out.push(']');
        }
        scalar => {
            let _ = write!(out, "{scalar}");
        }
    }
}

#[cfg(test)]
#[path = "canonical_tests.rs"]
mod tests;

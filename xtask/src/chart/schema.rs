//! The schema of the chart's values: unknown keys are refused, and flags are those that the controllers have.

use serde_json::{Map, Value, json};

/// Key in the values, and the controller.
const CONTROLLERS: [(&str, &str); 9] = [
    ("gssController", "gss-controller"),
    ("gsController", "gs-controller"),
    ("podSync", "pod-sync"),
    ("nodeWatcher", "node-watcher"),
    ("networkPlugins", "network-plugins"),
    ("qualityProber", "quality-prober"),
    ("playerAutoscaler", "player-autoscaler"),
    ("externalScaler", "external-scaler"),
    ("gameApi", "game-api"),
];

/// Flags that the chart sets from other values, or that make no sense in a Pod.
const TAKEN: [&str; 21] = [
    "admin-address",
    "admin-code-file",
    "compat",
    "cri-socket",
    "game-api-url",
    "insecure-http",
    "kubeconfig",
    "lease-identity",
    "lease-name",
    "lease-namespace",
    "listen-address",
    "mode",
    "namespace",
    "node-name",
    "ports-namespace",
    "print-openapi",
    "scaler-address",
    "scaler-tls-cert",
    "scaler-tls-client-ca",
    "scaler-tls-key",
    "shards",
];
/// More of them, of game-api.
const TAKEN_TLS: [&str; 3] = ["tls-cert-file", "tls-key-file", "token-audience"];

/// Flags that may be set for all controllers at once.
const COMMON: [&str; 8] = [
    "event-burst",
    "event-qps",
    "lease-duration",
    "log-format",
    "log-level",
    "renew-deadline",
    "resync",
    "retry-period",
];

/// The schema, with the flags that `gamekeeper flags` tells.
pub(super) fn of_values(flags: &Value) -> Value {
    let mut properties = everything();
    for (key, controller) in CONTROLLERS {
        let mut own = common_of_controllers();
        own.insert("flags".into(), flags_of(&flags[controller], is_free));
        own.append(&mut special(key, &flags[controller]));
        properties.insert(key.into(), closed(own));
    }
    let common = flags_of(&flags["pod-sync"], |flag| COMMON.contains(&flag));
    properties.insert("commonFlags".into(), common);
    let mut schema = Map::new();
    schema.insert("$schema".into(), json!("http://json-schema.org/draft-07/schema#"));
    schema.insert("title".into(), json!("Values of the chart gamekeeper"));
    schema.extend(closed(properties).as_object().cloned().unwrap_or_default());
    Value::Object(schema)
}

/// An object with these keys and no others.
fn closed(properties: impl IntoIterator<Item = (String, Value)>) -> Value {
    let properties: Map<String, Value> = properties.into_iter().collect();
    json!({"type": "object", "additionalProperties": false, "properties": properties})
}

fn object(properties: &Value) -> Value {
    closed(properties.as_object().cloned().unwrap_or_default())
}

fn is_free(flag: &str) -> bool {
    !TAKEN.contains(&flag) && !TAKEN_TLS.contains(&flag)
}

fn flags_of(flags: &Value, chosen: impl Fn(&str) -> bool) -> Value {
    let flags = flags.as_object().into_iter().flatten();
    let chosen = flags.filter(|(name, _)| chosen(name));
    closed(chosen.map(|(name, flag)| (name.clone(), flag_schema(flag))))
}

fn flag_schema(flag: &Value) -> Value {
    let mut schema = match flag["type"].as_str() {
        Some("integer") => json!({"type": "integer", "minimum": 0}),
        Some("boolean" | "switch") => json!({"type": "boolean"}),
        _ => json!({"type": "string", "minLength": 1}),
    };
    if flag["values"].as_array().is_some_and(|values| !values.is_empty()) {
        schema["enum"] = flag["values"].clone();
    }
    if flag["repeatable"] == true {
        schema = json!({"type": "array", "items": schema});
    }
    let help = flag["help"].as_str().unwrap_or_default();
    schema["description"] = match flag["default"].as_str() {
        Some(default) => json!(format!("{help} [default: {default}]")),
        None => json!(help),
    };
    schema
}

fn text() -> Value {
    json!({"type": "string"})
}

fn texts() -> Value {
    json!({"type": "object", "additionalProperties": {"type": "string"}})
}

fn switch() -> Value {
    json!({"type": "boolean"})
}

/// What Kubernetes checks by itself.
fn list() -> Value {
    json!({"type": "array", "items": {"type": "object"}})
}

fn name() -> Value {
    json!({"type": "string", "maxLength": 63, "pattern": "^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$"})
}

fn path() -> Value {
    json!({"type": "string", "pattern": "^/"})
}

fn port() -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": 65535})
}

/// How a Pod is made.
fn pod() -> Map<String, Value> {
    let pod = json!({
        "resources": {"type": "object"},
        "priorityClassName": text(),
        "nodeSelector": texts(),
        "tolerations": list(),
        "affinity": {"type": "object"},
        "topologySpreadConstraints": {"type": ["array", "null"], "items": {"type": "object"}},
        "podAnnotations": texts(),
        "podLabels": texts(),
        "hostAliases": list(),
        "extraEnv": list(),
        "terminationGracePeriodSeconds": {"type": "integer", "minimum": 30},
        "pdb": object(&json!({
            "enabled": switch(),
            "maxUnavailable": {"type": ["integer", "string"]},
        })),
    });
    pod.as_object().cloned().unwrap_or_default()
}

fn common_of_controllers() -> Map<String, Value> {
    let mut own = pod();
    own.insert("enabled".into(), switch());
    own.insert("replicas".into(), json!({"type": "integer", "minimum": 0}));
    own
}

fn service() -> Value {
    object(&json!({
        "type": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
        "port": port(),
        "annotations": texts(),
    }))
}

/// What only this controller has.
fn special(key: &str, flags: &Value) -> Map<String, Value> {
    let special = match key {
        "podSync" => json!({"shards": {
            "type": "integer", "minimum": 0, "maximum": 256, "description": flags["shards"]["help"],
        }}),
        "qualityProber" => {
            let mut node = pod();
            node.remove("pdb");
            node.insert("namespace".into(), name());
            node.insert("socketFolder".into(), path());
            node.insert("socket".into(), json!({"type": "string", "pattern": "^[^/]+$"}));
            let of_leases = ["lease-duration", "renew-deadline", "retry-period", "leader-elect"];
            let free = |flag: &str| is_free(flag) && !of_leases.contains(&flag);
            node.insert("flags".into(), flags_of(flags, free));
            json!({"mode": {"enum": ["central", "node", "actions"]}, "node": closed(node)})
        }
        "externalScaler" => json!({
            "service": service(),
            "tls": object(&json!({"secretName": text(), "clientCaKey": text()})),
        }),
        "gameApi" => json!({
            "url": {"type": "string", "pattern": "^(https?://.+)?$"},
            "service": service(),
            "tls": object(&json!({"secretName": text()})),
            "insecureHttp": switch(),
            "tokenAudience": text(),
            "compat": object(&json!({"enabled": switch(), "adminCodeSecretName": text()})),
        }),
        _ => json!({}),
    };
    special.as_object().cloned().unwrap_or_default()
}

/// What is no controller's.
fn everything() -> Map<String, Value> {
    let all = json!({
        // Helm gives it to a chart that is part of another.
        "global": {"type": "object"},
        "image": object(&json!({
            "repository": {"type": "string", "minLength": 1, "pattern": "^[a-z0-9][a-z0-9./:_-]*$"},
            "tag": {"type": "string", "pattern": "^[A-Za-z0-9_.-]*$"},
            "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
            "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
            "pullSecrets": list(),
        })),
        "namespaces": {"type": "array", "uniqueItems": true, "items": {
            "type": "string", "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        }},
        "crds": object(&json!({"install": switch()})),
        "apiServer": object(&json!({"host": text(), "port": {"type": ["integer", "string"]}})),
        "defaults": closed(pod()),
        "priorityClass": object(&json!({
            "create": switch(),
            "value": {"type": "integer", "maximum": 1_000_000_000},
        })),
        "metrics": object(&json!({
            "annotations": switch(),
            "podMonitor": object(&json!({
                "enabled": switch(),
                "interval": {"type": "string", "pattern": "^[0-9]+(ms|s|m)$"},
                "labels": texts(),
            })),
            "alerts": object(&json!({"enabled": switch(), "labels": texts()})),
            "dashboards": object(&json!({"enabled": switch(), "labels": texts()})),
        })),
        "networkPolicy": object(&json!({
            "enabled": switch(),
            "metricsFrom": list(),
            "scalerFrom": list(),
            "gameApiFrom": list(),
            "apiServer": object(&json!({"to": list(), "ports": {"type": "array", "minItems": 1, "items": port()}})),
        })),
    });
    all.as_object().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> Value {
        json!({"pod-sync": {
            "shards": {"type": "integer", "help": "Parts", "default": "1", "values": [], "repeatable": false},
            "concurrency": {"type": "integer", "help": "At once", "default": "32", "values": [], "repeatable": false},
            "log-format": {"type": "string", "help": "Form", "default": "json", "values": ["json", "text"], "repeatable": false},
            "kubeconfig": {"type": "string", "help": "Path", "default": null, "values": [], "repeatable": false},
        }})
    }

    #[test]
    fn flags_are_those_of_the_controller_but_for_what_the_chart_sets() {
        let schema = of_values(&flags());
        let pod_sync = &schema["properties"]["podSync"]["properties"];
        let flags = pod_sync["flags"]["properties"].as_object().unwrap();
        assert_eq!(flags.keys().collect::<Vec<_>>(), ["concurrency", "log-format"]);
        assert_eq!(flags["concurrency"]["type"], "integer");
        assert_eq!(flags["log-format"]["enum"], json!(["json", "text"]));
        assert_eq!(pod_sync["shards"]["description"], "Parts");
        assert_eq!(
            schema["properties"]["commonFlags"]["properties"]["log-format"]["type"],
            "string"
        );
    }

    /// A key that is misspelt is refused wherever it stands, unless Kubernetes is to check what is below.
    #[test]
    fn every_object_is_closed() {
        fn walk(path: &str, schema: &Value) {
            if let Some(properties) = schema["properties"].as_object() {
                assert_eq!(schema["additionalProperties"], false, "{path}");
                for (key, below) in properties {
                    walk(&format!("{path}.{key}"), below);
                }
            }
        }
        walk("", &of_values(&flags()));
    }
}

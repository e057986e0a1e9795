//! Who may write what: the table of `docs/architecture.md`, as a check of request bodies.

use api_types::keys::{annotation, label};
use serde_json::Value;

use super::Call;

/// Labels and annotations of Pods that are pod-sync's alone.
const SYNCED: &[&str] = &[
    label::GS_STATE,
    label::GS_OPS_STATE,
    label::GS_UPDATE_PRIORITY,
    label::GS_DELETE_PRIORITY,
    label::NETWORK_DISABLED,
    annotation::SYNCED_GENERATION,
    annotation::SYNCED_FROM,
    label::SAFE_TO_EVICT,
    annotation::SAFE_TO_EVICT,
];

/// Fields in `body` that are not this client's to write.
pub(super) fn foreign(client: &str, call: &Call, body: &Value) -> Vec<String> {
    let mut fields = Vec::new();
    match call.verb {
        // A deletion has no fields; a new object is its maker's.
        "delete" => {}
        "create" => {
            let mine = match client.split("-controller").next() {
                Some("gss") => call.resource != "gameserversets",
                Some("gs") => call.resource == "gameservers",
                _ => false,
            };
            if !mine {
                fields.push(format!("a new object of {}", call.resource));
            }
        }
        _ => {
            leaves(body, &mut Vec::new(), &mut fields);
            fields.retain(|field| !is_own(client, &call.resource, field));
        }
    }
    fields
}

fn is_own(client: &str, resource: &str, field: &str) -> bool {
    // What every write carries: preconditions, and the identity of an apply.
    const HEAD: &[&str] = &[
        "apiVersion",
        "kind",
        "metadata/uid",
        "metadata/resourceVersion",
        "metadata/name",
    ];
    if HEAD.contains(&field) {
        return true;
    }
    let key = field
        .strip_prefix("metadata/labels/")
        .or(field.strip_prefix("metadata/annotations/"));
    match (client.split("-controller").next().unwrap_or_default(), resource) {
        ("gss", "gameserversets") => {
            let spec = ["spec/replicas", "spec/reserveGameServerIds"];
            spec.iter().any(|own| field.starts_with(own)) || key.is_some()
        }
        ("gss", "gameserversets/status") => field.starts_with("status"),
        // A Pod goes out of service, and back, in one request: its conditions with its lifecycle state.
        ("gss", "pods/status") => {
            let lifecycle = [label::LIFECYCLE_STATE, annotation::LIFECYCLE_TIMESTAMP];
            field.starts_with("status") || key.is_some_and(|key| lifecycle.contains(&key))
        }
        ("gss", "gameservers/status") => field.starts_with("status/deletionClaim"),
        ("gss", "gameservers") => key == Some(label::GS_DELETING),
        ("gss", "pods" | "pods/resize") => key.is_none_or(|key| !SYNCED.contains(&key)),
        ("gss", "persistentvolumeclaims" | "controllerrevisions" | "poddisruptionbudgets") => true,
        ("gs", "gameservers") => key.is_some_and(|key| key != label::GS_DELETING),
        ("gs", "gameservers/status") => {
            let others = [
                "status/deletionClaim",
                "status/networkStatus",
                "status/serviceQualities",
            ];
            field.starts_with("status") && !others.iter().any(|other| field.starts_with(other))
        }
        ("pod-sync", "pods") => key.is_some() || field.starts_with("spec/containers"),
        _ => false,
    }
}

/// Paths of everything the body sets. Keys of labels and annotations stay whole, though they have slashes.
fn leaves(value: &Value, path: &mut Vec<String>, out: &mut Vec<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                path.push(name.clone());
                leaves(value, path, out);
                path.pop();
            }
        }
        // A JSON patch says its paths itself.
        Value::Array(operations) if path.is_empty() => {
            let paths = operations.iter().filter(|operation| operation["op"] != "test");
            let paths = paths.filter_map(|operation| operation["path"].as_str());
            out.extend(paths.map(|path| path.trim_start_matches('/').replace("~1", "/")));
        }
        _ => out.push(path.join("/")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(client: &str, resource: &str, body: &Value) -> Vec<String> {
        let call = Call {
            verb: "patch",
            resource: resource.into(),
            namespace: "n".into(),
            name: "game-0".into(),
        };
        foreign(client, &call, body)
    }

    #[test]
    fn a_controller_may_write_its_own_fields_and_no_others() {
        let claim = json!({"metadata": {"uid": "u"}, "status": {"deletionClaim": {"podUID": "p"}}});
        assert!(written("gss-controller-2", "gameservers/status", &claim).is_empty());
        assert_eq!(
            written("gs-controller", "gameservers/status", &claim),
            ["status/deletionClaim/podUID"]
        );
        let label = json!({"metadata": {"labels": {"game.kruise.io/gs-opsState": "None"}}});
        assert!(written("pod-sync", "pods", &label).is_empty());
        assert_eq!(
            written("gss-controller", "pods", &label),
            ["metadata/labels/game.kruise.io/gs-opsState"]
        );
        let ops_state = json!({"spec": {"opsState": "None"}});
        for client in ["gss-controller", "gs-controller", "pod-sync"] {
            assert_eq!(written(client, "gameservers", &ops_state), ["spec/opsState"]);
        }
        let listed = json!([{"op": "test", "path": "/metadata/uid", "value": "u"},
            {"op": "remove", "path": "/metadata/labels/gs-sync~1a"}]);
        assert!(written("pod-sync", "pods", &listed).is_empty());
    }
}

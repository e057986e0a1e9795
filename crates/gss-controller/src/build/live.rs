//! Whether a Pod is what a template would make, where no stored revision tells what it was made from.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{canonical, game_api, template::Template};

/// What the API server, its admission plugins and the controllers add to every Pod's spec.
const ADDED: [&str; 8] = [
    "hostname",
    "subdomain",
    "nodeName",
    "priority",
    "preemptionPolicy",
    "serviceAccountName",
    "imagePullSecrets",
    "readinessGates",
];

/// Whether `pod`, as the API server has it, is what `template` makes. Containers of `own_images` and `own_resources` have an
/// image, or CPU and memory, that are not the template's to say.
///
/// What is added on the way from a template to a Pod is left out on both sides, unless the template says it too. Anything else
/// has to be the same.
pub fn is_made_from(
    pod: &Value,
    template: &Template,
    own_images: &BTreeSet<&str>,
    own_resources: &BTreeSet<&str>,
) -> bool {
    let has = |kind: &str, key: &str, value: &str| {
        pod["metadata"][kind].get(key).and_then(Value::as_str) == Some(value)
    };
    let metadata = template
        .labels
        .iter()
        .all(|(key, value)| has("labels", key, value))
        && template
            .annotations
            .iter()
            .all(|(key, value)| has("annotations", key, value));
    let (mut wanted, mut found) = (
        canonical::pod_spec(&template.spec),
        canonical::pod_spec(&pod["spec"]),
    );
    let (Some(wanted), Some(found)) = (wanted.as_object_mut(), found.as_object_mut()) else {
        return false;
    };
    for field in ADDED {
        if !wanted.contains_key(field) || matches!(field, "hostname" | "subdomain" | "readinessGates") {
            found.remove(field);
            wanted.remove(field);
        }
    }
    drop_added_items(wanted, found);
    drop_host_ports(wanted, found);
    game_api::drop_environment(wanted, found);
    drop_own(wanted, own_images, own_resources);
    drop_own(found, own_images, own_resources);
    metadata && wanted == found
}

/// Tolerations and volumes that the template does not have: those of the admission plugins, and volume claims.
fn drop_added_items(wanted: &Map<String, Value>, found: &mut Map<String, Value>) {
    let known = |list: &str, item: &Value| {
        wanted
            .get(list)
            .and_then(Value::as_array)
            .is_some_and(|items| items.contains(item))
    };
    let mut mounted = BTreeSet::new();
    retain(found, "tolerations", |item| {
        let key = item.get("key").and_then(Value::as_str).unwrap_or_default();
        known("tolerations", item)
            || !["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"].contains(&key)
    });
    retain(found, "volumes", |item| {
        let name = item.get("name").and_then(Value::as_str).unwrap_or_default();
        let added = !known("volumes", item)
            && (name.starts_with("kube-api-access-") || item.get("persistentVolumeClaim").is_some());
        if added && name.starts_with("kube-api-access-") {
            mounted.insert(name.to_owned());
        }
        !added
    });
    for list in ["containers", "initContainers"] {
        for container in found
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            let Some(container) = container.as_object_mut() else {
                continue;
            };
            retain(container, "volumeMounts", |mount| {
                mount
                    .get("name")
                    .and_then(Value::as_str)
                    .is_none_or(|name| !mounted.contains(name))
            });
        }
    }
}

/// Host ports that were chosen when the Pod was made, see [`network_plugins::decorate`].
fn drop_host_ports(wanted: &Map<String, Value>, found: &mut Map<String, Value>) {
    let template = |name: Option<&Value>| {
        let mut containers = wanted
            .get("containers")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let container = containers.find(|container| container.get("name") == name);
        container
            .and_then(|container| container.get("ports")?.as_array())
            .cloned()
            .unwrap_or_default()
    };
    for container in found
        .get_mut("containers")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let known = template(container.get("name"));
        if let Some(container) = container.as_object_mut() {
            retain(container, "ports", |port| {
                port.get("hostPort").is_none() || known.contains(port)
            });
        }
    }
}

/// Keeps some items of a list, and no empty list.
pub(super) fn retain(object: &mut Map<String, Value>, list: &str, keep: impl FnMut(&Value) -> bool) {
    if let Some(Value::Array(items)) = object.get_mut(list) {
        items.retain(keep);
        if items.is_empty() {
            object.remove(list);
        }
    }
}

fn drop_own(spec: &mut Map<String, Value>, images: &BTreeSet<&str>, resources: &BTreeSet<&str>) {
    for container in spec
        .get_mut("containers")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let Some(container) = container.as_object_mut() else {
            continue;
        };
        let name = container
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        if images.contains(name.as_str()) {
            container.remove("image");
            // It follows from the image where nobody says it.
            container.remove("imagePullPolicy");
        }
        if resources.contains(name.as_str()) {
            container.remove("resources");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template() -> Template {
        Template {
            labels: [("team".to_owned(), "red".to_owned())].into(),
            spec: json!({
                "containers": [{ "name": "game", "image": "game:1" }],
                "volumes": [{ "name": "data", "emptyDir": {} }],
            }),
            ..Template::default()
        }
    }

    fn pod() -> Value {
        json!({
            "metadata": { "labels": { "team": "red", "controller-revision-hash": "arena-lost" } },
            "spec": {
                "containers": [{
                    "name": "game", "image": "game:1", "imagePullPolicy": "IfNotPresent", "resources": {},
                    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                    "volumeMounts": [{ "name": "kube-api-access-x", "mountPath": "/var/run", "readOnly": true }],
                }],
                "volumes": [
                    { "name": "data", "emptyDir": {} },
                    { "name": "kube-api-access-x", "projected": { "sources": [], "defaultMode": 420 } },
                ],
                "hostname": "arena-0", "subdomain": "arena", "nodeName": "n1", "priority": 0,
                "preemptionPolicy": "PreemptLowerPriority", "serviceAccountName": "default", "serviceAccount": "default",
                "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler",
                "terminationGracePeriodSeconds": 30, "enableServiceLinks": true, "securityContext": {},
                "readinessGates": [{ "conditionType": "InPlaceUpdateReady" }, { "conditionType": "KruisePodReady" }],
                "tolerations": [
                    { "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
                ],
            },
        })
    }

    fn made(pod: &Value, images: &[&str]) -> bool {
        is_made_from(
            pod,
            &template(),
            &images.iter().copied().collect(),
            &BTreeSet::new(),
        )
    }

    #[test]
    fn a_pod_is_known_by_what_it_is() {
        assert!(made(&pod(), &[]));
        let mut other = pod();
        other["spec"]["containers"][0]["image"] = json!("game:2");
        assert!(!made(&other, &[]) && made(&other, &["game"]));
        let mut open = pod();
        open["spec"]["containers"][0]["ports"] =
            json!([{ "containerPort": 80, "hostPort": 8000, "protocol": "TCP" }]);
        assert!(made(&open, &[]), "a host port chosen when the Pod was made");
        let mut told = pod();
        told["spec"]["containers"][0]["env"] = json!([{ "name": "SERVER_NAME", "value": "arena-0" }, { "name": "API_SERVER_CODE", "value": "gk1_x" }]);
        assert!(made(&told, &[]), "what game-api's servers are told");
        let mut more = pod();
        more["spec"]["containers"][0]["env"] = json!([{ "name": "A", "value": "1" }]);
        assert!(!made(&more, &[]), "something that is no longer in the template");
        let mut unlabelled = pod();
        unlabelled["metadata"]["labels"]["team"] = json!("blue");
        assert!(!made(&unlabelled, &[]));
    }
}

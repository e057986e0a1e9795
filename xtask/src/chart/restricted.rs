//! What of a Pod the Pod Security standard `restricted` refuses, and what we ask for beyond it.

use serde_json::Value;

/// Whether the standard is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standard {
    /// All of it.
    Restricted,
    /// All of it but root and one folder of the node, mounted to be read: for a container runtime's socket.
    RuntimeSocket,
}

/// What is wrong with the Pod template `pod`, one line each.
pub(super) fn complaints(pod: &Value, standard: Standard) -> Vec<String> {
    let mut wrong = Vec::new();
    let spec = &pod["spec"];
    for key in ["hostNetwork", "hostPID", "hostIPC"] {
        if spec[key] == true {
            wrong.push(format!("{key} is on"));
        }
    }
    if spec["securityContext"]["seccompProfile"]["type"] != "RuntimeDefault" {
        wrong.push("no seccomp profile".into());
    }
    let user = spec["securityContext"]["runAsUser"].as_u64();
    if standard == Standard::Restricted {
        if spec["securityContext"]["runAsNonRoot"] != true {
            wrong.push("may run as root".into());
        }
        if user.is_none_or(|user| user < 10_000) {
            wrong.push("no numeric user of its own".into());
        }
    }
    wrong.extend(volumes(spec, standard));
    for container in spec["containers"].as_array().into_iter().flatten() {
        wrong.extend(of_container(container));
    }
    wrong
}

fn volumes(spec: &Value, standard: Standard) -> Vec<String> {
    let mut wrong = Vec::new();
    for volume in spec["volumes"].as_array().into_iter().flatten() {
        let name = volume["name"].as_str().unwrap_or_default();
        let of_host = volume.get("hostPath").is_some();
        if !of_host && volume.get("secret").is_none() {
            wrong.push(format!("volume {name} is of a kind that is not expected"));
        }
        if of_host && standard == Standard::Restricted {
            wrong.push(format!("volume {name} is the node's"));
        }
    }
    let containers = spec["containers"].as_array().into_iter().flatten();
    for mount in containers.flat_map(|it| it["volumeMounts"].as_array().into_iter().flatten()) {
        if mount["readOnly"] != true {
            wrong.push(format!("{} can be written to", mount["mountPath"]));
        }
    }
    wrong
}

fn of_container(container: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let context = &container["securityContext"];
    if context["allowPrivilegeEscalation"] != false {
        wrong.push("privileges may grow".into());
    }
    if context["readOnlyRootFilesystem"] != true {
        wrong.push("its root can be written to".into());
    }
    if context["capabilities"]["drop"] != serde_json::json!(["ALL"])
        || context["capabilities"].get("add").is_some()
    {
        wrong.push("capabilities are not dropped".into());
    }
    if context["privileged"] == true {
        wrong.push("privileged".into());
    }
    for (probe, path) in [("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
        if container[probe]["httpGet"]["path"] != path {
            wrong.push(format!("no {probe}"));
        }
    }
    for (part, key) in [("requests", "cpu"), ("requests", "memory"), ("limits", "memory")] {
        if container["resources"][part].get(key).is_none() {
            wrong.push(format!("no {part} of {key}"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Value {
        json!({"spec": {
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "securityContext": {
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
                },
                "livenessProbe": {"httpGet": {"path": "/livez"}},
                "readinessProbe": {"httpGet": {"path": "/readyz"}},
                "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"memory": "1Mi"}},
            }],
        }})
    }

    #[test]
    fn each_weakness_is_found_and_nothing_else() {
        assert_eq!(complaints(&pod(), Standard::Restricted), [""; 0]);
        for (place, value) in [
            ("/spec/securityContext/runAsNonRoot", json!(false)),
            ("/spec/securityContext/runAsUser", json!(0)),
            ("/spec/securityContext/seccompProfile/type", json!("Unconfined")),
            (
                "/spec/containers/0/securityContext/allowPrivilegeEscalation",
                json!(true),
            ),
            (
                "/spec/containers/0/securityContext/readOnlyRootFilesystem",
                json!(false),
            ),
            (
                "/spec/containers/0/securityContext/capabilities",
                json!({"drop": ["ALL"], "add": ["NET_ADMIN"]}),
            ),
            ("/spec/containers/0/livenessProbe", json!(null)),
            ("/spec/containers/0/resources/limits", json!({})),
        ] {
            let mut weak = pod();
            *weak.pointer_mut(place).unwrap() = value;
            assert_eq!(complaints(&weak, Standard::Restricted).len(), 1, "{place}");
        }
        let mut shared = pod();
        shared["spec"]["hostNetwork"] = json!(true);
        assert_eq!(complaints(&shared, Standard::RuntimeSocket).len(), 1);
    }

    #[test]
    fn a_folder_of_the_node_is_the_one_exception_and_only_to_read() {
        let mut pod = pod();
        pod["spec"]["securityContext"] =
            json!({"runAsUser": 0, "seccompProfile": {"type": "RuntimeDefault"}});
        pod["spec"]["volumes"] = json!([{"name": "runtime", "hostPath": {"path": "/run/containerd"}}]);
        pod["spec"]["containers"][0]["volumeMounts"] =
            json!([{"mountPath": "/run/containerd", "readOnly": true}]);
        assert_eq!(complaints(&pod, Standard::RuntimeSocket), [""; 0]);
        assert_eq!(complaints(&pod, Standard::Restricted).len(), 3);
        pod["spec"]["containers"][0]["volumeMounts"][0]["readOnly"] = json!(false);
        assert_eq!(complaints(&pod, Standard::RuntimeSocket).len(), 1);
    }
}

//! The objects themselves, field by field as the two products write them.

use serde_json::{Map, Value, json};

use super::Estate;

const TIME: &str = "2026-01-02T03:04:05Z";

/// What OpenKruise's controllers and the kubelet say of a Pod whose gates are open. `Ready` follows on its own.
pub(super) fn open_gates() -> Value {
    let open = |gate: &str| json!({"type": gate, "status": "True", "lastTransitionTime": TIME});
    json!({"conditions": [open("KruisePodReady"), open("InPlaceUpdateReady")]})
}

pub(super) fn server_status() -> Value {
    json!({
        "desiredState": "Ready", "currentState": "Ready", "updatePriority": "0", "deletionPriority": "0",
        "lastTransitionTime": TIME, "networkStatus": {}, "podStatus": {"phase": "Running"},
    })
}

/// Structural, and nothing but: what is stored comes back as it was.
pub(super) fn definitions() -> [Value; 2] {
    let definition = |plural: &str, singular: &str, kind: &str, version: &str, scale: bool| {
        let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let mut subresources = json!({"status": {}});
        if scale {
            subresources["scale"] =
                json!({"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"});
        }
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.apps.kruise.io")},
            "spec": {
                "group": "apps.kruise.io", "scope": "Namespaced",
                "names": {"plural": plural, "singular": singular, "kind": kind, "listKind": format!("{kind}List")},
                "versions": [{
                    "name": version, "served": true, "storage": true, "subresources": subresources,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": open, "status": open}}},
                }],
            },
        })
    };
    [
        definition("statefulsets", "statefulset", "StatefulSet", "v1beta1", true),
        definition(
            "podprobemarkers",
            "podprobemarker",
            "PodProbeMarker",
            "v1alpha1",
            false,
        ),
    ]
}

impl Estate {
    fn replicas(&self) -> usize {
        self.ids.len()
    }

    fn joined(ids: &[u32]) -> String {
        ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
    }

    /// What the user wrote.
    pub(super) fn game_server_set(&self) -> Value {
        let exec = json!({"command": ["sh", "/idle.sh"]});
        let qualities = json!([{
            "name": "idle", "containerName": "game", "permanent": false, "exec": exec,
            "serviceQualityAction": [{"state": true, "opsState": "WaitToBeDeleted"}],
        }]);
        let claims = json!([{
            "metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }]);
        let mut spec = json!({
            "replicas": self.replicas(),
            "reserveGameServerIds": self.reserved,
            "gameServerTemplate": {
                "reclaimPolicy": self.reclaim_policy,
                "metadata": {"labels": {"tier": "gold"}, "annotations": {"note": "north"}},
                "spec": {"containers": [{
                    "name": "game", "image": "gamekeeper.local/demo/game:1",
                    "resources": {"requests": {"cpu": "0.5", "memory": "64Mi"}},
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                }]},
                "volumeClaimTemplates": claims,
            },
            "updateStrategy": {"rollingUpdate": {"podUpdatePolicy": "InPlaceIfPossible", "maxUnavailable": 2}},
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Retain"},
        });
        if self.probed {
            spec["serviceQualities"] = qualities;
        }
        json!({
            "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet",
            "metadata": {
                "name": self.name,
                "annotations": {"game.kruise.io/reserve-ids": Self::joined(&self.reserved)},
            },
            "spec": spec,
        })
    }

    pub(super) fn set_status(&self) -> Value {
        let replicas = self.replicas();
        json!({
            "observedGeneration": 1, "replicas": replicas, "currentReplicas": replicas, "readyReplicas": replicas,
            "availableReplicas": replicas, "updatedReplicas": replicas, "updatedReadyReplicas": replicas,
            "maintainingReplicas": 0, "waitToBeDeletedReplicas": 0, "preDeleteReplicas": 0,
            "labelSelector": format!("game.kruise.io/owner-gss={}", self.name),
        })
    }

    /// The template as OpenKruiseGame renders it and OpenKruise's webhook fills in defaults.
    fn template(&self, image: &str) -> Value {
        let container = json!({
            "image": image, "imagePullPolicy": "IfNotPresent", "name": "game",
            "resources": {"requests": {"cpu": "500m", "memory": "64Mi"}},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            "volumeMounts": [{"mountPath": "/data", "name": "data"}],
        });
        json!({
            "metadata": {
                "annotations": {"note": "north"}, "creationTimestamp": null,
                "labels": {"game.kruise.io/owner-gss": self.name, "tier": "gold"},
            },
            "spec": {
                "containers": [container], "dnsPolicy": "ClusterFirst",
                "readinessGates": [{"conditionType": "InPlaceUpdateReady"}], "restartPolicy": "Always",
                "schedulerName": "default-scheduler", "securityContext": {}, "terminationGracePeriodSeconds": 30,
            },
        })
    }

    pub(super) fn workload(&self, set_uid: &str) -> Value {
        let mut reserved: Vec<u32> = self.reserved.iter().chain(&self.holes).copied().collect();
        reserved.sort_unstable();
        let spec = self.game_server_set()["spec"].clone();
        let order = json!({"orderPriority": [{"orderedKey": "game.kruise.io/gs-update-priority"}]});
        json!({
            "apiVersion": "apps.kruise.io/v1beta1", "kind": "StatefulSet",
            "metadata": {
                "name": self.name,
                "annotations": {"game.kruise.io/asts-hash": "1234567890"},
                "ownerReferences": [owner("game.kruise.io/v1alpha1", "GameServerSet", &self.name, set_uid, true)],
            },
            "spec": {
                "replicas": self.replicas(),
                "reserveOrdinals": reserved,
                "serviceName": self.name,
                "podManagementPolicy": "Parallel",
                "revisionHistoryLimit": 10,
                "selector": {"matchLabels": {"game.kruise.io/owner-gss": self.name}},
                "template": self.template("gamekeeper.local/demo/game:1"),
                "volumeClaimTemplates": spec["gameServerTemplate"]["volumeClaimTemplates"],
                "persistentVolumeClaimRetentionPolicy": spec["persistentVolumeClaimRetentionPolicy"],
                "scaleStrategy": {},
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {
                    "partition": 0, "maxUnavailable": 2, "podUpdatePolicy": "InPlaceIfPossible", "minReadySeconds": 0,
                    "unorderedUpdate": {"priorityStrategy": order},
                }},
            },
        })
    }

    pub(super) fn workload_status(&self, workload: &kube::api::DynamicObject) -> Value {
        let (replicas, revision) = (self.replicas(), self.revision_name());
        json!({
            "observedGeneration": workload.metadata.generation, "replicas": replicas, "readyReplicas": replicas,
            "availableReplicas": replicas, "currentReplicas": replicas, "updatedReplicas": replicas,
            "updatedReadyReplicas": replicas, "currentRevision": revision, "updateRevision": revision,
            "collisionCount": 0, "labelSelector": format!("game.kruise.io/owner-gss={}", self.name),
        })
    }

    /// Name of the revision all Pods are on.
    pub fn revision_name(&self) -> String {
        self.name_of(&self.data("gamekeeper.local/demo/game:1"))
    }

    pub(super) fn revision(&self, workload_uid: &str) -> Value {
        self.controller_revision(&self.data("gamekeeper.local/demo/game:1"), 2, workload_uid)
    }

    pub(super) fn old_revision(&self, workload_uid: &str) -> Value {
        self.controller_revision(&self.data("gamekeeper.local/demo/game:0"), 1, workload_uid)
    }

    /// `data`, with keys in order, as Go writes maps.
    fn data(&self, image: &str) -> Value {
        let mut template = self.template(image);
        template["$patch"] = json!("replace");
        sorted(&json!({"spec": {"template": template}}))
    }

    fn name_of(&self, data: &Value) -> String {
        // FNV-1, 32 bits, over the bytes and the collision count.
        let hash = format!("{data}0").bytes().fold(0x811c_9dc5_u32, |hash, byte| {
            hash.wrapping_mul(0x0100_0193) ^ u32::from(byte)
        });
        let safe = |digit: u8| char::from(b"456789bcdf"[usize::from(digit - b'0')]);
        let digits: String = hash.to_string().bytes().map(safe).collect();
        format!("{}-{digits}", self.name)
    }

    fn controller_revision(&self, data: &Value, number: u32, workload_uid: &str) -> Value {
        let name = self.name_of(data);
        let hash = name.rsplit('-').next().unwrap_or_default();
        json!({
            "apiVersion": "apps/v1", "kind": "ControllerRevision",
            "metadata": {
                "name": name,
                "labels": {"game.kruise.io/owner-gss": self.name, "tier": "gold", "controller.kubernetes.io/hash": hash},
                "annotations": {"game.kruise.io/asts-hash": "1234567890"},
                "ownerReferences": [owner("apps.kruise.io/v1beta1", "StatefulSet", &self.name, workload_uid, true)],
            },
            "data": data, "revision": number,
        })
    }

    /// With `whenDeleted: Delete` the workload owns it, without controlling it.
    pub(super) fn claim(&self, id: u32, workload_uid: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": format!("data-{}-{id}", self.name),
                "labels": {"game.kruise.io/owner-gss": self.name},
                "ownerReferences": [owner("apps.kruise.io/v1beta1", "StatefulSet", &self.name, workload_uid, false)],
            },
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        })
    }

    pub(super) fn pod(&self, id: u32, node: &str, workload_uid: &str) -> Value {
        let name = format!("{}-{id}", self.name);
        let template = self.template("gamekeeper.local/demo/game:1");
        let mut spec = template["spec"].clone();
        spec["readinessGates"] =
            json!([{"conditionType": "InPlaceUpdateReady"}, {"conditionType": "KruisePodReady"}]);
        spec["hostname"] = json!(name);
        spec["subdomain"] = json!(self.name);
        spec["nodeName"] = json!(node);
        spec["volumes"] =
            json!([{"name": "data", "persistentVolumeClaim": {"claimName": format!("data-{name}")}}]);
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": name,
                "generateName": format!("{}-", self.name),
                "labels": {
                    "tier": "gold",
                    "game.kruise.io/owner-gss": self.name,
                    "game.kruise.io/gs-opsState": self.ops_state(id),
                    "game.kruise.io/gs-state": "Ready",
                    "game.kruise.io/gs-update-priority": "0",
                    "game.kruise.io/gs-delete-priority": "0",
                    "game.kruise.io/network-disabled": "false",
                    "statefulset.kubernetes.io/pod-name": name,
                    "apps.kubernetes.io/pod-index": id.to_string(),
                    "controller-revision-hash": self.revision_name(),
                    "lifecycle.apps.kruise.io/state": "Normal",
                },
                "annotations": {
                    "note": "north",
                    "lifecycle.apps.kruise.io/timestamp": TIME,
                    "apps.kruise.io/runtime-containers-meta": "{\"containers\":[]}",
                    "game.kruise.io/opsState-last-changed-time": TIME,
                    "game.kruise.io/state-last-changed-time": TIME,
                },
                "ownerReferences": [owner("apps.kruise.io/v1beta1", "StatefulSet", &self.name, workload_uid, true)],
            },
            "spec": spec,
        })
    }

    /// The last server has players.
    fn ops_state(&self, id: u32) -> &'static str {
        if self.ids.last() == Some(&id) {
            "Allocated"
        } else {
            "None"
        }
    }

    pub(super) fn game_server(&self, id: u32, pod_uid: &str, set_uid: &str) -> Value {
        let name = format!("{}-{id}", self.name);
        let owner = if self.reclaim_policy == "Delete" {
            owner(
                "game.kruise.io/v1alpha1",
                "GameServerSet",
                &self.name,
                set_uid,
                true,
            )
        } else {
            owner("v1", "Pod", &name, pod_uid, true)
        };
        json!({
            "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServer",
            "metadata": {
                "name": name,
                "labels": {"game.kruise.io/owner-gss": self.name, "tier": "gold"},
                "annotations": {"note": "north", "game.kruise.io/gsTemplate-metadata-hash": "987654321"},
                "ownerReferences": [owner],
            },
            "spec": {
                "opsState": self.ops_state(id), "updatePriority": 0, "deletionPriority": 0, "networkDisabled": false,
            },
        })
    }

    pub(super) fn probe_marker(&self, set_uid: &str) -> Value {
        let exec = json!({"command": ["sh", "/idle.sh"]});
        json!({
            "apiVersion": "apps.kruise.io/v1alpha1", "kind": "PodProbeMarker",
            "metadata": {
                "name": self.name,
                "annotations": {"game.kruise.io/ppm-hash": "55555"},
                "finalizers": ["kruise.io/node-pod-probe-cleanup"],
                "ownerReferences": [owner("game.kruise.io/v1alpha1", "GameServerSet", &self.name, set_uid, true)],
            },
            "spec": {
                "selector": {"matchLabels": {"game.kruise.io/owner-gss": self.name}},
                "probes": [{
                    "name": "idle", "containerName": "game", "podConditionType": "game.kruise.io/idle",
                    "probe": {"exec": exec, "timeoutSeconds": 5, "initialDelaySeconds": 10, "periodSeconds": 3},
                }],
            },
        })
    }
}

fn owner(api_version: &str, kind: &str, name: &str, uid: &str, controller: bool) -> Value {
    let mut owner = json!({"apiVersion": api_version, "kind": kind, "name": name, "uid": uid});
    if controller {
        owner["controller"] = json!(true);
        owner["blockOwnerDeletion"] = json!(true);
    }
    owner
}

/// The same value with the keys of every object in order, whatever features `serde_json` was built with.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut entries: Vec<_> = fields.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            let entries = entries
                .into_iter()
                .map(|(key, value)| (key.clone(), sorted(value)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

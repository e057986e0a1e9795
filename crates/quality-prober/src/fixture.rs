//! Sets, Pods and GameServers for tests, read from JSON the way the watch reads them.

use api_types::ServiceQuality;
use serde_json::{Value, json};

use crate::views::{GameServerView, PodView, SetView};

/// A service quality with these fields, not permanent.
pub(crate) fn quality(name: &str, fields: &Value) -> ServiceQuality {
    let mut quality = json!({"name": name, "permanent": false});
    quality
        .as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    serde_json::from_value(quality).unwrap()
}

/// The set `arena` with these service qualities.
pub(crate) fn set(qualities: &Value) -> SetView {
    serde_json::from_value(json!({
        "metadata": {"name": "arena", "namespace": "games", "uid": "set-uid", "generation": 1},
        "spec": {"serviceQualities": qualities},
    }))
    .unwrap()
}

/// A Pod in the making.
#[derive(Clone, Debug)]
pub(crate) struct Pod(pub(crate) Value);

/// A Pod of the set `arena` whose containers `game` and `agent` have run since the beginning of 2026.
pub(crate) fn pod() -> Pod {
    let running = |name: &str| {
        json!({"name": name, "containerID": format!("containerd://{name}-0"),
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}})
    };
    Pod(json!({
        "metadata": {
            "name": "arena-0", "namespace": "games", "uid": "pod-uid", "resourceVersion": "1",
            "labels": {"game.kruise.io/owner-gss": "arena"},
            "ownerReferences": [{"apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "name": "arena",
                "uid": "set-uid", "controller": true}],
        },
        "spec": {"containers": [{"name": "game", "ports": [{"name": "health", "containerPort": 8080}]}, {"name": "agent"}]},
        "status": {"podIP": "10.0.0.1", "conditions": [], "containerStatuses": [running("game"), running("agent")]},
    }))
}

impl Pod {
    fn status_of(&mut self, container: &str) -> &mut Value {
        let statuses = self.0["status"]["containerStatuses"].as_array_mut().unwrap();
        statuses
            .iter_mut()
            .find(|status| status["name"] == container)
            .unwrap()
    }

    /// The container does not run.
    pub(crate) fn waiting(mut self, container: &str) -> Self {
        self.status_of(container)["state"] = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        self
    }

    /// The container was started anew.
    pub(crate) fn restarted(mut self, container: &str, id: &str, at: &str) -> Self {
        self.status_of(container)["containerID"] = json!(format!("containerd://{id}"));
        self.status_of(container)["state"] = json!({"running": {"startedAt": at}});
        self
    }

    /// Sets or adds the condition of a service quality.
    pub(crate) fn condition(mut self, quality: &str, status: &str, message: &str) -> Self {
        let type_ = format!("game.kruise.io/{quality}");
        let reason = match status {
            "True" => "ProbeSucceeded",
            "False" => "ProbeFailed",
            _ => "ContainerNotFound",
        };
        let conditions = self.0["status"]["conditions"].as_array_mut().unwrap();
        conditions.retain(|condition| condition["type"] != *type_);
        conditions.push(
            json!({"type": type_, "status": status, "reason": reason, "message": message,
            "lastProbeTime": "2026-01-01T00:00:05Z"}),
        );
        self
    }

    pub(crate) fn uid(mut self, uid: &str) -> Self {
        self.0["metadata"]["uid"] = json!(uid);
        self
    }

    pub(crate) fn terminating(mut self) -> Self {
        self.0["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        self
    }

    pub(crate) fn view(&self) -> PodView {
        serde_json::from_str(&self.0.to_string()).unwrap()
    }
}

/// A GameServer with these spec fields, that nothing has acted on.
pub(crate) fn server(spec: &Value) -> GameServerView {
    serde_json::from_value(json!({
        "metadata": {"name": "arena-0", "namespace": "games", "uid": "server-uid", "resourceVersion": "1"},
        "spec": spec,
    }))
    .unwrap()
}

//! Whether a set has come to rest as it should, judged from what the API server stores.

use std::collections::BTreeSet;

use api_types::{keys, names};
use serde_json::Value;

use super::history::{GAME_SERVER, History, POD, SET};

/// What a set at rest must look like.
#[derive(Debug, Clone, Default)]
pub struct Rest {
    /// Servers, each Ready.
    pub servers: usize,
    /// Their ids, where these are certain.
    pub ids: Option<BTreeSet<u32>>,
    /// How many of them run this image.
    pub image: Option<(String, usize)>,
    /// Whether no update is left to do.
    pub updated: bool,
}

impl Rest {
    /// So many servers, whatever their ids.
    pub fn of(servers: usize) -> Self {
        Self {
            servers,
            ..Self::default()
        }
    }

    /// The servers with these ids.
    pub fn ids(ids: &[u32]) -> Self {
        Self {
            servers: ids.len(),
            ids: Some(ids.iter().copied().collect()),
            ..Self::default()
        }
    }

    /// `count` of the servers run `image`.
    #[must_use]
    pub fn with_image(mut self, image: &str, count: usize) -> Self {
        self.image = Some((image.to_owned(), count));
        self
    }

    /// The set says that its update is over.
    #[must_use]
    pub fn updated(mut self) -> Self {
        self.updated = true;
        self
    }

    /// The first thing that is not so; `None` at rest.
    pub fn difference(&self, set: &str, history: &History) -> Option<String> {
        let pods: Vec<_> = history.of(POD).filter(|(_, pod)| owner(pod) == set).collect();
        if pods.len() != self.servers {
            return Some(format!("{} Pods, expected {}", pods.len(), self.servers));
        }
        let servers = history.of(GAME_SERVER).filter(|(_, gs)| owner(gs) == set).count();
        if servers != self.servers {
            return Some(format!("{servers} GameServers, expected {}", self.servers));
        }
        let ids: BTreeSet<u32> = pods
            .iter()
            .filter_map(|(name, _)| names::ordinal_of(name))
            .collect();
        if let Some(wanted) = self.ids.as_ref().filter(|wanted| **wanted != ids) {
            return Some(format!("ids {ids:?}, expected {wanted:?}"));
        }
        if let Some((image, count)) = &self.image {
            let running = pods.iter().filter(|(_, pod)| runs(pod, image)).count();
            if running != *count {
                return Some(format!("{running} Pods run {image}, expected {count}"));
            }
        }
        pods.iter()
            .find_map(|(name, pod)| server_difference(name, pod, history.get(GAME_SERVER, name)))
            .or_else(|| set_difference(history.get(SET, set), self))
    }
}

/// The set an object is labelled with.
pub fn owner(object: &Value) -> &str {
    label(object, keys::label::OWNER_GSS)
}

/// A label; empty where there is none.
pub fn label<'a>(object: &'a Value, key: &str) -> &'a str {
    object["metadata"]["labels"][key].as_str().unwrap_or_default()
}

/// Text at a JSON pointer; empty where there is none.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The object's UID.
pub fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

/// Whether its deletion was accepted.
pub fn is_terminating(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

/// Whether the Pod's condition Ready is True.
pub fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
}

/// UID of the owner that controls it.
pub fn controller(object: &Value) -> &str {
    let owners = object["metadata"]["ownerReferences"].as_array();
    let controller = owners.and_then(|all| all.iter().find(|owner| owner["controller"] == true));
    controller
        .and_then(|owner| owner["uid"].as_str())
        .unwrap_or_default()
}

/// Whether spec and status show this image in the first container.
fn runs(pod: &Value, image: &str) -> bool {
    text(pod, "/spec/containers/0/image") == image && text(pod, "/status/containerStatuses/0/image") == image
}

fn server_difference(name: &str, pod: &Value, server: Option<&Value>) -> Option<String> {
    if is_terminating(pod) || !is_ready(pod) {
        return Some(format!("Pod {name} is not Ready"));
    }
    let Some(server) = server else {
        return Some(format!("Pod {name} has no GameServer"));
    };
    if is_terminating(server) {
        return Some(format!("GameServer {name} is being deleted"));
    }
    if text(server, "/status/deletionClaim/podUID") == uid(pod) {
        return Some(format!("Pod {name} is claimed and still there"));
    }
    let pods = server["metadata"]["ownerReferences"].as_array();
    let earlier = pods.is_some_and(|all| all.iter().any(|o| o["kind"] == "Pod" && o["uid"] != uid(pod)));
    if earlier {
        return Some(format!("GameServer {name} belongs to an earlier Pod"));
    }
    let state = text(server, "/status/currentState");
    let ops_state = server["spec"]["opsState"].as_str().unwrap_or("None");
    let shown = [keys::label::GS_STATE, keys::label::GS_OPS_STATE].map(|key| label(pod, key));
    if [state, shown[0]] != ["Ready", "Ready"] {
        return Some(format!("{name} is {state:?}, its Pod says {:?}", shown[0]));
    }
    if shown[1] != ops_state {
        return Some(format!(
            "{name} has opsState {ops_state:?}, its Pod {:?}",
            shown[1]
        ));
    }
    let synced = pod["metadata"]["annotations"][keys::annotation::SYNCED_GENERATION].as_str();
    let generation = server["metadata"]["generation"].to_string();
    (synced != Some(&generation))
        .then(|| format!("{name} has generation {generation}, its Pod shows {synced:?}"))
}

fn set_difference(set: Option<&Value>, rest: &Rest) -> Option<String> {
    let Some(set) = set else {
        return Some("the set is gone".into());
    };
    let status = &set["status"];
    if status["observedGeneration"] != set["metadata"]["generation"] {
        return Some(format!(
            "status is of generation {}, the set has {}",
            status["observedGeneration"], set["metadata"]["generation"]
        ));
    }
    for counter in ["currentReplicas", "readyReplicas", "availableReplicas"] {
        if status[counter] != rest.servers {
            return Some(format!(
                "status.{counter} is {}, expected {}",
                status[counter], rest.servers
            ));
        }
    }
    let revisions = ["currentRevision", "updateRevision"].map(|name| status[name].as_str());
    if rest.updated && revisions[0] != revisions[1] {
        return Some(format!(
            "the set is on its way from revision {:?} to {:?}",
            revisions[0], revisions[1]
        ));
    }
    let left = status["plan"]["deleting"].as_array().map_or(0, Vec::len);
    (left > 0).then(|| format!("{left} deletions are still planned"))
}

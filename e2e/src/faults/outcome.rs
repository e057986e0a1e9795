//! What a plan led to, without what differs from run to run: names of the world's own making, UIDs, times.

use std::collections::{BTreeMap, BTreeSet};

use api_types::keys;
use serde::Serialize;
use serde_json::{Value, json};

use super::history::{CLAIM, GAME_SERVER, History, POD, SET};
use super::invariants::our_deletions;
use super::ledger::Entry;
use super::rest::{is_ready, is_terminating, label, text, uid};

/// The end state, and how often each object was made. Two runs of one workload must give the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Objects by kind and name; where names are a matter of chance, by content.
    pub objects: BTreeMap<String, Value>,
    /// Incarnations of each Pod and volume claim by name.
    pub made: BTreeMap<String, usize>,
}

impl Outcome {
    /// The outcome of a history. `racy`: which servers were chosen was up to a race, so names do not count.
    /// `entries` are the requests of the controllers.
    pub fn of(history: &History, racy: bool, entries: &[Entry]) -> Self {
        let mut objects = BTreeMap::new();
        for ((kind, name), object) in &history.now {
            let (key, content) = match *kind {
                POD => (name.as_str(), pod(object)),
                GAME_SERVER => (name.as_str(), game_server(object)),
                SET => (name.as_str(), set(object, racy)),
                CLAIM => (name.as_str(), json!({"owners": owners(object)})),
                _ => continue,
            };
            if racy && *kind != SET {
                let count = objects
                    .entry(format!("{kind} {content}"))
                    .or_insert_with(|| json!(0));
                *count = json!(count.as_u64().unwrap_or_default() + 1);
            } else {
                objects.insert(format!("{kind}/{key}"), content);
            }
        }
        let mut uids: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        // A GameServer may be made once more for a Pod that is gone already, and collected: its maker sees the GameServer's end
        // first. Pods are made under a stored plan, and as often as that says.
        let by_mistake = taken_by_mistake(history, entries);
        for event in history
            .events
            .iter()
            .filter(|event| [POD, CLAIM].contains(&event.kind))
        {
            if by_mistake.contains(uid(&event.object)) {
                continue;
            }
            let key = if racy {
                event.kind.to_owned()
            } else {
                format!("{}/{}", event.kind, event.name)
            };
            uids.entry(key).or_default().insert(uid(&event.object));
        }
        let made = uids.into_iter().map(|(key, uids)| (key, uids.len())).collect();
        Self { objects, made }
    }

    /// What differs from the clean run, in words; at most five differences.
    pub fn differences(&self, clean: &Self) -> Vec<String> {
        let keys: BTreeSet<&String> = self.objects.keys().chain(clean.objects.keys()).collect();
        let mut found = Vec::new();
        for key in keys {
            let (here, there) = (self.objects.get(key), clean.objects.get(key));
            if here != there {
                found.push(difference(key, here, there));
            }
        }
        let names: BTreeSet<&String> = self.made.keys().chain(clean.made.keys()).collect();
        for name in names {
            let (here, there) = (self.made.get(name), clean.made.get(name));
            if here != there {
                let times = |count: Option<&usize>| count.copied().unwrap_or_default();
                found.push(format!(
                    "{name} was made {} times, in the clean run {}",
                    times(here),
                    times(there)
                ));
            }
        }
        found.truncate(5);
        found
    }
}

/// UIDs of Pods that the simulated kubelet took away by mistake. It ends a terminating Pod by its name, at times twice: the second
/// request finds the Pod that was made in its place. A real one names the UID. Nobody else gives a Pod no time to end.
pub(super) fn taken_by_mistake(history: &History, entries: &[Entry]) -> BTreeSet<String> {
    let ours = our_deletions(entries);
    let (mut ran, mut going, mut taken) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for event in history.ordered().iter().filter(|event| event.kind == POD) {
        let pod = event.object.as_ref();
        if text(pod, "/status/phase") != "Pending" {
            ran.insert(uid(pod).to_owned());
        }
        if !event.deleted && !is_terminating(pod) {
            continue;
        }
        let begins = going.insert(uid(pod).to_owned());
        let at_once = pod["metadata"]["deletionGracePeriodSeconds"] == 0;
        if !ours.contains_key(uid(pod)) && begins && (at_once || !ran.contains(uid(pod))) {
            taken.insert(uid(pod).to_owned());
        }
    }
    taken
}

fn difference(key: &str, here: Option<&Value>, there: Option<&Value>) -> String {
    let (Some(Value::Object(here)), Some(Value::Object(there))) = (here, there) else {
        return format!("{key}: {here:?}, in the clean run {there:?}");
    };
    let fields: BTreeSet<&String> = here.keys().chain(there.keys()).collect();
    let different = fields
        .into_iter()
        .filter(|field| here.get(*field) != there.get(*field));
    let told: Vec<String> = different
        .map(|field| {
            format!(
                "{field} is {}, in the clean run {}",
                here.get(field).unwrap_or(&Value::Null),
                there.get(field).unwrap_or(&Value::Null)
            )
        })
        .collect();
    format!("{key}: {}", told.join("; "))
}

fn pod(pod: &Value) -> Value {
    let shown = [
        keys::label::GS_STATE,
        keys::label::GS_OPS_STATE,
        keys::label::LIFECYCLE_STATE,
        keys::label::GS_UPDATE_PRIORITY,
        keys::label::GS_DELETE_PRIORITY,
    ];
    let labels: BTreeMap<&str, &str> = shown.iter().map(|key| (*key, label(pod, key))).collect();
    let volumes = pod["spec"]["volumes"].as_array();
    let claims: Vec<&Value> = volumes
        .into_iter()
        .flatten()
        .map(|volume| &volume["persistentVolumeClaim"]["claimName"])
        .filter(|claim| !claim.is_null())
        .collect();
    json!({"image": text(pod, "/spec/containers/0/image"), "ready": is_ready(pod), "labels": labels, "claims": claims,
        "restarts": pod["status"]["containerStatuses"][0]["restartCount"], "owners": owners(pod)})
}

fn game_server(server: &Value) -> Value {
    json!({"spec": server["spec"], "state": server["status"]["currentState"],
        "desired": server["status"]["desiredState"], "claimed": !server["status"]["deletionClaim"].is_null(),
        "deleting": label(server, keys::label::GS_DELETING), "owners": owners(server)})
}

/// In a race the record's ids and reserves are a matter of chance too.
fn set(set: &Value, racy: bool) -> Value {
    let status = &set["status"];
    let conditions = status["conditions"].as_array();
    let conditions: BTreeMap<&str, String> = conditions
        .into_iter()
        .flatten()
        .map(|c| {
            (
                text(c, "/type"),
                format!("{} {}", text(c, "/status"), text(c, "/reason")),
            )
        })
        .collect();
    let counters: BTreeMap<&String, &Value> = status
        .as_object()
        .into_iter()
        .flatten()
        // How many writes of the spec came before is a matter of timing: two Kills may be answered in one.
        .filter(|(name, value)| value.is_number() && *name != "observedGeneration")
        .collect();
    let plan = if racy {
        Value::Null
    } else {
        json!({"desired": status["plan"]["desired"], "deleting": status["plan"]["deleting"]})
    };
    json!({"replicas": set["spec"]["replicas"], "reserved": set["spec"]["reserveGameServerIds"],
        "counters": counters, "conditions": conditions, "plan": plan})
}

/// Kinds of the owners; their UIDs differ from run to run.
fn owners(object: &Value) -> Vec<&str> {
    let owners = object["metadata"]["ownerReferences"].as_array();
    owners
        .into_iter()
        .flatten()
        .map(|owner| text(owner, "/kind"))
        .collect()
}

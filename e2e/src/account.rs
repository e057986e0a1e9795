//! The account of a failed test: the namespace's objects and events, and the controllers' log lines about it.

use std::fmt::Write as _;
use std::path::Path;

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::World;

/// Folder of the controllers' logs.
const LOGS: &str = "GAMEKEEPER_TEST_LOGS";
/// Log lines shown for each controller.
const TAIL: usize = 40;

pub(crate) async fn of(world: &World) -> String {
    let snapshot = world.now();
    let mut text = format!("\n==== namespace {} as the test saw it last\n", world.namespace);
    for set in snapshot.sets.values() {
        line(&mut text, "GameServerSet", &short(set.as_ref(), &[]));
    }
    for server in snapshot.servers.values() {
        line(&mut text, "GameServer", &short(server.as_ref(), &["podStatus"]));
    }
    for pod in snapshot.pods.values() {
        line(&mut text, "Pod", &pod_facts(pod));
    }
    for error in world.watch_errors() {
        line(&mut text, "watch", &json!(error));
    }
    events(&mut text, world).await;
    if let Some(directory) = std::env::var_os(LOGS) {
        logs(&mut text, Path::new(&directory), &world.namespace);
    }
    text
}

fn line(text: &mut String, kind: &str, value: &Value) {
    let _ = writeln!(text, "{kind:<14} {value}");
}

/// The object without what nobody reads, and without the named fields of its status.
fn short(object: &impl serde::Serialize, without: &[&str]) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    for key in ["managedFields", "creationTimestamp", "namespace"] {
        remove(&mut value["metadata"], key);
    }
    for key in without {
        remove(&mut value["status"], key);
    }
    for key in ["apiVersion", "kind"] {
        remove(&mut value, key);
    }
    value
}

fn remove(value: &mut Value, key: &str) {
    if let Some(fields) = value.as_object_mut() {
        fields.remove(key);
    }
}

fn pod_facts(pod: &Pod) -> Value {
    let status = pod.status.as_ref();
    let conditions: Vec<String> = status
        .and_then(|status| status.conditions.as_ref())
        .into_iter()
        .flatten()
        .map(|condition| format!("{}={}", condition.type_, condition.status))
        .collect();
    json!({
        "name": pod.name_any(),
        "uid": pod.uid(),
        "node": pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref()),
        "phase": status.and_then(|status| status.phase.as_ref()),
        "conditions": conditions,
        "containers": status.and_then(|status| status.container_statuses.as_ref()),
        "deletionTimestamp": pod.metadata.deletion_timestamp,
        "finalizers": pod.finalizers(),
        "owners": pod.owner_references().iter().map(|owner| format!("{}/{}", owner.kind, owner.name)).collect::<Vec<_>>(),
        "labels": pod.labels(),
        "annotations": pod.annotations(),
    })
}

async fn events(text: &mut String, world: &World) {
    let api: Api<Event> = Api::namespaced(world.client.clone(), &world.namespace);
    let mut events = match api.list(&ListParams::default()).await {
        Ok(list) => list.items,
        Err(error) => return line(text, "events", &json!(error.to_string())),
    };
    events.sort_by_key(|event| event.last_timestamp.clone().map(|time| time.0));
    for event in events {
        let about = event.involved_object.name.unwrap_or_default();
        let (reason, message) = (
            event.reason.unwrap_or_default(),
            event.message.unwrap_or_default(),
        );
        let _ = writeln!(text, "event          {about:<24} {reason:<20} {message}");
    }
}

/// Lines that name the namespace: the controllers serve all tests at once.
fn logs(text: &mut String, directory: &Path, namespace: &str) {
    let files = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    for file in files.filter(|path| path.extension().is_some_and(|extension| extension == "log")) {
        let content = std::fs::read_to_string(&file).unwrap_or_default();
        let about: Vec<&str> = content.lines().filter(|line| line.contains(namespace)).collect();
        let _ = writeln!(text, "---- {}, last lines about {namespace}", file.display());
        for line in &about[about.len().saturating_sub(TAIL)..] {
            let _ = writeln!(text, "{line}");
        }
    }
}

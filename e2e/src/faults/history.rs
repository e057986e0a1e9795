//! What the API server stored, revision by revision, seen by watches of its own that pass no proxy.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::ledger::lock;

/// The kinds that are watched, by plural.
pub const POD: &str = "pods";
/// GameServers.
pub const GAME_SERVER: &str = "gameservers";
/// GameServerSets.
pub const SET: &str = "gameserversets";
/// PersistentVolumeClaims.
pub const CLAIM: &str = "persistentvolumeclaims";

/// One change of one object.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// etcd's revision; one order for all kinds.
    pub revision: u64,
    /// Plural of the kind.
    pub kind: &'static str,
    /// Name of the object.
    pub name: String,
    /// Whether it is gone since.
    pub deleted: bool,
    /// The object, without managedFields.
    pub object: Arc<Value>,
}

/// The objects of one namespace at one moment, by kind and name.
pub type Objects = BTreeMap<(&'static str, String), Arc<Value>>;

/// Everything seen in one namespace.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Changes in the order they were seen; sort by revision for the order they happened in.
    pub events: Vec<Event>,
    /// What exists.
    pub now: Objects,
}

impl History {
    /// The changes in the order they happened in.
    pub fn ordered(&self) -> Vec<Event> {
        let mut events = self.events.clone();
        events.sort_by_key(|event| event.revision);
        events
    }

    /// Objects of one kind that exist.
    pub fn of(&self, kind: &'static str) -> impl Iterator<Item = (&str, &Value)> {
        self.now
            .iter()
            .filter(move |((of, _), _)| *of == kind)
            .map(|((_, name), object)| (name.as_str(), object.as_ref()))
    }

    /// One object, if it exists.
    pub fn get(&self, kind: &'static str, name: &str) -> Option<&Value> {
        self.now.get(&(kind, name.to_owned())).map(Arc::as_ref)
    }

    /// The changes, one JSON object a line.
    pub fn to_lines(&self) -> String {
        let line = |event: &Event| serde_json::to_string(event).unwrap_or_default() + "\n";
        self.ordered().iter().map(line).collect()
    }
}

#[derive(Default)]
struct Namespace {
    history: History,
    changed: watch::Sender<u64>,
}

type Namespaces = Arc<Mutex<HashMap<String, Namespace>>>;

/// Watches all plans of a run at once. The watches end when it is dropped.
pub struct Observer {
    namespaces: Namespaces,
    _watches: Vec<AbortOnDropHandle<()>>,
}

impl Observer {
    /// Starts the watches and waits for their first lists. `client` must lead to the API server directly.
    ///
    /// # Errors
    /// When a watch ends before its first list is complete.
    pub async fn start(client: &Client) -> Result<Self> {
        let namespaces = Namespaces::default();
        let mut watches = Vec::new();
        let mut listed = Vec::new();
        let kinds = [
            (POD, "", "v1", "Pod"),
            (CLAIM, "", "v1", "PersistentVolumeClaim"),
            (GAME_SERVER, "game.kruise.io", "v1alpha1", "GameServer"),
            (SET, "game.kruise.io", "v1alpha1", "GameServerSet"),
        ];
        for (plural, group, version, kind) in kinds {
            let resource = ApiResource {
                group: group.into(),
                version: version.into(),
                api_version: if group.is_empty() {
                    version.into()
                } else {
                    format!("{group}/{version}")
                },
                kind: kind.into(),
                plural: plural.into(),
            };
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            let (ready, is_ready) = watch::channel(false);
            let task = follow(api, plural, Arc::clone(&namespaces), ready);
            watches.push(AbortOnDropHandle::new(tokio::spawn(task)));
            listed.push(is_ready);
        }
        for mut listed in listed {
            listed.wait_for(|ready| *ready).await.context("a watch ended")?;
        }
        Ok(Self {
            namespaces,
            _watches: watches,
        })
    }

    /// Begins to remember what happens in `namespace`; the receiver ticks with every change there.
    pub fn open(&self, namespace: &str) -> watch::Receiver<u64> {
        let mut namespaces = lock(&self.namespaces);
        namespaces
            .entry(namespace.to_owned())
            .or_default()
            .changed
            .subscribe()
    }

    /// Reads what was seen so far; `None` unless the namespace is open.
    pub fn look<R>(&self, namespace: &str, look: impl FnOnce(&History) -> R) -> Option<R> {
        lock(&self.namespaces)
            .get(namespace)
            .map(|found| look(&found.history))
    }

    /// Forgets the namespace and gives what was seen.
    pub fn close(&self, namespace: &str) -> History {
        lock(&self.namespaces)
            .remove(namespace)
            .map(|found| found.history)
            .unwrap_or_default()
    }
}

async fn follow(
    api: Api<DynamicObject>,
    kind: &'static str,
    namespaces: Namespaces,
    ready: watch::Sender<bool>,
) {
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                note(&namespaces, kind, object, false);
            }
            Ok(watcher::Event::Delete(object)) => note(&namespaces, kind, object, true),
            Ok(watcher::Event::InitDone) => {
                let _ = ready.send(true);
            }
            Ok(watcher::Event::Init) | Err(_) => {}
        }
    }
}

fn note(namespaces: &Namespaces, kind: &'static str, mut object: DynamicObject, deleted: bool) {
    let mut namespaces = lock(namespaces);
    let Some(space) = object
        .namespace()
        .and_then(|namespace| namespaces.get_mut(&namespace))
    else {
        return;
    };
    object.metadata.managed_fields = None;
    let name = object.name_any();
    let revision = object
        .resource_version()
        .and_then(|version| version.parse().ok())
        .unwrap_or_default();
    let object = Arc::new(serde_json::to_value(&object).unwrap_or_default());
    let key = (kind, name.clone());
    if deleted {
        space.history.now.remove(&key);
    } else {
        space.history.now.insert(key, Arc::clone(&object));
    }
    space.history.events.push(Event {
        revision,
        kind,
        name,
        deleted,
        object,
    });
    space.changed.send_modify(|ticks| *ticks += 1);
}

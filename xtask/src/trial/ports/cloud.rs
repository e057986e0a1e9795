//! A cloud for Services of type LoadBalancer: it answers late, takes down late, and never forgets who was on which port.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::watcher;
use kube::{Client, ResourceExt as _};
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;

/// Annotation in which this cloud reads the id of a load balancer.
pub(crate) const ID_ANNOTATION: &str = "cloud.example.org/id";
/// What Kubernetes' own cloud controllers keep a Service with until its load balancer is down.
const FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";

/// A port of a load balancer: `id protocol port`.
pub(crate) type Place = String;

/// The cloud. Dropping it ends it.
pub(crate) struct Cloud {
    seen: Arc<Mutex<Seen>>,
    task: AbortOnDropHandle<Result<()>>,
}

#[derive(Default)]
struct Seen {
    /// Which Service (UID and name) is on which ports. One that is being deleted is on them until it is gone.
    places: HashMap<String, (String, BTreeSet<Place>)>,
    /// Two Services on one port, as it was seen.
    duplicates: BTreeSet<String>,
    /// Services that were answered or are about to be.
    answered: HashSet<String>,
    ending: HashSet<String>,
}

impl Cloud {
    /// Starts answering. Each answer takes between a tenth of `delay` and all of it.
    pub(crate) fn start(client: &Client, delay: Duration) -> Self {
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let task = tokio::spawn(follow(client.clone(), Arc::clone(&seen), delay));
        Self {
            seen,
            task: AbortOnDropHandle::new(task),
        }
    }

    /// The ports that Services are on now.
    pub(crate) fn places(&self) -> BTreeSet<Place> {
        let seen = lock(&self.seen);
        seen.places
            .values()
            .flat_map(|(_, places)| places.iter().cloned())
            .collect()
    }

    /// Every time two Services were on one port.
    ///
    /// # Errors
    /// When the cloud has ended: it has not seen everything then.
    pub(crate) fn duplicates(&self) -> Result<Vec<String>> {
        if self.task.is_finished() {
            bail!("the watch of the Services ended");
        }
        Ok(lock(&self.seen).duplicates.iter().cloned().collect())
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn follow(client: Client, seen: Arc<Mutex<Seen>>, delay: Duration) -> Result<()> {
    let all: Api<Service> = Api::all(client.clone());
    let mut events = Box::pin(watcher(all, watcher::Config::default()));
    let mut listed: HashSet<String> = HashSet::new();
    loop {
        // After an error the watcher lists anew, and what went missing meanwhile shows there.
        let Ok(event) = events.try_next().await else {
            continue;
        };
        let Some(event) = event else { return Ok(()) };
        match event {
            watcher::Event::Init => listed.clear(),
            watcher::Event::InitApply(service) => {
                listed.insert(service.uid().unwrap_or_default());
                look(&client, &seen, &service, delay);
            }
            watcher::Event::InitDone => lock(&seen).places.retain(|uid, _| listed.contains(uid)),
            watcher::Event::Apply(service) => look(&client, &seen, &service, delay),
            watcher::Event::Delete(service) => {
                lock(&seen).places.remove(&service.uid().unwrap_or_default());
            }
        }
    }
}

/// Takes in what a Service is on, and does what it asks for, a while later.
fn look(client: &Client, seen: &Arc<Mutex<Seen>>, service: &Service, delay: Duration) {
    let uid = service.uid().unwrap_or_default();
    let is_balancer = is_balancer(service);
    let going = service.metadata.deletion_timestamp.is_some();
    let held = service
        .finalizers()
        .iter()
        .any(|finalizer| finalizer == FINALIZER);
    let begins = {
        let mut seen = lock(seen);
        seen.moved(&uid, &service.name_any(), places(service));
        if going && held {
            seen.ending.insert(uid.clone())
        } else if is_balancer && !going {
            seen.answered.insert(uid.clone())
        } else {
            // One that comes back is answered again.
            seen.answered.remove(&uid);
            false
        }
    };
    if begins {
        let services = Api::namespaced(client.clone(), &service.namespace().unwrap_or_default());
        let answer = answer(services, service.name_any(), uid, going, delay);
        tokio::spawn(answer);
    }
}

fn is_balancer(service: &Service) -> bool {
    let spec = service.spec.as_ref();
    spec.and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer")
}

fn places(service: &Service) -> BTreeSet<Place> {
    let id = service
        .annotations()
        .get(ID_ANNOTATION)
        .filter(|_| is_balancer(service));
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let place = |id: &String, port: &k8s_openapi::api::core::v1::ServicePort| {
        format!("{id} {} {}", port.protocol.as_deref().unwrap_or("TCP"), port.port)
    };
    id.map(|id| ports.map(|port| place(id, port)).collect())
        .unwrap_or_default()
}

impl Seen {
    fn moved(&mut self, uid: &str, name: &str, places: BTreeSet<Place>) {
        for (other, (other_name, taken)) in &self.places {
            if other != uid {
                let twice = places.intersection(taken);
                self.duplicates
                    .extend(twice.map(|place| format!("{place}: {other_name} ({other}) and {name} ({uid})")));
            }
        }
        if places.is_empty() {
            self.places.remove(uid);
        } else {
            self.places.insert(uid.to_owned(), (name.to_owned(), places));
        }
    }
}

/// What a cloud controller writes. A Service that has changed or gone meanwhile is another event's.
async fn answer(services: Api<Service>, name: String, uid: String, going: bool, delay: Duration) {
    tokio::time::sleep(delay.mul_f64(rand::random_range(0.1..1.0))).await;
    let params = PatchParams::default();
    let finalizers = if going { json!(null) } else { json!([FINALIZER]) };
    let body = json!({"metadata": {"uid": uid, "finalizers": finalizers}});
    let kept = services.patch(&name, &params, &Patch::Merge(&body)).await;
    if going || kept.is_err() {
        return;
    }
    let ip = format!("198.51.100.{}", name.len() % 250);
    let body = json!({"metadata": {"uid": uid}, "status": {"loadBalancer": {"ingress": [{"ip": ip}]}}});
    let _ = services.patch_status(&name, &params, &Patch::Merge(&body)).await;
}

/// The ports in the records, and the UID of the Service that has each.
///
/// # Errors
/// When the records can't be read.
pub(crate) async fn recorded(client: &Client) -> Result<BTreeMap<Place, String>> {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::ListParams;
    let records: Api<ConfigMap> = Api::all(client.clone());
    let labelled = ListParams::default().labels("game.kruise.io/network-ports");
    let mut found = BTreeMap::new();
    for record in records.list(&labelled).await? {
        let id = record
            .annotations()
            .get("game.kruise.io/load-balancer-id")
            .cloned()
            .unwrap_or_default();
        for (port, entry) in record.data.iter().flatten() {
            let entry: serde_json::Value = serde_json::from_str(entry)?;
            let service = entry["service"].as_str().unwrap_or_default().to_owned();
            found.insert(format!("{id} {}", port.replace('-', " ")), service);
        }
    }
    Ok(found)
}

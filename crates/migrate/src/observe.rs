//! From the cluster to plain data.

use std::collections::{BTreeMap, BTreeSet};

use api_types::{
    GameServerSetView,
    keys::{IN_PLACE_UPDATE_READY, annotation, label},
    names,
};
use controller_kit::resource::{CONTROLLER_REVISION, GAME_SERVER_SET, POD, PVC};
use gss_controller::plan::{ids::IdSet, record::Record};
use kube::Client;
use serde_json::Value;

use crate::{
    cluster::list,
    error::Error,
    facts::{ClusterFacts, Marker, Owned, PodFacts, SetFacts, StoredSnapshot, Workload},
    kinds::{
        CONFIG_MAP, CRD, DEPLOYMENT, GRACE, KRUISE, KRUISE_POD_READY, MUTATING_WEBHOOK, OKG, PROBE_MARKER,
        Product, VALIDATING_WEBHOOK, WORKLOAD,
    },
    snapshot::{Snapshot, config_map_name},
};

/// Which sets are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Their namespace; empty for all.
    pub namespace: String,
    /// Their names; empty for all.
    pub names: Vec<String>,
}

/// The sets in scope, as they are now.
///
/// # Errors
/// When the API server cannot be reached or refuses.
pub async fn sets(client: &Client, scope: &Scope) -> Result<Vec<SetFacts>, Error> {
    let namespace = scope.namespace.as_str();
    let found = list(client, &GAME_SERVER_SET, namespace).await?;
    // The workloads last: a Pod that changes hands meanwhile is seen with an older version, and its patch is refused.
    let namespaced = Namespaced {
        pods: list(client, &POD, namespace).await?,
        claims: list(client, &PVC, namespace).await?,
        revisions: list(client, &CONTROLLER_REVISION, namespace).await?,
        markers: list(client, &PROBE_MARKER, namespace).await?,
        snapshots: list(client, &CONFIG_MAP, namespace).await?,
        workloads: list(client, &WORKLOAD, namespace).await?,
    };
    let wanted = |set: &&Value| {
        scope.names.is_empty()
            || scope
                .names
                .iter()
                .any(|name| *name == text(set, "/metadata/name"))
    };
    Ok(found
        .iter()
        .filter(wanted)
        .filter_map(|set| namespaced.facts(set))
        .collect())
}

/// What concerns all sets.
///
/// # Errors
/// When the API server cannot be reached or refuses.
pub async fn cluster(client: &Client) -> Result<ClusterFacts, Error> {
    let deployments = list(client, &DEPLOYMENT, "").await?;
    let mut webhooks = list(client, &MUTATING_WEBHOOK, "").await?;
    webhooks.extend(list(client, &VALIDATING_WEBHOOK, "").await?);
    let definitions = list(client, &CRD, "").await?;
    Ok(ClusterFacts {
        okg_running: running(&deployments, OKG),
        okg_webhooks: calling(&webhooks, OKG),
        kruise_running: running(&deployments, KRUISE),
        kruise_webhooks: calling(&webhooks, KRUISE),
        crd_holds_plan: definitions.iter().any(holds_plan),
    })
}

/// Names of objects that still have an owner with this UID, as `Kind name`.
///
/// # Errors
/// When the API server cannot be reached or refuses.
pub async fn owned_by(client: &Client, namespace: &str, uid: &str) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for kind in [POD, PVC, CONTROLLER_REVISION, PROBE_MARKER, CONFIG_MAP] {
        let objects = list(client, &kind, namespace).await?;
        let owned = objects.iter().map(owned).filter(|object| object.is_owned_by(uid));
        found.extend(owned.map(|object| format!("{} {}", kind.kind, object.name)));
    }
    Ok(found)
}

struct Namespaced {
    pods: Vec<Value>,
    claims: Vec<Value>,
    revisions: Vec<Value>,
    markers: Vec<Value>,
    snapshots: Vec<Value>,
    workloads: Vec<Value>,
}

impl Namespaced {
    fn facts(&self, object: &Value) -> Option<SetFacts> {
        let set: GameServerSetView = serde_json::from_value(object.clone()).ok()?;
        let meta = &set.metadata;
        let here = |found: &&Value| text(found, "/metadata/namespace") == meta.namespace;
        let named = |found: &&Value| here(found) && text(found, "/metadata/name") == meta.name;
        let labelled = |found: &Value| found["metadata"]["labels"][label::OWNER_GSS] == meta.name.as_str();
        let workload = self.workloads.iter().find(named).map(workload);
        let owners: BTreeSet<&str> = workload
            .iter()
            .map(|workload| workload.uid.as_str())
            .chain([meta.uid.as_str()])
            .collect();
        let concerns = |found: &Value| {
            labelled(found)
                || owned(found)
                    .owners
                    .iter()
                    .any(|owner| owners.contains(owner.uid.as_str()))
        };
        let of = |objects: &[Value]| -> Vec<Owned> {
            let mine = objects.iter().filter(here).filter(|found| concerns(found));
            mine.map(owned).collect()
        };
        let pods = self.pods.iter().filter(here).filter(|found| concerns(found));
        Some(SetFacts {
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            version: meta.resource_version.clone(),
            generation: meta.generation,
            terminating: meta.is_terminating(),
            replicas: u64::try_from(set.spec.replicas).unwrap_or(0),
            reserved: IdSet::parse_items(&set.spec.reserve_game_server_ids).0,
            acknowledged: meta
                .annotation(annotation::RESERVE_IDS)
                .map(IdSet::parse_joined)
                .unwrap_or_default(),
            record: set.status.plan.as_ref().map(Record::from_api),
            observed: set.status.observed_generation == Some(meta.generation),
            pods: pods.map(|pod| pod_facts(&meta.name, pod)).collect(),
            claims: of(&self.claims),
            revisions: of(&self.revisions),
            marker: self
                .markers
                .iter()
                .find(named)
                .map(marker)
                .filter(|marker| marker.object.is_owned_by(&meta.uid)),
            snapshot: self.snapshot_of(&meta.namespace, &meta.name),
            workload,
        })
    }

    /// What was stored of a set before it was taken over.
    fn snapshot_of(&self, namespace: &str, set: &str) -> Option<StoredSnapshot> {
        let name = config_map_name(set);
        let found = self.snapshots.iter().find(|found| {
            text(found, "/metadata/namespace") == namespace && text(found, "/metadata/name") == name
        })?;
        Some(StoredSnapshot {
            uid: text(found, "/metadata/uid").to_owned(),
            content: Snapshot::from_config_map(found)?,
        })
    }
}

fn workload(object: &Value) -> Workload {
    let meta = owned(object);
    let (spec, status) = (&object["spec"], &object["status"]);
    let reserves = spec.get("reserveOrdinals").cloned().unwrap_or(Value::Null);
    let items = serde_json::from_value::<Option<Vec<api_types::IntOrString>>>(reserves);
    let (reserved, bad) = IdSet::parse_items(&items.ok().flatten().unwrap_or_default());
    Workload {
        controller: meta.controller().map(|owner| owner.uid.clone()),
        uid: meta.uid,
        terminating: meta.terminating,
        observed: status["observedGeneration"].as_i64() >= object["metadata"]["generation"].as_i64(),
        replicas: spec["replicas"].as_u64().unwrap_or(1),
        reserved,
        bad_reserves: bad.into_iter().map(|bad| bad.item).collect(),
        first_ordinal: spec["ordinals"]["start"].as_u64().unwrap_or(0),
        updated: status["updatedReplicas"].as_u64().unwrap_or(0),
        one_revision: status["currentRevision"] == status["updateRevision"],
        manifest: object.clone(),
    }
}

fn marker(object: &Value) -> Marker {
    Marker {
        object: owned(object),
        finalizers: serde_json::from_value(object["metadata"]["finalizers"].clone()).unwrap_or_default(),
        manifest: object.clone(),
    }
}

fn pod_facts(set: &str, object: &Value) -> PodFacts {
    let object_facts = owned(object);
    let status = &object["status"];
    let is_open = |gate: &str| {
        let mut conditions = status["conditions"].as_array().into_iter().flatten();
        conditions.any(|condition| condition["type"] == gate && condition["status"] == "True")
    };
    let gates = object["spec"]["readinessGates"].as_array().into_iter().flatten();
    let gates: BTreeMap<String, bool> = gates
        .filter_map(|gate| gate["conditionType"].as_str())
        .filter(|gate| [KRUISE_POD_READY, IN_PLACE_UPDATE_READY].contains(gate))
        .map(|gate| (gate.to_owned(), is_open(gate)))
        .collect();
    let containers = status["containerStatuses"].as_array().into_iter().flatten();
    let restarts = containers.filter_map(|container| {
        let count = container["restartCount"].as_i64().unwrap_or(0);
        Some((
            container["name"].as_str()?.to_owned(),
            i32::try_from(count).unwrap_or(i32::MAX),
        ))
    });
    PodFacts {
        id: names::ordinal_of(&object_facts.name).filter(|id| names::pod_name(set, *id) == object_facts.name),
        lifecycle: object["metadata"]["labels"][label::LIFECYCLE_STATE]
            .as_str()
            .map(str::to_owned),
        in_grace: object["metadata"]["annotations"].get(GRACE).is_some(),
        phase: text(object, "/status/phase").to_owned(),
        gates,
        restarts: restarts.collect(),
        object: object_facts,
    }
}

/// The part of any object that says what it is and whose.
pub fn owned(object: &Value) -> Owned {
    let owners = object["metadata"]
        .get("ownerReferences")
        .cloned()
        .unwrap_or(Value::Null);
    Owned {
        name: text(object, "/metadata/name").to_owned(),
        uid: text(object, "/metadata/uid").to_owned(),
        version: text(object, "/metadata/resourceVersion").to_owned(),
        terminating: object["metadata"].get("deletionTimestamp").is_some(),
        owners: serde_json::from_value::<Option<Vec<_>>>(owners)
            .ok()
            .flatten()
            .unwrap_or_default(),
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn running(deployments: &[Value], product: Product) -> Vec<String> {
    let is_it = |object: &&Value| {
        let mut containers = object["spec"]["template"]["spec"]["containers"]
            .as_array()
            .into_iter()
            .flatten();
        text(object, "/metadata/name") == product.deployment
            || containers
                .any(|container| image_name(container["image"].as_str().unwrap_or_default()) == product.image)
    };
    // What is still running counts as much as what is meant to run.
    let runs = |object: &&Value| {
        object["spec"]["replicas"].as_u64().unwrap_or(1) > 0
            || object["status"]["replicas"].as_u64().unwrap_or(0) > 0
    };
    let found = deployments.iter().filter(is_it).filter(runs);
    found
        .map(|object| {
            format!(
                "{}/{}",
                text(object, "/metadata/namespace"),
                text(object, "/metadata/name")
            )
        })
        .collect()
}

/// `registry.example/openkruise/kruise-manager:v1.8.0@sha256:…` is `kruise-manager`.
fn image_name(image: &str) -> &str {
    let last = image.split('@').next().and_then(|image| image.rsplit('/').next());
    last.and_then(|name| name.split(':').next()).unwrap_or_default()
}

fn calling(configurations: &[Value], product: Product) -> Vec<String> {
    let calls = |object: &&Value| {
        let mut webhooks = object["webhooks"].as_array().into_iter().flatten();
        webhooks.any(|webhook| webhook["clientConfig"]["service"]["name"] == product.webhook_service)
    };
    let found = configurations.iter().filter(calls);
    found
        .map(|object| text(object, "/metadata/name").to_owned())
        .collect()
}

fn holds_plan(definition: &Value) -> bool {
    let served = definition["spec"]["versions"].as_array().into_iter().flatten();
    text(definition, "/metadata/name") == "gameserversets.game.kruise.io"
        && served
            .filter(|version| version["name"] == api_types::keys::VERSION)
            .any(|version| {
                !version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["plan"].is_null()
            })
}

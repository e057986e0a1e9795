//! Faults of servers and controllers, each with the alert that is to tell of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use api_types::{GameServer, GameServerSet, keys::label};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use e2e::faults::{Door, Trouble};
use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Alert, Judge};
use crate::bench::probe::{PORT, answer};
use crate::fleet::{Controller, ControllerProcess, Fleet, http_get};

const READY: Duration = Duration::from_secs(120);
const SERVERS: usize = 2;
const BLOCK: &str = "example.org/block";

/// Sets that things can be done to.
pub(super) struct Ground {
    client: Client,
    namespace: String,
}

impl Ground {
    /// Makes a set for each fault, and waits until the servers are ready.
    pub(super) async fn create(client: &Client) -> Result<Self> {
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let wanted: Namespace = serde_json::from_value(json!({"metadata": {"generateName": "alerts-"}}))?;
        let ground = Self {
            client: client.clone(),
            namespace: namespaces
                .create(&PostParams::default(), &wanted)
                .await?
                .name_any(),
        };
        let sets = sets();
        for (name, spec) in &sets {
            let set = json!({"apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet",
                "metadata": {"name": name}, "spec": spec});
            let api: Api<GameServerSet> = ground.api();
            api.create(&PostParams::default(), &serde_json::from_value(set)?)
                .await?;
        }
        ground.wait_ready("", sets.len() * SERVERS).await?;
        ground.addresses(true).await?;
        Ok(ground)
    }

    /// Makes a set of its own with many servers, and waits until they are ready.
    pub(super) async fn crowd(&self, set: &str, servers: usize) -> Result<()> {
        let crowd = json!({"apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet",
            "metadata": {"name": set}, "spec": spec(servers, json!({}), &json!({}))});
        let api: Api<GameServerSet> = self.api();
        api.create(&PostParams::default(), &serde_json::from_value(crowd)?)
            .await?;
        self.wait_ready(&format!("{}={set}", label::OWNER_GSS), servers)
            .await
    }

    /// Changes the opsState of a server.
    pub(super) async fn say(&self, server: &str, ops_state: &str) -> Result<()> {
        self.patch::<GameServer>(server, json!({"spec": {"opsState": ops_state}}))
            .await
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn patch<K>(&self, name: &str, patch: Value) -> Result<()>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let api: Api<K> = self.api();
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        Ok(())
    }

    async fn scale(&self, set: &str, replicas: usize) -> Result<()> {
        self.patch::<GameServerSet>(set, json!({"spec": {"replicas": replicas}}))
            .await
    }

    /// Waits for so many ready servers among those that the label selector takes.
    async fn wait_ready(&self, selector: &str, expected: usize) -> Result<()> {
        let deadline = tokio::time::Instant::now() + READY;
        loop {
            let servers: Api<GameServer> = self.api();
            let list = servers.list(&ListParams::default().labels(selector)).await?;
            let state = |server: &GameServer| server.status.as_ref()?.current_state.clone();
            let ready = |server: &&GameServer| state(server).is_some_and(|state| state.as_str() == "Ready");
            let ready = list.iter().filter(ready).count();
            if ready == expected {
                return Ok(());
            }
            ensure!(
                tokio::time::Instant::now() < deadline,
                "{ready} of {expected} servers are ready after {READY:?}"
            );
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// The set's servers say that they have failed, as game-api would write it.
    async fn fail(&self, set: &str) -> Result<()> {
        let pods: Api<Pod> = self.api();
        for number in 0..SERVERS {
            let name = format!("{set}-{number}");
            let uid = pods.get(&name).await?.uid().context("a Pod without a UID")?;
            let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            let reported = json!({"podUID": uid, "health": "Failed", "state": "Running", "heartbeatAt": now});
            let servers: Api<GameServer> = self.api();
            let patch = Patch::Merge(json!({"status": {"reported": reported}}));
            servers
                .patch_status(&name, &PatchParams::default(), &patch)
                .await?;
        }
        Ok(())
    }

    /// The cloud gives the Services of `balanced` their addresses, or takes them back.
    async fn addresses(&self, given: bool) -> Result<()> {
        let services: Api<Service> = self.api();
        let ingress = if given {
            json!([{"ip": "192.0.2.1"}])
        } else {
            Value::Null
        };
        for number in 0..SERVERS {
            let status = json!({"status": {"loadBalancer": {"ingress": ingress}}});
            let name = format!("balanced-{number}");
            services
                .patch_status(&name, &PatchParams::default(), &Patch::Merge(status))
                .await?;
        }
        Ok(())
    }

    /// Deletes everything.
    pub(super) async fn delete(self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces
            .delete(&self.namespace, &DeleteParams::default())
            .await?;
        Ok(())
    }
}

/// Of a set with so many servers, these further fields, and these labels on its Pods.
fn spec(servers: usize, more: Value, labels: &Value) -> Value {
    let mut spec = json!({
        "replicas": servers,
        "gameServerTemplate": {"metadata": {"labels": labels}, "spec": {"terminationGracePeriodSeconds": 0,
            "containers": [{"name": "game", "image": "example.invalid/game:1"}]}},
    });
    if let (Some(spec), Value::Object(more)) = (spec.as_object_mut(), more) {
        spec.extend(more);
    }
    spec
}

fn sets() -> Vec<(&'static str, Value)> {
    let spec = |more: Value, labels: Value| spec(SERVERS, more, &labels);
    let hook = json!({"lifecycle": {"preDelete": {"labelsHandler": {BLOCK: "true"}}}});
    let quality = json!({"name": "answers", "permanent": false, "periodSeconds": 2,
        "httpGet": {"path": "/healthz", "port": PORT}});
    let network = json!({"networkType": "Kubernetes-LoadBalancer",
        "networkConf": [{"name": "PortProtocols", "value": "7777/UDP"}]});
    let in_place = json!({"rollingUpdate": {"podUpdatePolicy": "InPlaceOnly"}});
    vec![
        ("hooked", spec(hook, json!({BLOCK: "true"}))),
        ("kept", spec(json!({}), json!({}))),
        (
            "failing",
            spec(
                json!({"failurePolicy": {"behavior": "Delete", "maxFailures": 1}}),
                json!({}),
            ),
        ),
        ("updated", spec(json!({"updateStrategy": in_place}), json!({}))),
        ("balanced", spec(json!({"network": network}), json!({}))),
        ("probed", spec(json!({"serviceQualities": [quality]}), json!({}))),
    ]
}

/// Faults of servers, all at once: each is in a set of its own.
pub(super) async fn of_servers(judge: &Judge, ground: &Ground) -> Result<Vec<Alert>> {
    let (going, staying) = futures::try_join!(going(judge, ground), staying(judge, ground))?;
    Ok(going.into_iter().chain(staying).collect())
}

/// Of servers that are to go, or are replaced.
async fn going(judge: &Judge, ground: &Ground) -> Result<[Alert; 3]> {
    let last = SERVERS - 1;
    let hooked = judge.follow(
        "GamekeeperPreDeleteStuck",
        "a preDelete hook that does not let go",
        ground.scale("hooked", last),
        ground.patch::<Pod>("hooked-1", json!({"metadata": {"labels": {BLOCK: null}}})),
    );
    let finalizer = json!({"metadata": {"finalizers": [BLOCK]}});
    let kept = judge.follow(
        "GamekeeperClaimHeld",
        "a finalizer on a Pod that is to go",
        async {
            ground.patch::<Pod>("kept-1", finalizer).await?;
            ground.scale("kept", last).await
        },
        ground.patch::<Pod>("kept-1", json!({"metadata": {"finalizers": null}})),
    );
    let failing = judge.follow(
        "GamekeeperNeedsIntervention",
        "two failures where one is allowed",
        ground.fail("failing"),
        ground.patch::<GameServerSet>("failing", json!({"spec": {"failurePolicy": {"maxFailures": 9}}})),
    );
    let all = futures::try_join!(Box::pin(hooked), Box::pin(kept), Box::pin(failing))?;
    Ok(all.into())
}

/// Of servers that stay.
async fn staying(judge: &Judge, ground: &Ground) -> Result<[Alert; 3]> {
    let healthy = Arc::new(AtomicBool::new(true));
    let _answering = answer(probed(Arc::clone(&healthy)))?;
    let template = |more: &Value| {
        let mut container = json!({"name": "game", "image": "example.invalid/game:1"});
        if let (Some(container), Some(more)) = (container.as_object_mut(), more.as_object()) {
            container.extend(more.clone());
        }
        json!({"spec": {"gameServerTemplate": {"spec": {"containers": [container]}}}})
    };
    let (other, same) = (template(&json!({"command": ["run"]})), template(&json!({})));
    let updated = judge.follow(
        "GamekeeperUpdateStuck",
        "InPlaceOnly, and another command",
        ground.patch::<GameServerSet>("updated", other),
        ground.patch::<GameServerSet>("updated", same),
    );
    let balanced = judge.follow(
        "GamekeeperNetworkNotReady",
        "a cloud that takes the addresses back",
        ground.addresses(false),
        ground.addresses(true),
    );
    let answering = async |well: bool| {
        healthy.store(well, Ordering::Relaxed);
        Ok(())
    };
    let probes = judge.follow(
        "GamekeeperProbesFailing",
        "503 to every probe",
        answering(false),
        answering(true),
    );
    let all = futures::try_join!(Box::pin(updated), Box::pin(balanced), Box::pin(probes))?;
    Ok(all.into())
}

fn probed(healthy: Arc<AtomicBool>) -> Router {
    let answer = move || {
        let healthy = Arc::clone(&healthy);
        async move {
            if healthy.load(Ordering::Relaxed) {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    };
    Router::new().route("/healthz", get(answer))
}

/// Faults of controllers, one after the other.
pub(super) async fn of_controllers(judge: &Judge, fleet: &Fleet, door: &Door) -> Result<Vec<Alert>> {
    let gs = process(fleet, Controller::Gs, 0)?;
    // Shorter than its lease: it goes on leading.
    let missing = judge.follow(
        "GamekeeperControllerMissing",
        "gs-controller is frozen",
        gs.signal("STOP"),
        gs.signal("CONT"),
    );
    let mut alerts = vec![missing.await?];
    let trouble = |trouble: Trouble| async move {
        door.set(trouble);
        Ok(())
    };
    let errors = judge.follow(
        "GamekeeperApiErrors",
        "429 to every request of a pod-sync",
        trouble(Trouble::TooMany(1)),
        trouble(Trouble::None),
    );
    alerts.push(errors.await?);
    // Nothing is done to end these: the other replica takes over.
    let done = async { Ok(()) };
    let leader = leader(fleet).await?;
    let frozen = judge.follow(
        "GamekeeperNoLeader",
        "the leading gss-controller is frozen",
        leader.signal("STOP"),
        done,
    );
    alerts.push(frozen.await?);
    let replica = process(fleet, Controller::PodSync, 1)?;
    let done = async { Ok(()) };
    let frozen = judge.follow(
        "GamekeeperShardUnowned",
        "one of two pod-syncs is frozen",
        replica.signal("STOP"),
        done,
    );
    alerts.push(frozen.await?);
    // It goes on without the shards it lost. The leader, who would end, is killed later.
    replica.signal("CONT").await?;
    Ok(alerts)
}

fn process(fleet: &Fleet, controller: Controller, number: usize) -> Result<&ControllerProcess> {
    let mut all = fleet
        .processes
        .iter()
        .filter(|process| process.controller == controller);
    all.nth(number)
        .with_context(|| format!("{} has no process {number}", controller.name()))
}

/// The gss-controller that leads.
async fn leader(fleet: &Fleet) -> Result<&ControllerProcess> {
    for process in &fleet.processes {
        if process.controller == Controller::Gss {
            let (_, text) = http_get(process.admin_port, "/metrics").await?;
            if text
                .lines()
                .any(|line| line.starts_with("gamekeeper_leader{") && line.ends_with(" 1"))
            {
                return Ok(process);
            }
        }
    }
    anyhow::bail!("no gss-controller leads")
}

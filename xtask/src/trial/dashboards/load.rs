//! A bit of everything that controllers do: allocations, scaling, updates, networks, probes, players, nodes that change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use api_types::{GameServer, GameServerSet};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use crate::bench::game_api::{Caller, Certificate, codes};
use crate::bench::probe::{PORT, answer};
use crate::bench::sync::load::churn_nodes;
use crate::trial::changes::Changes;
use crate::trial::{Arena, ArenaSpec, Cloud, ID_ANNOTATION};

/// Servers whose opsState is changed, and how often in a second.
const ALLOCATED: u32 = 20;
const RATE: f64 = 10.0;
/// Servers of the set that is scaled and updated, at most.
const MOVING: u32 = 12;
const SETTLE: Duration = Duration::from_secs(120);
const CLOUD: Duration = Duration::from_millis(50);
/// Between two changes of each kind.
const BEAT: Duration = Duration::from_secs(6);

/// All that the controllers work on.
pub(super) struct Load {
    client: Client,
    namespace: String,
    allocated: Arena,
    moving: Arena,
    healthy: Arc<AtomicBool>,
    _cloud: Cloud,
    _answering: AbortOnDropHandle<()>,
}

impl Load {
    /// Makes the sets, and waits until their servers are ready.
    pub(super) async fn create(client: &Client) -> Result<Self> {
        let healthy = Arc::new(AtomicBool::new(true));
        let answering = answer(servers(Arc::clone(&healthy)))?;
        let cloud = Cloud::start(client, CLOUD);
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let wanted: Namespace = serde_json::from_value(json!({"metadata": {"generateName": "dashboards-"}}))?;
        let made = namespaces.create(&PostParams::default(), &wanted).await?;
        let load = Self {
            allocated: Arena::create(client, ArenaSpec::plain(ALLOCATED)).await?,
            moving: Arena::create(client, ArenaSpec::plain(MOVING)).await?,
            namespace: made.name_any(),
            client: client.clone(),
            healthy,
            _cloud: cloud,
            _answering: answering,
        };
        let mut others = 0;
        for (name, replicas, more) in sets() {
            others += replicas as usize;
            load.set(name, replicas, &more).await?;
        }
        load.allocated.wait_settled(ALLOCATED as usize, SETTLE).await?;
        load.moving.wait_settled(MOVING as usize, SETTLE).await?;
        load.wait_ready(others).await?;
        Ok(load)
    }

    async fn set(&self, name: &str, replicas: u32, more: &Value) -> Result<()> {
        let mut spec = json!({
            "replicas": replicas,
            "gameServerTemplate": {"spec": {"terminationGracePeriodSeconds": 0,
                "containers": [{"name": "game", "image": "example.invalid/game:1"}]}},
        });
        if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) {
            spec.extend(more.clone());
        }
        let set = json!({"apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet",
            "metadata": {"name": name}, "spec": spec});
        let sets: Api<GameServerSet> = Api::namespaced(self.client.clone(), &self.namespace);
        sets.create(&PostParams::default(), &serde_json::from_value(set)?)
            .await?;
        Ok(())
    }

    async fn wait_ready(&self, expected: usize) -> Result<()> {
        let servers: Api<GameServer> = Api::namespaced(self.client.clone(), &self.namespace);
        let deadline = tokio::time::Instant::now() + SETTLE;
        loop {
            let list = servers.list(&ListParams::default()).await?;
            let state = |server: &GameServer| server.status.as_ref()?.current_state.clone();
            let ready = list
                .iter()
                .filter(|server| state(server).is_some_and(|state| state.as_str() == "Ready"));
            let ready = ready.count();
            if ready >= expected {
                return Ok(());
            }
            ensure!(
                tokio::time::Instant::now() < deadline,
                "{ready} of {expected} servers are ready after {SETTLE:?}"
            );
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Lets everything happen at once, for as long as this.
    pub(super) async fn run(&self, time: Duration, certificate: &Certificate, port: u16) -> Result<()> {
        let mut changes =
            Changes::prepare(&self.client, &self.allocated.namespace, ALLOCATED as usize, RATE).await?;
        let _nodes = churn_nodes(&self.client, 1.0).await?;
        let others = async {
            let mut beat = tokio::time::interval(BEAT);
            let end = tokio::time::Instant::now() + time;
            for round in 0_u32.. {
                beat.tick().await;
                if tokio::time::Instant::now() >= end {
                    break;
                }
                self.move_one(round).await?;
                self.report(round, certificate, port).await?;
            }
            anyhow::Ok(())
        };
        let everything = Box::pin(async { Ok(others.await) });
        let (result, phase) = changes.during("dashboards", SETTLE, everything).await?;
        result?;
        ensure!(
            phase.lost == 0,
            "{} changes of opsState never reached their Pods",
            phase.lost
        );
        Ok(())
    }

    /// Scales, updates, and lets probes fail or succeed, in turn.
    async fn move_one(&self, round: u32) -> Result<()> {
        match round % 4 {
            0 => {
                self.scale_ported(4).await?;
                self.moving.scale(MOVING / 2).await
            }
            1 => {
                self.healthy.store(false, Ordering::Relaxed);
                Ok(())
            }
            2 => {
                self.scale_ported(8).await?;
                self.moving.scale(MOVING).await
            }
            _ => {
                self.healthy.store(true, Ordering::Relaxed);
                self.update(round).await
            }
        }
    }

    async fn scale_ported(&self, replicas: u32) -> Result<()> {
        let sets: Api<GameServerSet> = Api::namespaced(self.client.clone(), &self.namespace);
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        sets.patch("ported", &PatchParams::default(), &patch).await?;
        Ok(())
    }

    async fn update(&self, round: u32) -> Result<()> {
        let sets: Api<GameServerSet> = Api::namespaced(self.client.clone(), &self.moving.namespace);
        let image = format!("example.invalid/game:{round}");
        let template = json!({"spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "game", "image": image}]}});
        let patch = json!({"spec": {"gameServerTemplate": template}});
        for set in sets.list(&ListParams::default()).await? {
            sets.patch(&set.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
                .await?;
        }
        Ok(())
    }

    /// Players come for three rounds, then most of them go.
    async fn report(&self, round: u32, certificate: &Certificate, port: u16) -> Result<()> {
        let players = if round % 6 < 3 { 9 } else { 1 };
        for (name, code) in codes(&self.client, &self.namespace).await? {
            if name.starts_with("played-") {
                let caller = Caller::new(certificate, port, name, code);
                // A Pod that has just been made is known a moment later; one that goes isn't any more.
                caller.report(players + round % 2).await?;
            }
        }
        Ok(())
    }

    /// Deletes everything.
    pub(super) async fn delete(self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces
            .delete(&self.namespace, &DeleteParams::default())
            .await?;
        self.allocated.delete().await?;
        self.moving.delete().await
    }
}

/// What answers probes for all servers.
fn servers(healthy: Arc<AtomicBool>) -> Router {
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

/// Name, replicas, and what else is in the spec.
fn sets() -> Vec<(&'static str, u32, Value)> {
    let network = |type_: &str, parameters: &[(&str, &str)]| {
        let conf: Vec<Value> = parameters
            .iter()
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect();
        json!({"network": {"networkType": type_, "networkConf": conf}})
    };
    let probed = |probe: Value| {
        let mut quality = json!({"name": "answers", "permanent": false, "periodSeconds": 2,
            "serviceQualityAction": [{"state": true, "opsState": "None"}, {"state": false, "opsState": "Maintaining"}]});
        if let (Some(quality), Some(probe)) = (quality.as_object_mut(), probe.as_object()) {
            quality.extend(probe.clone());
        }
        json!({"serviceQualities": [quality]})
    };
    let shared = [
        ("PortProtocols", "7777/UDP"),
        ("LoadBalancerIds", "lb-a,lb-b"),
        ("IdAnnotation", ID_ANNOTATION),
        ("MinPort", "1000"),
        ("MaxPort", "4000"),
    ];
    let played = json!({
        "players": {"capacity": 10},
        "playerAutoscaling": {"enabled": true, "minReplicas": 2, "maxReplicas": 6, "scaleOutThreshold": 80,
            "scaleInThreshold": 30, "step": 1, "cooldownSeconds": 5},
    });
    vec![
        (
            "ported",
            6,
            network("Kubernetes-NodePort", &[("PortProtocols", "7777/UDP")]),
        ),
        ("balanced", 4, network("Kubernetes-LoadBalancer", &shared)),
        (
            "by-http",
            6,
            probed(json!({"httpGet": {"path": "/healthz", "port": PORT}})),
        ),
        ("by-tcp", 4, probed(json!({"tcpSocket": {"port": PORT}}))),
        ("played", 2, played),
    ]
}

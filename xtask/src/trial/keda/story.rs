//! What happens to one set, and how long each part takes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use api_types::{GameServer, GameServerSet, ops_state};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::Client;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
    PostParams,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::trial::is_ready;

/// How long any part may take: HorizontalPodAutoscalers are looked at every 15 s, and new kinds are known to them after 30.
const PATIENCE: Duration = Duration::from_mins(3);
/// How long KEDA waits before it scales to nothing.
const COOLDOWN: u32 = 5;

/// Seconds that each part took.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Times {
    start: f64,
    out: f64,
    r#in: f64,
    to_zero: f64,
    from_zero: f64,
}

impl Times {
    pub(super) fn rows(&self) -> [(&'static str, f64); 5] {
        [
            ("from 0 to the 2 that are to be free", self.start),
            ("2 allocated: out to 4", self.out),
            ("2 done: in to 2, those two gone", self.r#in),
            ("nobody needs any: to 0", self.to_zero),
            ("scaled to 0 by hand: back", self.from_zero),
        ]
    }
}

/// One set and its ScaledObject, in a namespace of their own.
pub(super) struct Story {
    client: Client,
    namespace: String,
    trigger: &'static str,
    interval: Duration,
    scaler: SocketAddr,
}

const SET: &str = "arena";

impl Story {
    pub(super) fn new(
        client: &Client,
        trigger: &'static str,
        interval: Duration,
        scaler: SocketAddr,
    ) -> Self {
        Self {
            client: client.clone(),
            namespace: format!("keda-{trigger}"),
            trigger,
            interval,
            scaler,
        }
    }

    /// Tells the story.
    ///
    /// # Errors
    /// When a part does not come true, or the wrong server is taken.
    pub(super) async fn tell(&self) -> Result<Times> {
        let mut times = Times::default();
        self.create().await?;
        times.start = self.until(2).await.context("at first")?;

        let first = self.names().await?;
        self.mark(&first, ops_state::ALLOCATED).await?;
        times.out = self.until(4).await.context("out")?;

        self.mark(&first, ops_state::WAIT_TO_BE_DELETED).await?;
        times.r#in = self.until(2).await.context("in")?;
        let left = self.names().await?;
        ensure!(left.is_disjoint(&first), "{left:?} are left of {first:?}");

        // With nothing asked for, a set whose servers all wait to be deleted is not active.
        self.ask(&json!({"minAvailable": null, "maxAvailable": null}))
            .await?;
        self.mark(&left, ops_state::WAIT_TO_BE_DELETED).await?;
        times.to_zero = self.until(0).await.context("to nothing")?;

        self.ask(&json!({"minAvailable": "2", "maxAvailable": "3"}))
            .await?;
        self.until(2).await.context("from nothing")?;
        let begun = Instant::now();
        self.sets()
            .patch(
                SET,
                &PatchParams::default(),
                &Patch::Merge(json!({"spec": {"replicas": 0}})),
            )
            .await?;
        self.replicas_until(|replicas| replicas > 0)
            .await
            .context("back")?;
        times.from_zero = begun.elapsed().as_secs_f64();
        self.until(2).await.context("back")?;

        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces
            .delete(&self.namespace, &DeleteParams::default())
            .await?;
        Ok(times)
    }

    async fn create(&self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let wanted: Namespace = serde_json::from_value(json!({"metadata": {"name": self.namespace}}))?;
        namespaces.create(&PostParams::default(), &wanted).await?;
        let set = json!({
            "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "metadata": {"name": SET},
            "spec": {"replicas": 0, "gameServerTemplate": {"spec": {"terminationGracePeriodSeconds": 0,
                "containers": [{"name": "game", "image": "example.invalid/game:1"}]}}},
        });
        self.sets()
            .create(&PostParams::default(), &serde_json::from_value(set)?)
            .await?;
        self.scaled_objects()
            .create(
                &PostParams::default(),
                &serde_json::from_value(self.scaled_object())?,
            )
            .await?;
        Ok(())
    }

    /// As OpenKruiseGame's documentation has it, but for the times.
    fn scaled_object(&self) -> Value {
        let policies = json!([{"type": "Percent", "value": 100, "periodSeconds": 1}]);
        json!({
            "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": SET},
            "spec": {
                "scaleTargetRef": {"name": SET, "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet"},
                "pollingInterval": self.interval.as_secs(),
                "cooldownPeriod": COOLDOWN,
                "minReplicaCount": 0,
                "advanced": {"horizontalPodAutoscalerConfig": {"behavior": {
                    "scaleDown": {"stabilizationWindowSeconds": 0, "policies": policies}}}},
                "triggers": [{"type": self.trigger, "metricType": "AverageValue", "metadata": {
                    "minAvailable": "2", "maxAvailable": "3", "scalerAddress": self.scaler.to_string()}}],
            },
        })
    }

    /// Changes what the ScaledObject asks for.
    async fn ask(&self, metadata: &Value) -> Result<()> {
        let mut object = self.scaled_objects().get(SET).await?;
        let asked = &mut object.data["spec"]["triggers"][0]["metadata"];
        for (key, value) in metadata.as_object().context("no metadata")? {
            match (asked.as_object_mut(), value.is_null()) {
                (Some(asked), true) => drop(asked.remove(key)),
                (Some(asked), false) => drop(asked.insert(key.clone(), value.clone())),
                (None, _) => bail!("the ScaledObject has no metadata"),
            }
        }
        let change = json!({"spec": {"triggers": object.data["spec"]["triggers"]}});
        self.scaled_objects()
            .patch(SET, &PatchParams::default(), &Patch::Merge(change))
            .await?;
        Ok(())
    }

    async fn mark(&self, names: &BTreeSet<String>, ops_state: &str) -> Result<()> {
        let servers: Api<GameServer> = Api::namespaced(self.client.clone(), &self.namespace);
        for name in names {
            let change = json!({"spec": {"opsState": ops_state}});
            servers
                .patch(name, &PatchParams::default(), &Patch::Merge(change))
                .await?;
        }
        Ok(())
    }

    async fn names(&self) -> Result<BTreeSet<String>> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let pods = pods.list(&ListParams::default()).await?;
        Ok(pods.items.iter().map(kube::ResourceExt::name_any).collect())
    }

    /// Waits until the set has this many servers, all of them ready, and no other; gives the seconds.
    async fn until(&self, servers: usize) -> Result<f64> {
        let (begun, pods) = (
            Instant::now(),
            Api::<Pod>::namespaced(self.client.clone(), &self.namespace),
        );
        loop {
            let wanted = self.sets().get(SET).await?.spec.replicas;
            let found = pods.list(&ListParams::default()).await?.items;
            let ready = found.iter().filter(|pod| is_ready(pod)).count();
            if wanted as usize == servers && found.len() == servers && ready == servers {
                return Ok(begun.elapsed().as_secs_f64());
            }
            if begun.elapsed() > PATIENCE {
                let object = self.scaled_objects().get(SET).await?;
                bail!(
                    "not {servers} servers after {PATIENCE:?}: {wanted} wanted, {} there, {ready} ready; ScaledObject: {}",
                    found.len(),
                    object.data["status"]
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn replicas_until(&self, holds: impl Fn(i32) -> bool) -> Result<()> {
        let begun = Instant::now();
        while !holds(self.sets().get(SET).await?.spec.replicas) {
            ensure!(begun.elapsed() < PATIENCE, "not after {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn sets(&self) -> Api<GameServerSet> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn scaled_objects(&self) -> Api<DynamicObject> {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("keda.sh", "v1alpha1", "ScaledObject"));
        Api::namespaced_with(self.client.clone(), &self.namespace, &kind)
    }
}

//! How long opsState takes to the label, all the time.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use api_types::{GameServer, keys};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::games::{BUSY, NAMESPACE};

/// Allocations of one server are apart.
const APART: Duration = Duration::from_millis(100);
const LOOK_EVERY: Duration = Duration::from_millis(5);
const LIMIT: Duration = Duration::from_secs(30);

/// Changes one server's opsState, each time it has arrived, until it is stopped.
pub(super) struct Arrivals {
    stop: CancellationToken,
    task: JoinHandle<Result<Vec<f64>>>,
}

impl Arrivals {
    /// Begins.
    pub(super) fn watch(client: &Client) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(change(client.clone(), stop.clone()));
        Self { stop, task }
    }

    /// Ends; gives the milliseconds that each change took.
    ///
    /// # Errors
    /// When one didn't arrive.
    pub(super) async fn stop(self) -> Result<Vec<f64>> {
        self.stop.cancel();
        self.task.await?
    }
}

async fn change(client: Client, stop: CancellationToken) -> Result<Vec<f64>> {
    let servers: Api<GameServer> = Api::namespaced(client.clone(), NAMESPACE);
    let pods: Api<Pod> = Api::namespaced(client, NAMESPACE);
    let name = format!("{BUSY}-0");
    let mut times = Vec::new();
    while !stop.is_cancelled() {
        let value = if times.len() % 2 == 0 { "Allocated" } else { "None" };
        let sent = Instant::now();
        let patch = Patch::Merge(json!({"spec": {"opsState": value}}));
        servers.patch(&name, &PatchParams::default(), &patch).await?;
        while pods
            .get(&name)
            .await?
            .labels()
            .get(keys::label::GS_OPS_STATE)
            .map(String::as_str)
            != Some(value)
        {
            if sent.elapsed() > LIMIT {
                bail!("{value} didn't reach the Pod in {LIMIT:?}");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        times.push(sent.elapsed().as_secs_f64() * 1e3);
        tokio::time::sleep(APART).await;
    }
    Ok(times)
}

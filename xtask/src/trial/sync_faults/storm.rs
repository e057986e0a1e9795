//! Faults that come from elsewhere than the way: another writer, and the API server itself.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::cluster;

/// Requests of the other writer under way at once.
const IN_FLIGHT: usize = 16;
/// Changes go on for this long after the API server answers again.
const AFTER: Duration = Duration::from_secs(1);
const BACK_WITHIN: Duration = Duration::from_secs(60);

/// Writes an annotation to every Pod of the namespace in turn, as fast as the API server takes it, for `time`; gives when it ended.
pub(super) async fn conflicts(client: &Client, namespace: &str, time: Duration) -> Result<Instant> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let names: Vec<String> = pods
        .list_metadata(&ListParams::default())
        .await?
        .iter()
        .map(kube::ResourceExt::name_any)
        .collect();
    let end = Instant::now() + time;
    let beats = names.iter().cycle().enumerate();
    futures::stream::iter(beats.take_while(|_| Instant::now() < end))
        .for_each_concurrent(IN_FLIGHT, |(beat, name)| {
            let pods = &pods;
            async move {
                let patch = json!({"metadata": {"annotations": {"trial/beat": beat.to_string()}}});
                // A write that fails is one conflict fewer.
                let _ = pods
                    .patch_metadata(name, &PatchParams::default(), &Patch::Merge(&patch))
                    .await;
            }
        })
        .await;
    Ok(Instant::now())
}

/// Stops the API server of the local cluster `name` and starts it again; gives when it answered, and changes go on for a second after it.
pub(super) async fn restart_api_server(client: &Client, name: &str) -> Result<Instant> {
    cluster::stop_component(name, "kube-apiserver").await?;
    let up = async {
        cluster::up(&cluster::Spec {
            name: name.to_owned(),
            ..Default::default()
        })
        .await
    };
    // `up` also looks at the nodes; the API server answers before that.
    let (running, healed) = tokio::join!(up, answers(client));
    running?;
    let healed = healed?;
    tokio::time::sleep((healed + AFTER).saturating_duration_since(Instant::now())).await;
    Ok(healed)
}

async fn answers(client: &Client) -> Result<Instant> {
    let deadline = Instant::now() + BACK_WITHIN;
    while Instant::now() < deadline {
        let request = http::Request::get("/readyz").body(Vec::new())?;
        if client.request_text(request).await.is_ok_and(|text| text == "ok") {
            return Ok(Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bail!("the API server isn't back {BACK_WITHIN:?} after it was stopped")
}

//! Times opsState on its way: patch sent, label seen by an independent watch, file changed as the container sees it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use api_types::{GameServer, keys};
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::watcher;
use kube::{Client, ResourceExt as _};
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::bench::spread::Spread as Percentiles;

const LIMIT: Duration = Duration::from_secs(30);

/// Times of all changes, milliseconds, from the moment the patch was sent.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Spread {
    /// Until the Pod label was seen.
    pub(crate) label_ms: Vec<f64>,
    /// Until the file's content was the new one; empty without a real kubelet.
    pub(crate) file_ms: Vec<f64>,
}

/// Where the kubelet writes the Downward API file; the container's mount shows the very same directory.
pub(super) struct FileProbe(PathBuf);

impl FileProbe {
    pub(super) fn new(kubelet_dir: &Path, pod_uid: &str) -> Self {
        Self(kubelet_dir.join(format!(
            "pods/{pod_uid}/volumes/kubernetes.io~downward-api/podinfo/gs-opsstate"
        )))
    }

    fn read(&self) -> String {
        std::fs::read_to_string(&self.0).unwrap_or_default()
    }
}

/// Patches the server's opsState `changes` times, each after the last has arrived everywhere.
pub(super) async fn measure(
    client: &Client,
    name: &str,
    changes: u32,
    file: Option<FileProbe>,
    pause: impl Fn() -> Duration,
) -> Result<Spread> {
    let servers: Api<GameServer> = Api::default_namespaced(client.clone());
    let (label, _watching) = watch_label(client, name);
    let mut spread = Spread::default();
    for change in 0..changes {
        let value = if change % 2 == 0 { "Allocated" } else { "None" };
        let sent = Instant::now();
        let patch = json!({"spec": {"opsState": value}});
        servers
            .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await?;
        let label_time = async {
            let mut label = label.clone();
            label.wait_for(|seen| seen == value).await?;
            anyhow::Ok(sent.elapsed())
        };
        let file_time = async {
            let Some(file) = &file else { return None };
            while file.read() != value {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Some(sent.elapsed())
        };
        let both = async { (label_time.await, file_time.await) };
        let (label_time, file_time) = tokio::time::timeout(LIMIT, both)
            .await
            .context("a change didn't arrive within 30 s")?;
        spread.label_ms.push(label_time?.as_secs_f64() * 1e3);
        spread
            .file_ms
            .extend(file_time.map(|time| time.as_secs_f64() * 1e3));
        // Apart, as allocations of one server are. A kubelet syncs a Pod again only after its next look at the containers,
        // once a second: changes 200 ms apart took 804 ms to the file, all of it this wait.
        tokio::time::sleep(pause()).await;
    }
    Ok(spread)
}

/// The Pod's opsState label as an independent watch sees it.
fn watch_label(client: &Client, name: &str) -> (watch::Receiver<String>, AbortOnDropHandle<()>) {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let (sender, receiver) = watch::channel(String::new());
    let task = tokio::spawn(async move {
        let mut events = Box::pin(kube::runtime::WatchStreamExt::default_backoff(watcher(
            pods, config,
        )));
        loop {
            match events.try_next().await {
                Ok(Some(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod))) => {
                    let value = pod
                        .labels()
                        .get(keys::label::GS_OPS_STATE)
                        .cloned()
                        .unwrap_or_default();
                    sender.send_replace(value);
                }
                Ok(None) => return,
                Ok(Some(_)) | Err(_) => {}
            }
        }
    });
    (receiver, AbortOnDropHandle::new(task))
}

impl Spread {
    pub(super) fn print(&self) {
        println!("{:<36} {:>8} {:>8}", "from sending the patch, ms", "p50", "max");
        row("to the Pod label", &self.label_ms);
        if self.file_ms.is_empty() {
            println!(
                "{:<36} not measured: it takes a real kubelet",
                "to the file in the container"
            );
        } else {
            row("to the file in the container", &self.file_ms);
        }
    }
}

fn row(what: &str, times: &[f64]) {
    let spread = Percentiles::of(times.to_vec());
    println!("{what:<36} {:>8.1} {:>8.1}", spread.p50_ms, spread.max_ms);
}

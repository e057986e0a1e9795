//! Many probes that always say the same: what they cost, and how late they are.

use std::time::Duration;

use anyhow::{Context, Result};
use kube::Client;
use serde::Serialize;
use serde_json::{Value, json};

use crate::fleet::{Controller, Fleet, Readings, Scrape, writes, written_between};

/// Probes of one server; a set has 16 at most.
const QUALITIES: u32 = 15;
/// For initial delays and first results.
const WARM_UP: Duration = Duration::from_secs(40);
const SKEW: &str = "gamekeeper_quality_prober_skew_seconds";

/// What a mode costs and keeps to.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Load {
    pub(super) runs_per_second: f64,
    pub(super) skew_p50_ms: f64,
    pub(super) skew_p99_ms: f64,
    /// Times of the schedule at which a probe still ran or waited.
    pub(super) missed: f64,
    /// Of the probing process, of one core.
    pub(super) prober_cpu_percent: f64,
    /// Of containerd and its shims, the commands included.
    pub(super) runtime_cpu_percent: f64,
    /// Of kube-apiserver.
    pub(super) apiserver_cpu_percent: f64,
    pub(super) prober_rss_bytes: u64,
    /// By all controllers.
    pub(super) writes: f64,
}

/// Makes servers with so many exec probes, one every three seconds each.
pub(super) async fn create(client: &Client, probes: u32) -> Result<()> {
    let quality = |number: u32| -> Value {
        json!({"name": format!("quality-{number}"), "permanent": false, "exec": {"command": ["true"]}, "periodSeconds": 3})
    };
    let qualities: Vec<Value> = (0..QUALITIES).map(quality).collect();
    let container =
        json!({"name": "game", "image": "gamekeeper.local/demo/game:1", "imagePullPolicy": "Never"});
    let set = json!({"apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "metadata": {"name": "load"},
        "spec": {"replicas": probes.div_ceil(QUALITIES), "serviceQualities": qualities,
            "gameServerTemplate": {"spec": {"containers": [container]}}}});
    super::apply(client, set).await
}

/// Measures what is there for so many seconds.
pub(super) async fn measure(fleet: &Fleet, seconds: u64) -> Result<Load> {
    tokio::time::sleep(WARM_UP).await;
    let (before, runtime, api) = (
        fleet.scrape().await?,
        cpu_of("containerd")?,
        cpu_of("kube-apiserver")?,
    );
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let (after, runtime_after, api_after) = (
        fleet.scrape().await?,
        cpu_of("containerd")?,
        cpu_of("kube-apiserver")?,
    );
    for line in written_between(&before, &after) {
        println!("{line}");
    }
    let (old, new) = (prober(&before)?, prober(&after)?);
    let grown = |name: &str| new.sum(name, |_| true) - old.sum(name, |_| true);
    let percent = |used: f64| used * 100.0 / seconds as f64;
    Ok(Load {
        runs_per_second: grown("gamekeeper_quality_prober_runs_total") / seconds as f64,
        skew_p50_ms: new.quantile_since(old, SKEW, 0.5) * 1_000.0,
        skew_p99_ms: new.quantile_since(old, SKEW, 0.99) * 1_000.0,
        missed: grown("gamekeeper_quality_prober_missed_total"),
        prober_cpu_percent: percent(new.usage().cpu_seconds - old.usage().cpu_seconds),
        runtime_cpu_percent: percent(runtime_after - runtime),
        apiserver_cpu_percent: percent(api_after - api),
        prober_rss_bytes: new.usage().rss_bytes,
        writes: writes(&after) - writes(&before),
    })
}

/// The process that probes: the node's, else the central one.
fn prober(all: &Readings) -> Result<&Scrape> {
    let of = |wanted: Controller| all.iter().find(|(controller, _)| *controller == wanted);
    let found = of(Controller::NodeProber).or_else(|| of(Controller::CentralProber));
    found.map(|(_, scrape)| scrape).context("nothing probes")
}

/// CPU seconds so far of all processes whose program's name begins so, their ended children included.
fn cpu_of(program: &str) -> Result<f64> {
    // USER_HZ, which Linux fixes at 100 for /proc.
    const TICKS: f64 = 100.0;
    let mut ticks = 0.0;
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        let Some((head, fields)) = stat.rsplit_once(") ") else {
            continue;
        };
        if head
            .split_once('(')
            .is_some_and(|(_, name)| name.starts_with(program))
        {
            // utime, stime, cutime, cstime: fields 14 to 17, of which the first two stand before these.
            let used = fields.split(' ').skip(11).take(4);
            ticks += used.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>();
        }
    }
    Ok(ticks / TICKS)
}

//! `bench file`: from an allocator's patch of opsState to the file in the container of a real kubelet.

use std::time::Duration;

use anyhow::{Result, bail};
use serde::Serialize;

use super::spread::Spread;
use crate::cluster::{self, Nodes};
use crate::demo;
use crate::fleet::{Fleet, FleetOptions, Profile, client_for};
use crate::trial::write_json;

/// Flags of `bench file`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Build of the controllers.
    #[arg(long, value_enum, default_value = "image")]
    profile: Profile,
    /// Changes timed, one after the other.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(10..=2_000))]
    changes: u32,
    /// Milliseconds between two changes; up to a second is added at random, so that they don't fall in with the kubelet's own beat.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    apart: u64,
    /// Write the result as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<std::path::PathBuf>,
}

#[derive(Debug, Serialize)]
struct Outcome {
    changes: u32,
    apart_ms: u64,
    label: Spread,
    file: Spread,
    /// From the label to the file: the kubelet's part.
    kubelet: Spread,
    /// Share of the changes that took longer than 500 ms to the file.
    slow: f64,
}

const CLUSTER: &str = "bench-file";

/// Runs the benchmark.
///
/// # Errors
/// When it can't run here, or a change doesn't arrive.
pub(super) async fn run(options: Options) -> Result<()> {
    if let Some(reason) = cluster::kubelet_unavailable() {
        bail!("{reason}");
    }
    let nodes = Nodes {
        kwok: 0,
        kubelet: true,
    };
    let running = cluster::up(&cluster::Spec::new(CLUSTER, nodes)).await?;
    let outcome = measure(&running, &options).await;
    cluster::down(CLUSTER).await?;
    let outcome = outcome?;
    write_json(options.json.as_deref(), &outcome)?;
    println!(
        "{:<36} {:>8} {:>8} {:>8} {:>8}",
        "from sending the patch, ms", "p50", "p90", "p99", "max"
    );
    for (what, spread) in [
        ("to the Pod label", &outcome.label),
        ("to the file in the container", &outcome.file),
        ("of that, from label to file", &outcome.kubelet),
    ] {
        println!(
            "{what:<36} {:>8.1} {:>8.1} {:>8.1} {:>8.1}",
            spread.p50_ms, spread.p90_ms, spread.p99_ms, spread.max_ms
        );
    }
    println!(
        "over 500 ms: {:.1} % of {}",
        outcome.slow * 100.0,
        outcome.changes
    );
    Ok(())
}

async fn measure(running: &cluster::Cluster, options: &Options) -> Result<Outcome> {
    let root = cluster::paths::repo_root();
    demo::import_images(running, &root.join("e2e/manifests")).await?;
    let fleet_options = FleetOptions {
        profile: options.profile,
        cluster_dir: Some(running.dir.clone()),
        ..Default::default()
    };
    let fleet = Fleet::start(&root, &running.kubeconfig, &fleet_options).await?;
    let client = client_for(&running.kubeconfig).await?;
    let apart = options.apart;
    let pause = move || Duration::from_millis(apart + rand::random_range(0..1_000));
    let times = demo::time_lobby(&client, running, options.changes, pause).await;
    fleet.stop().await?;
    let times = times?;
    let kubelet = times.file_ms.iter().zip(&times.label_ms);
    let kubelet = kubelet.map(|(file, label)| (file - label).max(0.0)).collect();
    let slow = times.file_ms.iter().filter(|time| **time > 500.0).count();
    Ok(Outcome {
        changes: options.changes,
        apart_ms: options.apart,
        slow: slow as f64 / f64::from(options.changes),
        kubelet: Spread::of(kubelet),
        label: Spread::of(times.label_ms),
        file: Spread::of(times.file_ms),
    })
}

//! `bench all`: every benchmark, one after the other, each with a cluster of its own, and one JSON file of all.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use serde::Serialize;
use serde_json::Value;
use tokio::process::Command;

use crate::cluster;
use crate::fleet::Profile;

/// Flags of `bench all`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Few servers, few rounds: whether everything works, not how fast.
    #[arg(long)]
    short: bool,
    /// Only these (names as in the table).
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Build of the controllers.
    #[arg(long, value_enum, default_value = "image")]
    profile: Profile,
    /// Write all results as JSON to this file; it is written anew after each.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Name, flags, and flags of the short form.
const BENCHMARKS: [(&str, &str, &str); 18] = [
    ("create", "create", "create --servers 100 --rest 10"),
    (
        "sync-10",
        "sync --rate 10 --duration 12",
        "sync --servers 50 --rounds 1 --duration 5 --rate 10",
    ),
    (
        "sync-50",
        "sync --rate 50 --duration 12",
        "sync --servers 50 --rounds 1 --duration 5 --rate 20",
    ),
    (
        "sync-100",
        "sync --rate 100 --duration 12",
        "sync --servers 50 --rounds 1 --duration 5 --rate 40",
    ),
    (
        "sync-10-churn",
        "sync --rate 10 --churn 20 --duration 12",
        "sync --servers 50 --rounds 1 --duration 5 --rate 10 --churn 5",
    ),
    (
        "sync-50-churn",
        "sync --rate 50 --churn 20 --duration 12",
        "sync --servers 50 --rounds 1 --duration 5 --rate 20 --churn 5",
    ),
    (
        "sync-100-churn",
        "sync --rate 100 --churn 20 --duration 12",
        "sync --servers 50 --rounds 1 --duration 5 --rate 40 --churn 5",
    ),
    (
        "sync-limit",
        "sync --limit --duration 10",
        "sync --servers 50 --limit --duration 3",
    ),
    (
        "sync-burst",
        "sync --servers 5000 --burst 1000",
        "sync --servers 50 --rounds 1 --burst 50",
    ),
    ("flip", "flip", "flip --servers 50 --rounds 2 --rate 20"),
    ("update", "update", "update --servers 20"),
    ("idle", "idle --servers 5000", "idle --servers 50 --rest 10"),
    (
        "memory",
        "memory --servers 500,2000,5000",
        "memory --servers 50,100",
    ),
    (
        "network",
        "network --servers 500",
        "network --servers 40 --rest 3",
    ),
    ("game-api", "game-api", "game-api --short"),
    (
        "allocate",
        "allocate",
        "allocate --servers 60 --clients 5 --allocations 50",
    ),
    ("file", "file", "file --changes 10"),
    (
        "probe",
        "probe",
        "probe --kills 10 --probes 15 --seconds 5 --servers 20",
    ),
];

/// One benchmark.
#[derive(Debug, Serialize)]
struct Done {
    command: String,
    seconds: f64,
    ok: bool,
    result: Value,
}

/// Runs them.
///
/// # Errors
/// When one of them failed; the others ran all the same.
pub(super) async fn run(options: Options) -> Result<()> {
    // Asked for now: once a build has replaced the file, the system names the old one, which is gone.
    let program = std::env::current_exe()?;
    let directory = tempfile::tempdir()?;
    let mut all: BTreeMap<&str, Done> = BTreeMap::new();
    for name in &options.only {
        if !BENCHMARKS.iter().any(|(known, _, _)| known == name) {
            bail!("no benchmark is called {name}");
        }
    }
    for (name, full, short) in BENCHMARKS {
        if !options.only.is_empty() && !options.only.iter().any(|only| only == name) {
            continue;
        }
        if let Some(reason) = cluster::kubelet_unavailable().filter(|_| matches!(name, "file" | "probe")) {
            println!("--- {name} skipped: {reason}");
            continue;
        }
        let flags = if options.short { short } else { full };
        println!("--- cargo xtask bench {flags}");
        let file = directory.path().join(format!("{name}.json"));
        let begun = Instant::now();
        let status = Command::new(&program)
            .arg("bench")
            .args(flags.split(' '))
            .args(["--profile", options.profile.name(), "--json"])
            .arg(&file)
            .status()
            .await?;
        let result = std::fs::read(&file).ok();
        let done = Done {
            command: format!("cargo xtask bench {flags}"),
            seconds: begun.elapsed().as_secs_f64(),
            ok: status.success(),
            result: result
                .and_then(|bytes| serde_json::from_slice(&bytes).ok())
                .unwrap_or_default(),
        };
        all.insert(name, done);
        crate::trial::write_json(options.json.as_deref(), &all)?;
    }
    println!("{:<16} {:>8}  {:<6} command", "benchmark", "seconds", "");
    for (name, done) in &all {
        let ok = if done.ok { "ok" } else { "FAILED" };
        println!("{name:<16} {:>8.0}  {ok:<6} {}", done.seconds, done.command);
    }
    let failed = all.values().filter(|done| !done.ok).count();
    if failed > 0 {
        bail!("{failed} benchmarks failed");
    }
    Ok(())
}

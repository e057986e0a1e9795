//! `bench idle`: what the controllers do and cost while no game server changes, without and with heartbeats of the nodes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde::Serialize;
use serde_json::json;

use crate::fleet::{FleetOptions, Readings, Scrape, written_between};
use crate::trial::{Arena, ArenaSpec, Session, SessionOptions, write_json};

/// Flags of `bench idle`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    session: SessionOptions,
    /// Game servers at rest.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    servers: u32,
    /// Seconds of rest measured, once without and once with heartbeats.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..=3_600))]
    rest: u64,
    /// Status reports of nodes in a second, of all nodes together, that say nothing but the time. Twenty kubelets make 0.07.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=200))]
    heartbeats: u32,
}

#[derive(Debug, Serialize)]
struct Outcome {
    servers: u32,
    seconds: u64,
    /// From the moment all servers were Ready to 15 s after the last write.
    trailing_seconds: f64,
    /// Who wrote what at rest; nobody should.
    wrote: Vec<String>,
    quiet: BTreeMap<&'static str, Cost>,
    heartbeats: BTreeMap<&'static str, Cost>,
    heartbeats_sent: u32,
    heartbeats_ignored: f64,
}

/// What one controller did and cost.
#[derive(Debug, Clone, Copy, Serialize)]
struct Cost {
    writes_per_minute: f64,
    requests_per_minute: f64,
    reconciles_per_minute: f64,
    cpu_percent: f64,
}

const LIMIT: Duration = Duration::from_secs(600);
/// Trailing writes (coalesced status, events, labels of servers made before their Pods were scheduled) belong to creation, not to rest.
const TRAILING: Duration = Duration::from_mins(20);

/// Runs the benchmark.
///
/// # Errors
/// When it can't run or something writes.
pub(super) async fn run(options: Options) -> Result<()> {
    let fleet = FleetOptions {
        profile: options.session.profile,
        ..Default::default()
    };
    let session = Session::start("bench-idle", &options.session, &fleet).await?;
    let outcome = measure(&session, &options).await;
    let stopped = session.stop().await;
    let outcome = outcome?;
    write_json(options.session.json.as_deref(), &outcome)?;
    stopped?;
    report(&outcome);
    ensure!(
        outcome.wrote.is_empty(),
        "there must be no write at rest: {}",
        outcome.wrote.join("; ")
    );
    Ok(())
}

async fn measure(session: &Session, options: &Options) -> Result<Outcome> {
    let arena = Arena::create(&session.client, ArenaSpec::plain(options.servers)).await?;
    arena.wait_settled(options.servers as usize, LIMIT).await?;
    let trailing = session.fleet.come_to_rest(TRAILING).await?;
    let rest = Duration::from_secs(options.rest);
    let start = session.fleet.scrape().await?;
    tokio::time::sleep(rest).await;
    let quiet = session.fleet.scrape().await?;
    let sent = heartbeats(&session.client, options.heartbeats, rest).await?;
    let beaten = session.fleet.scrape().await?;
    let wrote = written_between(&start, &beaten);
    arena.delete().await?;
    Ok(Outcome {
        servers: options.servers,
        seconds: options.rest,
        trailing_seconds: trailing.as_secs_f64(),
        wrote,
        heartbeats_sent: sent,
        heartbeats_ignored: ignored(&beaten) - ignored(&quiet),
        quiet: costs(&start, &quiet, options.rest),
        heartbeats: costs(&quiet, &beaten, options.rest),
    })
}

/// Reports of the nodes in turn, each with a new heartbeat time on its Ready condition, for `rest`. Gives how many.
async fn heartbeats(client: &Client, per_second: u32, rest: Duration) -> Result<u32> {
    let nodes: Api<Node> = Api::all(client.clone());
    let names: Vec<String> = nodes
        .list_metadata(&ListParams::default())
        .await?
        .iter()
        .map(kube::ResourceExt::name_any)
        .collect();
    let mut tick = tokio::time::interval(Duration::from_secs(1) / per_second);
    let begun = Instant::now();
    let mut sent = 0;
    // The API stores whole seconds: a time that moves with each report, whatever the rate.
    let mut time = jiff::Timestamp::now();
    for name in names.iter().cycle() {
        tick.tick().await;
        if begun.elapsed() >= rest {
            break;
        }
        time += Duration::from_secs(1);
        let condition =
            json!({"type": "Ready", "lastHeartbeatTime": time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()});
        let patch = Patch::Strategic(json!({"status": {"conditions": [condition]}}));
        nodes.patch_status(name, &PatchParams::default(), &patch).await?;
        sent += 1;
    }
    Ok(sent)
}

fn ignored(readings: &Readings) -> f64 {
    let name = "gamekeeper_node_watcher_node_events_total";
    readings
        .iter()
        .map(|(_, scrape)| scrape.sum(name, |labels| labels.contains("significant=\"false\"")))
        .sum()
}

fn costs(before: &Readings, after: &Readings, seconds: u64) -> BTreeMap<&'static str, Cost> {
    let per_minute = |old: f64, new: f64| (new - old) * 60.0 / seconds as f64;
    let reconciles = |scrape: &Scrape| scrape.sum("gamekeeper_reconciles_total", |_| true);
    before
        .iter()
        .zip(after)
        .map(|((controller, old), (_, new))| {
            let cpu = new.usage().cpu_seconds - old.usage().cpu_seconds;
            let cost = Cost {
                writes_per_minute: per_minute(old.writes(), new.writes()),
                requests_per_minute: per_minute(old.requests(), new.requests()),
                reconciles_per_minute: per_minute(reconciles(old), reconciles(new)),
                cpu_percent: cpu * 100.0 / seconds as f64,
            };
            (controller.name(), cost)
        })
        .collect()
}

fn report(outcome: &Outcome) {
    println!("servers                {}", outcome.servers);
    println!("at rest after          {:.0} s", outcome.trailing_seconds);
    println!(
        "heartbeats             {} sent, {} events of no significance",
        outcome.heartbeats_sent, outcome.heartbeats_ignored
    );
    for (title, costs) in [("quiet", &outcome.quiet), ("heartbeats", &outcome.heartbeats)] {
        println!("{title:<22} writes/min  requests/min  reconciles/min  CPU %");
        for (controller, cost) in costs {
            println!(
                "  {controller:<20} {:>10.1}  {:>12.1}  {:>14.1}  {:>5.2}",
                cost.writes_per_minute,
                cost.requests_per_minute,
                cost.reconciles_per_minute,
                cost.cpu_percent
            );
        }
    }
}

//! `bench game-api`: many servers report every second. How long an answer takes, what it makes the API server store, what the
//! process costs; and whether anything forged or malformed changes anything.

mod caller;
mod forged;
mod load;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use api_types::GameServer;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt as _};
use serde::Serialize;

pub(crate) use self::caller::{Caller, Certificate, localhost_pair};
use super::spread::Spread;
use crate::fleet::{Controller, FleetOptions, Scrape};
use crate::trial::{Arena, ArenaSpec, Session, SessionOptions, write_json};

/// Flags of `bench game-api`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    session: SessionOptions,
    /// Game servers, each of which reports every second.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    servers: u32,
    /// Seconds of reports.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(2..=3_600))]
    duration: u64,
    /// Of a hundred reports, how many say another number of players than the one before.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=100))]
    changes: u32,
    /// Seconds of rest in which writes are counted.
    #[arg(long, default_value_t = 10)]
    rest: u64,
    /// Few servers, a few seconds: whether everything works, not how fast.
    #[arg(long)]
    short: bool,
}

#[derive(Debug, Serialize)]
struct Outcome {
    servers: u32,
    seconds: u64,
    reports: u64,
    changes: u64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// Reports that were answered before they were stored.
    answered_before_stored: u64,
    /// Reports that were not answered with 200 or 202.
    failed: u64,
    writes: f64,
    writes_per_report: f64,
    writes_per_change: f64,
    writes_by_kind: BTreeMap<String, f64>,
    /// Servers whose GameServer does not say in the end what the server said last.
    lost: u64,
    writes_at_rest: f64,
    rss_bytes: u64,
    cpu_percent: f64,
    forged: forged::Outcome,
}

const LIMIT: Duration = Duration::from_secs(600);
/// Trailing writes of creation, and of reports that wait for others.
const TRAILING: Duration = Duration::from_secs(8);

/// Runs the benchmark.
///
/// # Errors
/// When it can't run, a report is lost, something is written at rest, or something forged is taken.
pub(super) async fn run(mut options: Options) -> Result<()> {
    if options.short {
        options.servers = options.servers.min(50);
        options.duration = options.duration.min(6);
        options.rest = options.rest.min(4);
    }
    let certificate = Certificate::make()?;
    let port = e2e::ports::free()?;
    let fleet = FleetOptions {
        profile: options.session.profile,
        gss_args: vec![format!("--game-api-url=https://localhost:{port}")],
        game_api: Some(certificate.flags(port)),
        ..Default::default()
    };
    let session = Session::start("bench-game-api", &options.session, &fleet).await?;
    let outcome = measure(&session, &options, &certificate, port).await;
    let stopped = session.stop().await;
    let outcome = outcome?;
    write_json(options.session.json.as_deref(), &outcome)?;
    stopped?;
    report(&outcome);
    judge(&outcome)
}

async fn measure(
    session: &Session,
    options: &Options,
    certificate: &Certificate,
    port: u16,
) -> Result<Outcome> {
    let arena = Arena::create(&session.client, ArenaSpec::plain(options.servers)).await?;
    arena.wait_settled(options.servers as usize, LIMIT).await?;
    let callers = callers(session, &arena.namespace, options, certificate, port).await?;
    tokio::time::sleep(TRAILING).await;

    let before = scrape(session).await?;
    let seconds = Duration::from_secs(options.duration);
    let load = load::run(callers.clone(), seconds, options.changes).await?;
    let busy = scrape(session).await?;
    tokio::time::sleep(TRAILING).await;
    let after = scrape(session).await?;
    let servers: Api<GameServer> = Api::namespaced(session.client.clone(), &arena.namespace);
    let stored = counts(&servers).await?;
    let lost = load
        .last
        .iter()
        .filter(|(name, count)| stored.get(*name) != Some(count))
        .count();
    tokio::time::sleep(Duration::from_secs(options.rest)).await;
    let rested = scrape(session).await?;

    let forged = forged::run(&callers, &servers).await?;
    arena.delete().await?;
    let spread = Spread::of(load.times);
    let (reports, writes) = (spread.count as u64, after.writes() - before.writes());
    let old = before.writes_by_kind();
    Ok(Outcome {
        servers: options.servers,
        seconds: options.duration,
        reports,
        changes: load.changes,
        p50_ms: spread.p50_ms,
        p99_ms: spread.p99_ms,
        max_ms: spread.max_ms,
        answered_before_stored: load.accepted,
        failed: load.failed,
        writes,
        writes_per_report: writes / reports.max(1) as f64,
        writes_per_change: writes / load.changes.max(1) as f64,
        writes_by_kind: after
            .writes_by_kind()
            .into_iter()
            .map(|(kind, count)| (kind.clone(), count - old.get(&kind).copied().unwrap_or_default()))
            .collect(),
        lost: lost as u64,
        writes_at_rest: rested.writes() - after.writes(),
        rss_bytes: busy.usage().rss_bytes,
        cpu_percent: (busy.usage().cpu_seconds - before.usage().cpu_seconds) / options.duration as f64
            * 100.0,
        forged,
    })
}

/// Every server of the set, with the code its Pod was born with.
async fn callers(
    session: &Session,
    namespace: &str,
    options: &Options,
    certificate: &Certificate,
    port: u16,
) -> Result<Vec<Caller>> {
    let codes = codes(&session.client, namespace).await?;
    ensure!(
        codes.len() == options.servers as usize,
        "{} of {} Pods have a code",
        codes.len(),
        options.servers
    );
    let callers = codes
        .into_iter()
        .map(|(name, code)| Caller::new(certificate, port, name, code));
    Ok(callers.collect())
}

/// Name and code of every Pod.
pub(crate) async fn codes(client: &Client, namespace: &str) -> Result<BTreeMap<String, String>> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut codes = BTreeMap::new();
    for pod in pods.list(&ListParams::default()).await? {
        let name = pod.name_any();
        let containers = pod.spec.map(|spec| spec.containers).unwrap_or_default();
        let mut variables = containers
            .into_iter()
            .flat_map(|container| container.env.unwrap_or_default());
        if let Some(code) = variables.find(|variable| variable.name == "API_SERVER_CODE") {
            codes.insert(name, code.value.context("a code that is no text")?);
        }
    }
    Ok(codes)
}

/// Players of every GameServer.
async fn counts(servers: &Api<GameServer>) -> Result<BTreeMap<String, u32>> {
    let list = servers.list(&ListParams::default()).await?;
    let count = |server: GameServer| {
        let players = server.status.as_ref()?.players.as_ref()?.count;
        Some((server.name_any(), players))
    };
    Ok(list.into_iter().filter_map(count).collect())
}

async fn scrape(session: &Session) -> Result<Scrape> {
    let all = session.fleet.scrape().await?;
    all.into_iter()
        .find(|(controller, _)| *controller == Controller::GameApi)
        .map(|(_, scrape)| scrape)
        .context("no game-api is running")
}

fn report(outcome: &Outcome) {
    println!(
        "{} servers, {} s: {} reports, {} of them another number",
        outcome.servers, outcome.seconds, outcome.reports, outcome.changes
    );
    println!(
        "answers: p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms; {} before stored, {} failed",
        outcome.p50_ms, outcome.p99_ms, outcome.max_ms, outcome.answered_before_stored, outcome.failed
    );
    println!(
        "writes: {:.0}, {:.3} per report, {:.2} per change; {:.0} at rest; {} servers' last word lost",
        outcome.writes,
        outcome.writes_per_report,
        outcome.writes_per_change,
        outcome.writes_at_rest,
        outcome.lost
    );
    println!(
        "memory {:.1} MB, CPU {:.0} % of a core",
        outcome.rss_bytes as f64 / 1e6,
        outcome.cpu_percent
    );
    println!(
        "forged and malformed: {} requests, {} not refused with 4xx, {} GameServers changed",
        outcome.forged.requests,
        outcome.forged.not_refused.len(),
        outcome.forged.changed
    );
}

fn judge(outcome: &Outcome) -> Result<()> {
    let wrong = [
        (outcome.failed > 0, "reports failed"),
        (outcome.lost > 0, "what a server said last is not stored"),
        (outcome.writes_at_rest > 0.0, "it wrote at rest"),
        (
            !outcome.forged.not_refused.is_empty(),
            "something forged or malformed was not refused",
        ),
        (
            outcome.forged.changed > 0,
            "something forged or malformed changed a GameServer",
        ),
    ];
    let wrong: Vec<_> = wrong
        .into_iter()
        .filter_map(|(is_wrong, what)| is_wrong.then_some(what))
        .collect();
    if !wrong.is_empty() {
        bail!("{}", wrong.join("; "));
    }
    Ok(())
}

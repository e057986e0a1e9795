//! `bench create`: from apply to N Ready, beside a plain client that creates N Pods.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::runtime::watcher;
use kube::{Client, ResourceExt as _};
use serde::Serialize;
use serde_json::json;

use crate::fleet::{Controller, FleetOptions, Scrape};
use crate::trial::{Arena, ArenaSpec, Session, SessionOptions, is_ready, write_json};

/// Flags of `bench create`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    session: SessionOptions,
    /// Game servers to create.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    servers: u32,
    /// Creations under way at once, for both sides (gss-controller's `--pod-concurrency`).
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=256))]
    parallelism: u32,
    /// Seconds of rest in which writes are counted.
    #[arg(long, default_value_t = 60)]
    rest: u64,
}

#[derive(Debug, Serialize)]
struct Outcome {
    servers: u32,
    seconds: f64,
    plain_seconds: f64,
    ratio: f64,
    requests_per_server: BTreeMap<String, f64>,
    requests_by_kind: BTreeMap<String, f64>,
    /// Of these, what was refused or had no answer: it is sent again.
    failed_by_kind: BTreeMap<String, f64>,
    writes_at_rest: f64,
    rss_bytes: BTreeMap<&'static str, u64>,
}

const LIMIT: Duration = Duration::from_secs(600);

/// Runs the benchmark.
///
/// # Errors
/// When it can't run or something writes at rest.
pub(super) async fn run(options: Options) -> Result<()> {
    let fleet = FleetOptions {
        profile: options.session.profile,
        gss_args: vec![format!("--pod-concurrency={}", options.parallelism)],
        ..Default::default()
    };
    let session = Session::start("bench-create", &options.session, &fleet).await?;
    let outcome = measure(&session, &options).await;
    let stopped = session.stop().await;
    let outcome = outcome?;
    write_json(options.session.json.as_deref(), &outcome)?;
    stopped?;
    report(&outcome);
    if outcome.writes_at_rest > 0.0 {
        bail!(
            "{} writes in {} quiet seconds; there must be none",
            outcome.writes_at_rest,
            options.rest
        );
    }
    Ok(())
}

async fn measure(session: &Session, options: &Options) -> Result<Outcome> {
    // Plain, ours, plain: the cluster is warm for ours and the baseline is not from one end of the run alone.
    let first = plain(&session.client, options).await?;
    eprintln!("plain client: {} Pods Ready in {first:.1} s", options.servers);
    let before = session.fleet.scrape().await?;
    let begun = Instant::now();
    let arena = Arena::create(&session.client, ArenaSpec::plain(options.servers)).await?;
    arena.wait_settled(options.servers as usize, LIMIT).await?;
    let seconds = begun.elapsed().as_secs_f64();
    eprintln!(
        "Gamekeeper: {} game servers Ready in {seconds:.1} s",
        options.servers
    );
    let after = session.fleet.scrape().await?;
    // Trailing writes (coalesced status, events) belong to creation, not to rest.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let resting = session.fleet.scrape().await?;
    eprintln!("resting for {} s", options.rest);
    tokio::time::sleep(Duration::from_secs(options.rest)).await;
    let rested = session.fleet.scrape().await?;
    arena.delete().await?;
    wait_empty(&session.client).await?;
    let second = plain(&session.client, options).await?;
    eprintln!("plain client again: {second:.1} s");
    let plain_seconds = f64::midpoint(first, second);
    let mut requests_per_server = BTreeMap::new();
    let mut total = 0.0;
    for ((controller, old), (_, new)) in before.iter().zip(&resting) {
        let per_server = (new.writes() - old.writes()) / f64::from(options.servers);
        total += per_server;
        requests_per_server.insert(controller.name().to_owned(), per_server);
    }
    requests_per_server.insert("total".into(), total);
    Ok(Outcome {
        servers: options.servers,
        seconds,
        plain_seconds,
        ratio: seconds / plain_seconds,
        requests_per_server,
        requests_by_kind: by_kind(&before, &resting, options.servers, Scrape::writes_by_kind),
        failed_by_kind: by_kind(&before, &resting, options.servers, Scrape::failed_writes),
        writes_at_rest: resting
            .iter()
            .zip(&rested)
            .map(|((_, old), (_, new))| new.writes() - old.writes())
            .sum(),
        rss_bytes: after
            .iter()
            .map(|(controller, scrape)| (controller.name(), scrape.usage().rss_bytes))
            .collect(),
    })
}

/// What `counts` counted between the two, by controller and kind, for each server.
fn by_kind(
    before: &[(Controller, Scrape)],
    after: &[(Controller, Scrape)],
    servers: u32,
    counts: impl Fn(&Scrape) -> BTreeMap<String, f64>,
) -> BTreeMap<String, f64> {
    let mut kinds = BTreeMap::new();
    for ((controller, old), (_, new)) in before.iter().zip(after) {
        let old = counts(old);
        for (kind, count) in counts(new) {
            let per_server = (count - old.get(&kind).copied().unwrap_or(0.0)) / f64::from(servers);
            if per_server > 0.0 {
                kinds.insert(format!("{}: {kind}", controller.name()), per_server);
            }
        }
    }
    kinds
}

/// The least that any controller has to do: create the Pods, and see them all Ready.
async fn plain(client: &Client, options: &Options) -> Result<f64> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let wanted: Namespace = serde_json::from_value(json!({"metadata": {"generateName": "plain-"}}))?;
    let namespace = namespaces
        .create(&PostParams::default(), &wanted)
        .await?
        .name_any();
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let begun = Instant::now();
    let creating = futures::stream::iter(0..options.servers)
        .map(|id| {
            let pods = pods.clone();
            async move {
                let pod: Pod = serde_json::from_value(json!({
                    "metadata": {"name": format!("plain-{id}"), "labels": {"app": "plain"}},
                    "spec": {"terminationGracePeriodSeconds": 0,
                        "containers": [{"name": "game", "image": "example.invalid/game:1"}]},
                }))?;
                pods.create(&PostParams::default(), &pod).await?;
                anyhow::Ok(())
            }
        })
        .buffer_unordered(options.parallelism as usize)
        .try_collect::<Vec<()>>();
    let seeing = all_ready(pods.clone(), options.servers as usize);
    let (created, seen) = tokio::join!(creating, tokio::time::timeout(LIMIT, seeing));
    created?;
    seen??;
    let seconds = begun.elapsed().as_secs_f64();
    namespaces.delete(&namespace, &DeleteParams::default()).await?;
    wait_empty(client).await?;
    Ok(seconds)
}

async fn all_ready(pods: Api<Pod>, expected: usize) -> Result<()> {
    let mut ready = std::collections::HashSet::new();
    let mut events = Box::pin(watcher(pods, watcher::Config::default()));
    while let Some(event) = events.try_next().await? {
        if let watcher::Event::Apply(pod) | watcher::Event::InitApply(pod) = event
            && is_ready(&pod)
        {
            ready.insert(pod.name_any());
            if ready.len() == expected {
                return Ok(());
            }
        }
    }
    bail!("the watch of the plain Pods ended");
}

/// Waits until the Pods of the last measurement are gone, so that their deletion costs the next one nothing.
async fn wait_empty(client: &Client) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    let pods: Api<Pod> = Api::all(client.clone());
    loop {
        let left = pods
            .list_metadata(&ListParams::default().limit(1))
            .await?
            .items
            .len();
        if left == 0 {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("Pods are still being deleted after {} s", LIMIT.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn report(outcome: &Outcome) {
    println!("servers                {}", outcome.servers);
    println!("apply to all Ready     {:.1} s", outcome.seconds);
    println!("plain client           {:.1} s", outcome.plain_seconds);
    println!("ratio                  {:.2}", outcome.ratio);
    println!("requests per server");
    for (controller, count) in &outcome.requests_per_server {
        println!("  {controller:<20} {count:.2}");
    }
    println!("of these");
    for (kind, count) in &outcome.requests_by_kind {
        println!("  {kind:<48} {count:.3}");
    }
    println!("of these failed");
    for (kind, count) in &outcome.failed_by_kind {
        println!("  {kind:<48} {count:.3}");
    }
    println!("writes at rest         {}", outcome.writes_at_rest);
    for (controller, bytes) in &outcome.rss_bytes {
        println!("memory {controller:<15} {:.1} MB", *bytes as f64 / 1e6);
    }
}

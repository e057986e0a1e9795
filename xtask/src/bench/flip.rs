//! `bench flip`: a node with all game servers changes its condition, while opsState changes go on.
//!
//! Turns without and with a flip in the same run: what node-watcher writes must cost the way to the Pods nothing, and each server must be
//! written once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use api_types::GameServer;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde::Serialize;
use serde_json::json;

use super::spread::{Spread, median};
use crate::fleet::{Controller, FleetOptions, Scrape};
use crate::trial::changes::{Changes, Phase};
use crate::trial::{Arena, ArenaSpec, Session, SessionOptions, write_json};

/// Flags of `bench flip`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    #[command(flatten)]
    session: SessionOptions,
    /// Game servers, all on one node.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(10..=1_000))]
    servers: u32,
    /// Changes of opsState a second.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    rate: u32,
    /// Rounds; each is a turn without a flip and one with it.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// Condition that flips. One that only node-watcher acts on: with `Ready` Kubernetes itself writes every Pod of the node as well,
    /// and gs-controller and pod-sync follow, so that it isn't node-watcher that is measured.
    #[arg(long, default_value = "KernelReady")]
    condition: String,
}

#[derive(Debug, Serialize)]
struct Outcome {
    servers: u32,
    condition: String,
    /// Changes of all turns without a flip together, and of all with one.
    quiet: Spread,
    flip: Spread,
    /// Median of the rounds' ratios.
    p50_ratio: f64,
    p99_ratio: f64,
    /// Ratio of `flip` to `quiet`. One slow half-second decides what the p99 of a turn is, not what that of all turns is.
    all_p50_ratio: f64,
    all_p99_ratio: f64,
    /// Conditions that node-watcher wrote for each server and flip.
    writes_per_server: f64,
    /// Flips after which a server didn't show the node's condition.
    wrong: usize,
    lost: usize,
    went_back: usize,
    /// A turn before the node has ever been unwell.
    before: Phase,
    rounds: Vec<(Phase, Phase)>,
}

const SETTLE: Duration = Duration::from_secs(600);
const PATIENCE: Duration = Duration::from_secs(20);
/// Length of the turn before any flip.
const BEFORE: Duration = Duration::from_secs(40);
/// Until node-watcher, which yields to a busy API server, has written every server.
const WRITTEN: Duration = Duration::from_secs(400);
/// After it: whether a server is written twice.
const AFTER: Duration = Duration::from_secs(3);

/// Runs the benchmark.
///
/// # Errors
/// When it can't run, or a server wasn't written exactly once for a flip.
pub(super) async fn run(options: Options) -> Result<()> {
    let fleet = FleetOptions {
        profile: options.session.profile,
        ..Default::default()
    };
    let mut start = options.session.clone();
    start.nodes = 1;
    let session = Session::start("bench-flip", &start, &fleet).await?;
    let outcome = Box::pin(measure(&session, &options)).await;
    let stopped = session.stop().await;
    let outcome = outcome?;
    write_json(options.session.json.as_deref(), &outcome)?;
    report(&outcome);
    stopped?;
    if outcome.lost + outcome.went_back + outcome.wrong > 0 || (outcome.writes_per_server - 1.0).abs() > 1e-9
    {
        bail!("a change was lost or taken back, or a server wasn't written exactly once for a flip");
    }
    Ok(())
}

async fn measure(session: &Session, options: &Options) -> Result<Outcome> {
    eprintln!("waiting for {} game servers", options.servers);
    let arena = Arena::create(&session.client, ArenaSpec::plain(options.servers)).await?;
    arena.wait_settled(options.servers as usize, SETTLE).await?;
    let namespace = arena.namespace.clone();
    // Its observers decode whole objects, and would be measured.
    drop(arena);
    let (node, on_node) = fullest_node(&session.client, &namespace).await?;
    let mut changes = Changes::prepare(
        &session.client,
        &namespace,
        options.servers as usize,
        f64::from(options.rate),
    )
    .await?;
    let ((), before) = changes.during("before any flip", PATIENCE, rest(BEFORE)).await?;
    let (mut rounds, mut wrong, mut writes) = (Vec::new(), 0, 0.0);
    for round in 0..options.rounds {
        let written_before = conditions_written(session).await?;
        let well = !round.is_multiple_of(2);
        let flip = async {
            set_condition(&session.client, &node, &options.condition, well).await?;
            written(session, written_before + on_node as f64).await
        };
        let begun = Instant::now();
        let ((), flipped) = changes.during("flip", PATIENCE, flip).await?;
        let length = begun.elapsed();
        writes += conditions_written(session).await? - written_before;
        wrong += usize::from(showing(&session.client, &namespace, well).await? != on_node);
        // As long as the other turn: a second in which the API server collects its garbage is in every long one, and in few short ones.
        let ((), quiet) = changes.during("no flip", PATIENCE, rest(length)).await?;
        rounds.push((quiet, flipped));
    }
    let flips = on_node as f64 * f64::from(options.rounds);
    Ok(summarise(options, before, rounds, writes / flips, wrong))
}

async fn rest(length: Duration) -> Result<()> {
    tokio::time::sleep(length).await;
    Ok(())
}

fn summarise(
    options: &Options,
    before: Phase,
    rounds: Vec<(Phase, Phase)>,
    writes_per_server: f64,
    wrong: usize,
) -> Outcome {
    let all = |turn: fn(&(Phase, Phase)) -> &Phase| {
        Spread::of(
            rounds
                .iter()
                .flat_map(|round| turn(round).from_sending.clone())
                .collect(),
        )
    };
    let (quiet, flip) = (all(|(quiet, _)| quiet), all(|(_, flip)| flip));
    let ratio = |value: fn(&Phase) -> f64| {
        median(
            rounds
                .iter()
                .map(|(quiet, flip)| value(flip) / value(quiet))
                .collect(),
        )
    };
    let count = |value: fn(&Phase) -> usize| {
        let of_rounds: usize = rounds.iter().map(|(a, b)| value(a) + value(b)).sum();
        of_rounds + value(&before)
    };
    Outcome {
        servers: options.servers,
        condition: options.condition.clone(),
        p50_ratio: ratio(|phase| phase.spread.p50_ms),
        p99_ratio: ratio(|phase| phase.spread.p99_ms),
        all_p50_ratio: flip.p50_ms / quiet.p50_ms,
        all_p99_ratio: flip.p99_ms / quiet.p99_ms,
        quiet,
        flip,
        writes_per_server,
        wrong,
        lost: count(|phase| phase.lost),
        went_back: count(|phase| phase.went_back),
        before,
        rounds,
    }
}

/// Waits until so many conditions have been written, and a little longer.
async fn written(session: &Session, conditions: f64) -> Result<()> {
    let begun = Instant::now();
    while conditions_written(session).await? < conditions {
        ensure!(
            begun.elapsed() < WRITTEN,
            "node-watcher hasn't written every server after {WRITTEN:?}"
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    eprintln!("all written after {:.0} s", begun.elapsed().as_secs_f64());
    tokio::time::sleep(AFTER).await;
    Ok(())
}

/// The node with most of the game servers, and how many it has.
async fn fullest_node(client: &Client, namespace: &str) -> Result<(String, usize)> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut nodes: BTreeMap<String, usize> = BTreeMap::new();
    for pod in pods.list(&ListParams::default()).await? {
        let node = pod.spec.and_then(|spec| spec.node_name);
        *nodes.entry(node.unwrap_or_default()).or_default() += 1;
    }
    let fullest = nodes.into_iter().max_by_key(|(_, servers)| *servers);
    fullest.context("no game server has a Pod")
}

async fn set_condition(client: &Client, node: &str, condition: &str, well: bool) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let now = jiff::Timestamp::now().strftime("%FT%TZ").to_string();
    let status = if well { "True" } else { "False" };
    let condition = json!({"type": condition, "status": status, "reason": "Bench",
        "lastHeartbeatTime": now, "lastTransitionTime": now});
    let patch = Patch::Strategic(json!({"status": {"conditions": [condition]}}));
    nodes.patch_status(node, &PatchParams::default(), &patch).await?;
    Ok(())
}

/// Servers whose condition NodeNormal is as the node is.
async fn showing(client: &Client, namespace: &str, well: bool) -> Result<usize> {
    let servers: Api<GameServer> = Api::namespaced(client.clone(), namespace);
    let wanted = if well { "True" } else { "False" };
    let servers = servers.list(&ListParams::default()).await?;
    let shows = |server: &&GameServer| {
        let conditions = server.status.iter().flat_map(|status| &status.conditions);
        conditions
            .into_iter()
            .any(|condition| condition.type_ == "NodeNormal" && condition.status == wanted)
    };
    Ok(servers.iter().filter(shows).count())
}

/// Conditions that node-watcher has written. Its events come on top: aggregated, and sent when nothing else waits.
async fn conditions_written(session: &Session) -> Result<f64> {
    let scraped = session.fleet.scrape().await?;
    let node_watcher = scraped
        .iter()
        .filter(|(controller, _)| *controller == Controller::NodeWatcher);
    let written = |scrape: &Scrape| scrape.sum("gamekeeper_node_watcher_conditions_total", |_| true);
    Ok(node_watcher.map(|(_, scrape)| written(scrape)).sum())
}

fn report(outcome: &Outcome) {
    println!(
        "{} servers on one node, {} flips",
        outcome.servers, outcome.condition
    );
    let (quiet, flip) = (&outcome.quiet, &outcome.flip);
    println!(
        "sent to label, all turns together: p50 {:.1} ms without a flip, {:.1} ms with it (ratio {:.2}); p99 {:.1}, {:.1} ms ({:.2})",
        quiet.p50_ms, flip.p50_ms, outcome.all_p50_ratio, quiet.p99_ms, flip.p99_ms, outcome.all_p99_ratio
    );
    println!(
        "median of the rounds' ratios: p50 {:.2}, p99 {:.2}",
        outcome.p50_ratio, outcome.p99_ratio
    );
    println!(
        "conditions written for each server and flip: {:.3}; flips not shown by every server: {}",
        outcome.writes_per_server, outcome.wrong
    );
    println!(
        "changes lost {}, labels that went back {}",
        outcome.lost, outcome.went_back
    );
}

//! `bench update`: every server of a set is updated, anew and then in place, while an observer counts those out of service.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use api_types::{GameServerSet, keys};
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher;
use serde::Serialize;
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use crate::fleet::{Controller, FleetOptions, Scrape};
use crate::trial::{Session, SessionOptions, is_ready, write_json};

/// Flags of `bench update`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    session: SessionOptions,
    /// Game servers to update.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(5..=10_000))]
    servers: u32,
    /// Percentage of them that may be out of service at once.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    max_unavailable: u32,
}

#[derive(Debug, Serialize)]
struct Outcome {
    servers: u32,
    /// How many may be out of service at once.
    budget: usize,
    /// How many were, at the worst moment that the API server showed.
    max_unavailable_seen: usize,
    seconds_recreate: f64,
    seconds_in_place: f64,
    requests_per_server_recreate: BTreeMap<String, f64>,
    requests_per_server_in_place: BTreeMap<String, f64>,
}

const LIMIT: Duration = Duration::from_secs(900);
const SET: &str = "arena";

/// Runs the benchmark.
///
/// # Errors
/// When it can't run or more servers than allowed were out of service at once.
pub(super) async fn run(options: Options) -> Result<()> {
    let fleet = FleetOptions {
        profile: options.session.profile,
        ..Default::default()
    };
    let session = Session::start("bench-update", &options.session, &fleet).await?;
    let outcome = measure(&session, &options).await;
    let stopped = session.stop().await;
    let outcome = outcome?;
    write_json(options.session.json.as_deref(), &outcome)?;
    stopped?;
    println!("{}", serde_json::to_string_pretty(&outcome)?);
    if outcome.max_unavailable_seen > outcome.budget {
        bail!(
            "{} servers were out of service at once; {} may be",
            outcome.max_unavailable_seen,
            outcome.budget
        );
    }
    Ok(())
}

async fn measure(session: &Session, options: &Options) -> Result<Outcome> {
    let client = &session.client;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let wanted: Namespace = serde_json::from_value(json!({"metadata": {"generateName": "update-"}}))?;
    let namespace = namespaces
        .create(&PostParams::default(), &wanted)
        .await?
        .name_any();
    let sets: Api<GameServerSet> = Api::namespaced(client.clone(), &namespace);
    sets.create(&PostParams::default(), &set(options)?).await?;
    settled(&sets, options.servers, "created").await?;
    let observer = Observer::start(Api::namespaced(client.clone(), &namespace), options.servers).await?;
    // The environment of a container cannot be changed in place.
    let anew = container("1", "2");
    let (seconds_recreate, requests_per_server_recreate) =
        update(session, &sets, options.servers, &anew, "recreated").await?;
    let (seconds_in_place, requests_per_server_in_place) = update(
        session,
        &sets,
        options.servers,
        &container("2", "2"),
        "updated in place",
    )
    .await?;
    let max_unavailable_seen = observer.worst();
    namespaces.delete(&namespace, &DeleteParams::default()).await?;
    let share = options.servers as usize * options.max_unavailable as usize / 100;
    Ok(Outcome {
        servers: options.servers,
        budget: share.max(1),
        max_unavailable_seen,
        seconds_recreate,
        seconds_in_place,
        requests_per_server_recreate,
        requests_per_server_in_place,
    })
}

fn container(tag: &str, season: &str) -> Value {
    json!([{
        "name": "game",
        "image": format!("example.invalid/game:{tag}"),
        "env": [{"name": "SEASON", "value": season}],
    }])
}

fn set(options: &Options) -> Result<GameServerSet> {
    let rolling = json!({
        "podUpdatePolicy": "InPlaceIfPossible",
        "maxUnavailable": format!("{}%", options.max_unavailable),
    });
    let spec = json!({
        "replicas": options.servers,
        "updateStrategy": {"rollingUpdate": rolling},
        "gameServerTemplate": {"spec": {"terminationGracePeriodSeconds": 0, "containers": container("1", "1")}},
    });
    Ok(serde_json::from_value(json!({
        "apiVersion": keys::API_VERSION,
        "kind": keys::KIND_GAME_SERVER_SET,
        "metadata": {"name": SET},
        "spec": spec,
    }))?)
}

/// Changes the template and waits until every server has it: the seconds, and the writes of each controller per server.
async fn update(
    session: &Session,
    sets: &Api<GameServerSet>,
    servers: u32,
    containers: &Value,
    what: &str,
) -> Result<(f64, BTreeMap<String, f64>)> {
    let before = session.fleet.scrape().await?;
    let begun = Instant::now();
    let patch = json!({"spec": {"gameServerTemplate": {"spec": {"containers": containers}}}});
    sets.patch(SET, &PatchParams::default(), &Patch::Merge(&patch))
        .await?;
    settled(sets, servers, what).await?;
    let seconds = begun.elapsed().as_secs_f64();
    eprintln!("{servers} servers {what} in {seconds:.1} s");
    Ok((
        seconds,
        per_server(&before, &session.fleet.scrape().await?, servers),
    ))
}

/// Waits until the status says that all servers are ready, have the latest template, and that this was the latest wish.
async fn settled(sets: &Api<GameServerSet>, servers: u32, what: &str) -> Result<()> {
    let (deadline, servers) = (Instant::now() + LIMIT, i32::try_from(servers)?);
    loop {
        let set = sets.get(SET).await?;
        let done = set.status.as_ref().is_some_and(|status| {
            status.observed_generation == set.metadata.generation
                && status.updated_ready_replicas == Some(servers)
                && status.available_replicas == servers
        });
        if done {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the servers were not {what} in time: {:?}", set.status);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn per_server(
    before: &[(Controller, Scrape)],
    after: &[(Controller, Scrape)],
    servers: u32,
) -> BTreeMap<String, f64> {
    let mut counts = BTreeMap::new();
    let mut total = 0.0;
    for ((controller, old), (_, new)) in before.iter().zip(after) {
        let count = (new.writes() - old.writes()) / f64::from(servers);
        total += count;
        counts.insert(controller.name().to_owned(), count);
    }
    counts.insert("total".to_owned(), total);
    counts
}

/// Sees every change of every Pod, from the API server itself.
struct Observer {
    counts: Arc<Mutex<Counts>>,
    _watch: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Counts {
    serving: HashSet<String>,
    worst: usize,
}

impl Observer {
    async fn start(pods: Api<Pod>, servers: u32) -> Result<Self> {
        let counts = Arc::new(Mutex::new(Counts::default()));
        let (seen, servers) = (Arc::clone(&counts), servers as usize);
        let (primed, ready) = tokio::sync::oneshot::channel();
        let (mut primed, mut listing) = (Some(primed), true);
        let watch = tokio::spawn(async move {
            let mut events = Box::pin(watcher(pods, watcher::Config::default()));
            // An error ends nothing: the watch lists again.
            loop {
                let Ok(event) = events.try_next().await else {
                    continue;
                };
                let Some(event) = event else { break };
                let mut counts = lock(&seen);
                match event {
                    watcher::Event::Init => {
                        counts.serving.clear();
                        listing = true;
                    }
                    watcher::Event::InitDone => {
                        listing = false;
                        if let Some(primed) = primed.take() {
                            let _ = primed.send(());
                        }
                    }
                    watcher::Event::Apply(pod) | watcher::Event::InitApply(pod) => {
                        if serves(&pod) {
                            counts.serving.insert(pod.name_any());
                        } else {
                            counts.serving.remove(&pod.name_any());
                        }
                    }
                    watcher::Event::Delete(pod) => {
                        counts.serving.remove(&pod.name_any());
                    }
                }
                // While Pods are listed the rest are not missing.
                if !listing {
                    counts.worst = counts.worst.max(servers.saturating_sub(counts.serving.len()));
                }
            }
        });
        let watch = AbortOnDropHandle::new(watch);
        ready.await.context("the observer ended")?;
        Ok(Self {
            counts,
            _watch: watch,
        })
    }

    fn worst(&self) -> usize {
        lock(&self.counts).worst
    }
}

fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether players can be sent to the server.
fn serves(pod: &Pod) -> bool {
    let state = pod.labels().get(keys::label::LIFECYCLE_STATE).map(String::as_str);
    is_ready(pod)
        && pod.metadata.deletion_timestamp.is_none()
        && matches!(state, None | Some("" | keys::lifecycle::NORMAL))
}

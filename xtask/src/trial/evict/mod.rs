//! `trial evict`: allocations and releases under `eviction.safe: WhenIdle`, each racing evictions of the same server.
//!
//! In each round somebody evicts one server without pause while it is allocated, held, and released. When the first eviction
//! comes is chosen at random around the allocation. What the Eviction API does is up to Kubernetes: it looks at the Pod, asks the
//! budgets that select it, and then deletes it. So an eviction that has passed the look when the allocation reaches the Pod still
//! comes through: that is the window, and it is measured. What must never happen is that one gets through that was asked for
//! after the Pod showed the allocation.

mod outcome;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use api_types::{GameServer, keys::label};
use futures::stream::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DeleteParams, EvictParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::watcher;
use kube::{Client, ResourceExt as _};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use self::outcome::{Answer, Eviction, Outcome, Played, Round, judge, report, summarise};
use super::{Session, SessionOptions, is_ready, write_json};
use crate::fleet::{FleetOptions, client_without_retries};

/// Flags of `trial evict`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    session: SessionOptions,
    /// Allocations, each racing evictions.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: u32,
    /// Servers of the set.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(4..=500))]
    servers: u32,
    /// Rounds at the same time.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=32))]
    parallel: u32,
    /// Seed of every random choice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// How long an allocated server is evicted in vain, from the moment its Pod shows the allocation.
const HELD: Duration = Duration::from_millis(150);
/// How long anything that must happen may take.
const LIMIT: Duration = Duration::from_secs(60);
/// The first eviction comes this much before the allocation is asked for, at the earliest.
const EARLIEST_MS: u64 = 12;
/// How long it may take from there to a Pod that shows the allocation, until it was seen.
const AT_FIRST: Duration = Duration::from_millis(60);

const SET: &str = "evict";

/// One version of a Pod.
#[derive(Debug, Clone)]
struct Version {
    at: Instant,
    uid: String,
    ready: bool,
    going: bool,
    allocated: bool,
    protected: bool,
}

/// What a watch has shown of the set's Pods.
#[derive(Default)]
struct Seen {
    now: HashMap<String, Version>,
    /// When a Pod, by UID, first was allocated and protected since its last release.
    protected: HashMap<String, Instant>,
    violations: Vec<String>,
}

struct Ground {
    pods: Api<Pod>,
    servers: Api<GameServer>,
    seen: Arc<Mutex<Seen>>,
    changes: watch::Receiver<u64>,
    in_use: Mutex<std::collections::BTreeSet<String>>,
    /// How long it usually takes from asking for an allocation to a Pod that shows it.
    usual: Mutex<Duration>,
    _watching: AbortOnDropHandle<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the trial.
///
/// # Errors
/// When it can't run or found a violation.
pub(super) async fn run(options: Options) -> Result<()> {
    let fleet = FleetOptions {
        profile: options.session.profile,
        ..Default::default()
    };
    let session = Session::start("trial-evict", &options.session, &fleet).await?;
    let client = client_without_retries(&session.kubeconfig).await;
    let result = match client {
        Ok(client) => rounds(&client, &options).await,
        Err(error) => Err(error),
    };
    let stopped = session.stop().await;
    let outcome = result?;
    stopped?;
    write_json(options.session.json.as_deref(), &outcome)?;
    report(&outcome);
    if outcome.allocated_evicted > 0 || !outcome.violations.is_empty() {
        bail!(
            "{} violations",
            outcome.allocated_evicted + outcome.violations.len()
        );
    }
    Ok(())
}

async fn rounds(client: &Client, options: &Options) -> Result<Outcome> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let wanted: Namespace = serde_json::from_value(json!({"metadata": {"generateName": "evict-"}}))?;
    let namespace = namespaces
        .create(&PostParams::default(), &wanted)
        .await?
        .name_any();
    let ground = Ground::prepare(client, &namespace, options.servers).await?;
    let mut seeds = StdRng::seed_from_u64(options.seed);
    let seeds: Vec<u64> = (0..options.rounds).map(|_| seeds.random()).collect();
    let work = futures::stream::iter(seeds.into_iter().map(|seed| ground.round(seed)));
    let rounds: Vec<Round> = work
        .buffer_unordered(options.parallel as usize)
        .try_collect()
        .await?;
    let violations = lock(&ground.seen).violations.clone();
    namespaces.delete(&namespace, &DeleteParams::default()).await?;
    Ok(summarise(&rounds, violations))
}

impl Ground {
    async fn prepare(client: &Client, namespace: &str, servers: u32) -> Result<Self> {
        let set = json!({
            "apiVersion": "game.kruise.io/v1alpha1", "kind": "GameServerSet", "metadata": {"name": SET},
            "spec": {
                "replicas": servers, "eviction": {"safe": "WhenIdle"},
                "gameServerTemplate": {"spec": {"terminationGracePeriodSeconds": 1,
                    "containers": [{"name": "game", "image": "example.invalid/game:1"}]}},
            },
        });
        let sets: Api<api_types::GameServerSet> = Api::namespaced(client.clone(), namespace);
        sets.create(&PostParams::default(), &serde_json::from_value(set)?)
            .await?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (told, changes) = watch::channel(0);
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let watching = tokio::spawn(follow(pods.clone(), Arc::clone(&seen), told));
        let ground = Self {
            pods,
            servers: Api::namespaced(client.clone(), namespace),
            seen,
            changes,
            in_use: Mutex::default(),
            usual: Mutex::new(AT_FIRST),
            _watching: AbortOnDropHandle::new(watching),
        };
        let all = servers as usize;
        ground
            .until("the set is ready", |seen| {
                (seen.now.values().filter(|pod| pod.ready && !pod.going).count() == all).then_some(())
            })
            .await?;
        Ok(ground)
    }

    /// Waits until the watch shows what is looked for.
    async fn until<T>(&self, what: &str, found: impl Fn(&Seen) -> Option<T>) -> Result<T> {
        let mut changes = self.changes.clone();
        let wait = async {
            loop {
                changes.borrow_and_update();
                if let Some(result) = found(&lock(&self.seen)) {
                    return Ok(result);
                }
                changes.changed().await.context("the watch ended")?;
            }
        };
        tokio::time::timeout(LIMIT, wait)
            .await
            .with_context(|| format!("not within {} s: {what}", LIMIT.as_secs()))?
    }

    /// A ready server that nobody plays on, and its Pod's UID; nobody else gets it until it is given back.
    async fn take(&self) -> Result<(String, String, GameServer)> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let (name, uid) = self
                .until("an idle server", |seen| {
                    let mut used = lock(&self.in_use);
                    let idle = |pod: &Version| pod.ready && !pod.going && !pod.allocated && !pod.protected;
                    let mut free: Vec<_> = seen
                        .now
                        .iter()
                        .filter(|(name, pod)| idle(pod) && !used.contains(*name))
                        .collect();
                    // Not the one that was just made anew, over and over.
                    free.sort_by_key(|(_, pod)| pod.at);
                    let (name, pod) = free.first()?;
                    used.insert((*name).clone());
                    Some(((*name).clone(), pod.uid.clone()))
                })
                .await?;
            // As an allocator does that looks at the server itself.
            let server = self.servers.get_opt(&name).await?;
            let free = server.filter(|server| {
                let owned = server.owner_references().iter().any(|owner| owner.uid == uid);
                let status = server.status.as_ref();
                owned
                    && status.is_some_and(|status| {
                        status.deletion_claim.is_none() && status.current_state.as_deref() == Some("Ready")
                    })
            });
            if let Some(server) = free {
                return Ok((name, uid, server));
            }
            lock(&self.in_use).remove(&name);
            ensure!(Instant::now() < deadline, "no server becomes idle");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn round(&self, seed: u64) -> Result<Round> {
        let (name, uid, server) = self.take().await?;
        let round = self.race(&name, &uid, &server, seed).await;
        lock(&self.in_use).remove(&name);
        round
    }

    async fn race(&self, name: &str, uid: &str, server: &GameServer, seed: u64) -> Result<Round> {
        let mut rng = StdRng::seed_from_u64(seed);
        // A third begins before the allocation; the others at any moment between it and twice the time until a Pod usually shows it.
        // How long that is, the machine decides: with fixed times all would come before it on a slow one.
        let (begin, wait) = if rng.random_range(0..3) == 0 {
            (
                Duration::ZERO,
                Duration::from_millis(rng.random_range(0..=EARLIEST_MS)),
            )
        } else {
            (
                lock(&self.usual).mul_f64(2.0 * rng.random::<f64>()),
                Duration::ZERO,
            )
        };
        let (stop, stopped) = watch::channel(false);
        let evicting = self.evict_until(name, uid, begin, stopped);
        let playing = async {
            tokio::time::sleep(wait).await;
            let result = self.play(name, uid, server).await;
            // From here on somebody who evicts must get through.
            stop.send_replace(true);
            result
        };
        let (evictions, played) = tokio::join!(evicting, playing);
        let (evictions, played) = (evictions?, played?);
        Ok(judge(name, &played, &evictions))
    }

    /// Allocates, stays for a while once the Pod shows it, and releases.
    async fn play(&self, name: &str, uid: &str, server: &GameServer) -> Result<Played> {
        let version = server.resource_version();
        let patch = json!({"metadata": {"uid": server.uid(), "resourceVersion": version}, "spec": {"opsState": "Allocated"}});
        let mut played = Played::default();
        let asked = Instant::now();
        match self
            .servers
            .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
        {
            Ok(_) => played.acknowledged = Some(Instant::now()),
            Err(kube::Error::Api(status)) if [404, 409, 422].contains(&status.code) => return Ok(played),
            Err(error) => return Err(error.into()),
        }
        let shown = self.until("the allocation on the Pod, or its end", |seen| {
            if let Some(at) = seen.protected.get(uid) {
                return Some(Some(*at));
            }
            let stays = seen
                .now
                .get(name)
                .is_some_and(|pod| pod.uid == *uid && !pod.going);
            (!stays).then_some(None)
        });
        played.shown = shown.await?;
        if let Some(shown) = played.shown {
            self.took(shown.saturating_duration_since(asked));
            tokio::time::sleep(HELD).await;
        }
        // Said before the request: the API server may act on it before it has answered.
        played.released = Some(Instant::now());
        lock(&self.seen).protected.remove(uid);
        let patch = json!({"spec": {"opsState": "None"}});
        match self
            .servers
            .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
        {
            Ok(_) => Ok(played),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(played),
            Err(error) => Err(error.into()),
        }
    }

    fn took(&self, time: Duration) {
        let mut usual = lock(&self.usual);
        *usual = (*usual * 3 + time) / 4;
    }

    /// Evicts this Pod again and again until it goes; once `stopped` says so, for [`LIMIT`] at most.
    async fn evict_until(
        &self,
        name: &str,
        uid: &str,
        begin: Duration,
        stopped: watch::Receiver<bool>,
    ) -> Result<Vec<Eviction>> {
        tokio::time::sleep(begin).await;
        let only = Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        };
        let params = EvictParams {
            delete_options: Some(DeleteParams::default().preconditions(only)),
            ..EvictParams::default()
        };
        let mut all = Vec::new();
        let mut since = None;
        loop {
            let asked = Instant::now();
            let answer = match self.pods.evict(name, &params).await {
                Ok(_) => Answer::Evicted,
                Err(kube::Error::Api(status)) => match status.code {
                    429 => Answer::Refused,
                    404 | 409 => Answer::Gone,
                    code => Answer::Other(format!("{code} {}", status.message)),
                },
                Err(error) => return Err(error.into()),
            };
            let ended = matches!(answer, Answer::Evicted | Answer::Gone);
            all.push(Eviction {
                asked,
                answered: Instant::now(),
                answer,
            });
            if ended {
                return Ok(all);
            }
            if *stopped.borrow() {
                let since = since.get_or_insert_with(Instant::now);
                if since.elapsed() > LIMIT {
                    return Ok(all);
                }
            }
        }
    }
}

/// Keeps what the watch shows.
async fn follow(pods: Api<Pod>, seen: Arc<Mutex<Seen>>, told: watch::Sender<u64>) {
    let mut events = watcher(pods, watcher::Config::default()).boxed();
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => lock(&seen).applied(&pod),
            Ok(watcher::Event::Delete(pod)) => {
                let (name, uid) = (pod.name_any(), pod.uid().unwrap_or_default());
                let mut seen = lock(&seen);
                if seen.now.get(&name).is_some_and(|found| found.uid == uid) {
                    seen.now.remove(&name);
                }
            }
            // The watch begins anew by itself.
            Ok(watcher::Event::Init | watcher::Event::InitDone) | Err(_) => {}
        }
        told.send_modify(|count| *count += 1);
    }
}

impl Seen {
    fn applied(&mut self, pod: &Pod) {
        let says = |key: &str, value: &str| pod.labels().get(key).is_some_and(|found| found == value);
        let version = Version {
            at: Instant::now(),
            uid: pod.uid().unwrap_or_default(),
            ready: is_ready(pod),
            going: pod.metadata.deletion_timestamp.is_some(),
            allocated: says(label::GS_OPS_STATE, "Allocated"),
            protected: says(label::SAFE_TO_EVICT, "false"),
        };
        if version.allocated != version.protected && !version.going {
            self.violations.push(format!(
                "{}: a version of the Pod is allocated: {}, and protected: {}",
                pod.name_any(),
                version.allocated,
                version.protected
            ));
        }
        if version.allocated && version.protected && !version.going {
            self.protected.entry(version.uid.clone()).or_insert(version.at);
        }
        self.now.insert(pod.name_any(), version);
    }
}

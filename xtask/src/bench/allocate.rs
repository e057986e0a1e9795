//! `bench allocate`: many clients allocate and release servers at the same time, with the program and with the same code in
//! one process, and each answer is checked against the API server.

use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use api_types::{GameServer, keys, ops_state};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams};
use kubectl_gs::cli::Selection;
use kubectl_gs::commands::allocate::{Request, allocate};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::process::Command;

use super::spread::Spread;
use crate::cluster::paths::repo_root;
use crate::fleet::{FleetOptions, build_beside, client_for};
use crate::trial::{Arena, ArenaSpec, Session, SessionOptions, write_json};

/// Flags of `bench allocate`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    session: SessionOptions,
    /// Game servers.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(10..=5000))]
    servers: u32,
    /// Clients that allocate at the same time.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
    clients: u32,
    /// Allocations in all, of each kind of client.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    allocations: u32,
    /// Servers that a client keeps before it releases the first again.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    hold: u32,
}

/// What came of one kind of client.
#[derive(Debug, Clone, Default, Serialize)]
struct Sample {
    /// Answers.
    allocations: usize,
    /// Servers that were given while they were allocated.
    duplicates: usize,
    /// Answers that came before the Pod showed the allocation.
    early: usize,
    /// Tries at servers that somebody else had first.
    conflicts: u64,
    /// From asking to the answer.
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// Allocations a second, the releases between them included.
    per_second: f64,
}

#[derive(Debug, Serialize)]
struct Outcome {
    servers: u32,
    clients: u32,
    hold: u32,
    /// The program, started anew for each allocation.
    #[serde(flatten)]
    program: Sample,
    /// The same code in a process that stays connected.
    connected: Sample,
}

const LIMIT: Duration = Duration::from_secs(300);
const SET: &str = "arena";

/// Runs the benchmark.
///
/// # Errors
/// When it can't run, or an answer was wrong.
pub(super) async fn run(options: Options) -> Result<()> {
    anyhow::ensure!(
        options.clients * (options.hold + 1) < options.servers,
        "{} clients that keep {} servers each need more than {} servers",
        options.clients,
        options.hold,
        options.servers
    );
    let fleet = FleetOptions {
        profile: options.session.profile,
        ..Default::default()
    };
    let session = Session::start("bench-allocate", &options.session, &fleet).await?;
    let outcome = measure(&session, &options).await;
    let stopped = session.stop().await;
    let outcome = outcome?;
    write_json(options.session.json.as_deref(), &outcome)?;
    stopped?;
    report(&outcome);
    let wrong = |sample: &Sample| sample.duplicates + sample.early;
    if wrong(&outcome.program) + wrong(&outcome.connected) > 0 {
        bail!("servers were given twice, or before their Pods showed it");
    }
    Ok(())
}

async fn measure(session: &Session, options: &Options) -> Result<Outcome> {
    let arena = Arena::create(&session.client, ArenaSpec::plain(options.servers)).await?;
    arena.wait_settled(options.servers as usize, LIMIT).await?;
    let ground = Arc::new(Ground {
        client: client_for(&session.kubeconfig).await?,
        namespace: arena.namespace.clone(),
        kubeconfig: session.kubeconfig.clone(),
        program: build_beside(&repo_root(), options.session.profile, "kubectl-gs").await?,
        taken: Mutex::default(),
    });
    // Once before it counts: the program is read from disk, connections are made.
    ground.sample(Way::Program, options, options.clients).await?;
    let program = ground.sample(Way::Program, options, options.allocations).await?;
    eprintln!("the program: {program:?}");
    let connected = ground
        .sample(Way::Connected, options, options.allocations)
        .await?;
    eprintln!("connected: {connected:?}");
    arena.delete().await?;
    Ok(Outcome {
        servers: options.servers,
        clients: options.clients,
        hold: options.hold,
        program,
        connected,
    })
}

/// How a client allocates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Program,
    Connected,
}

/// Of an answer what is checked.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Given {
    name: String,
    #[serde(rename = "podUID")]
    pod_uid: String,
    conflicts: u64,
}

/// What all clients share.
struct Ground {
    client: kube::Client,
    namespace: String,
    kubeconfig: PathBuf,
    program: PathBuf,
    /// Servers that were given and are not being released yet.
    taken: Mutex<HashSet<String>>,
}

/// What one client saw.
#[derive(Default)]
struct Seen {
    times: Vec<f64>,
    duplicates: usize,
    early: usize,
    conflicts: u64,
}

impl Ground {
    async fn sample(self: &Arc<Self>, way: Way, options: &Options, allocations: u32) -> Result<Sample> {
        let begun = Instant::now();
        // The first clients have one more where it can't be divided.
        let share =
            |client: u32| allocations / options.clients + u32::from(client < allocations % options.clients);
        let clients = (0..options.clients).map(|client| {
            let (ground, hold, count) = (Arc::clone(self), options.hold as usize, share(client));
            async move { tokio::spawn(async move { ground.client(way, count, hold).await }).await? }
        });
        let seen: Vec<Seen> = try_join_all(clients).await?;
        let seconds = begun.elapsed().as_secs_f64();
        let spread = Spread::of(seen.iter().flat_map(|seen| seen.times.iter().copied()).collect());
        Ok(Sample {
            allocations: spread.count,
            duplicates: seen.iter().map(|seen| seen.duplicates).sum(),
            early: seen.iter().map(|seen| seen.early).sum(),
            conflicts: seen.iter().map(|seen| seen.conflicts).sum(),
            p50_ms: spread.p50_ms,
            p90_ms: spread.p90_ms,
            p99_ms: spread.p99_ms,
            max_ms: spread.max_ms,
            per_second: spread.count as f64 / seconds,
        })
    }

    async fn client(&self, way: Way, count: u32, hold: usize) -> Result<Seen> {
        let (mut seen, mut held) = (Seen::default(), VecDeque::new());
        for _ in 0..count {
            let begun = Instant::now();
            let given = match way {
                Way::Program => self.run_program().await?,
                Way::Connected => self.call().await?,
            };
            seen.times.push(begun.elapsed().as_secs_f64() * 1000.0);
            seen.conflicts += given.conflicts;
            seen.duplicates += usize::from(!self.taken().insert(given.name.clone()));
            seen.early += usize::from(!self.shows(&given).await?);
            held.push_back(given.name);
            if held.len() > hold
                && let Some(name) = held.pop_front()
            {
                self.release(way, &name).await?;
            }
        }
        for name in held {
            self.release(way, &name).await?;
        }
        Ok(seen)
    }

    fn taken(&self) -> MutexGuard<'_, HashSet<String>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the Pod that was named shows the allocation, asked of the API server past every cache.
    async fn shows(&self, given: &Given) -> Result<bool> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let pod = pods.get_metadata(&given.name).await?;
        let shown = pod.labels().get(keys::label::GS_OPS_STATE).map(String::as_str);
        Ok(shown == Some(ops_state::ALLOCATED) && pod.uid().as_deref() == Some(&given.pod_uid))
    }

    async fn run_program(&self) -> Result<Given> {
        let answer = self
            .command(&["allocate", "--set", SET, "--timeout", "60s", "-o", "json"])
            .await?;
        serde_json::from_slice(&answer).context("an answer that is none")
    }

    async fn command(&self, arguments: &[&str]) -> Result<Vec<u8>> {
        let output = Command::new(Path::new(&self.program))
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(["--namespace", &self.namespace])
            .args(arguments)
            .output()
            .await?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("kubectl-gs {}: {}: {said}", arguments.join(" "), output.status);
        }
        Ok(output.stdout)
    }

    async fn call(&self) -> Result<Given> {
        let request = Request {
            namespace: self.namespace.clone(),
            selection: Selection {
                sets: vec![SET.to_owned()],
                selector: None,
            },
            timeout: Duration::from_secs(60),
            ..Request::default()
        };
        let given = allocate(&self.client, &request).await?;
        Ok(Given {
            name: given.name,
            pod_uid: given.pod_uid,
            conflicts: given.conflicts.into(),
        })
    }

    /// From the moment it is asked for somebody else may have the server.
    async fn release(&self, way: Way, name: &str) -> Result<()> {
        self.taken().remove(name);
        if way == Way::Program {
            self.command(&["release", name, "--timeout", "60s"]).await?;
            return Ok(());
        }
        let servers: Api<GameServer> = Api::namespaced(self.client.clone(), &self.namespace);
        let patch = Patch::Merge(json!({"spec": {"opsState": ops_state::NONE}}));
        servers.patch(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }
}

fn report(outcome: &Outcome) {
    println!(
        "{} servers, {} clients that keep {} each\n{:<12} {:>6} {:>6} {:>6} {:>10} {:>8} {:>8} {:>8} {:>8} {:>8}",
        outcome.servers,
        outcome.clients,
        outcome.hold,
        "clients",
        "given",
        "twice",
        "early",
        "conflicts",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "max ms",
        "a second"
    );
    for (name, sample) in [("program", &outcome.program), ("connected", &outcome.connected)] {
        println!(
            "{name:<12} {:>6} {:>6} {:>6} {:>10} {:>8.0} {:>8.0} {:>8.0} {:>8.0} {:>8.1}",
            sample.allocations,
            sample.duplicates,
            sample.early,
            sample.conflicts,
            sample.p50_ms,
            sample.p90_ms,
            sample.p99_ms,
            sample.max_ms,
            sample.per_second
        );
    }
}

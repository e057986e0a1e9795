//! Owns the Pods of every GameServerSet: how many there are, which ones go, and what is said about it.
//!
//! | | |
//! |---|---|
//! | watches | GameServerSets; Pods, PersistentVolumeClaims and ControllerRevisions with label `game.kruise.io/owner-gss`; Pods with label `game.kruise.io/removed-from-gss`; GameServers; PodDisruptionBudgets |
//! | writes, Pods | create; delete with UID; label and annotation `lifecycle.apps.kruise.io/*`; conditions `InPlaceUpdateReady` and `KruisePodReady`, where the Pod has these readiness gates; updates in place: images, `resize`, template metadata, revision; owner and owner label of a failed one that is taken out of its set |
//! | in new Pods | with `--game-api-url`: variables SERVER_NAME, SERVER_NAMESPACE, API_SERVER_URL, API_SERVER_CODE |
//! | writes, PersistentVolumeClaims | create; owner references |
//! | writes, ControllerRevisions | create; `revision`; delete |
//! | writes, GameServers | `status.deletionClaim`; label `gs-deleting`, and `spec.markedForDeletion` taken back once its Pod is gone (reclaimPolicy Delete); labels `owner-gss` and `removed-from-gss` of a failed one that is taken out of its set; the GameServer of a victim that has none |
//! | writes, PodDisruptionBudgets | `agones-gameserver-safe-to-evict-false`, where a set of the namespace needs it: create, patch, delete |
//! | writes, GameServerSets | `status`; `spec.replicas` on opsState Kill; `spec.reserveGameServerIds` with strategy ReserveIds; annotation `reserve-ids` |
//! | also writes | Events `Scale`, `Kill`, `ScaleInBlocked`, `UpdateStarted`, `UpdateFinished`, `UpdateBlocked`, `FailedCreate`, `Degraded`, `HookBlocked`, `VolumeBlocked`, `ServerFailed`, `NeedsIntervention`, `DrainTimeout`, `EvictionAdvice`, `BudgetConflict` on GameServerSets; its Lease |
//! | field manager | `gamekeeper-gss-controller` |
//! | metrics | [`METRICS`]; `docs/metrics.md` |
//! | RBAC | `e2e/rbac/gss-controller.yaml` |
//!
//! | module | what it is |
//! |---|---|
//! | [`plan`](mod@plan) | pure: which ids shall exist, which Pods go, which come |
//! | [`build`] | pure: Pods and patches as they are sent |
//! | [`status`] | pure: counters and conditions |
//! | [`observe`], [`memory`] | the caches, and our own latest writes where they are ahead of them |
//! | [`views`] | the parts of objects that are kept |
//! | [`relevance`] | pure: which changes matter, and how soon |
//! | [`host_ports`] | which host ports are in use, for the Pods of `Kubernetes-HostPort` |
//! | [`apply`] | the order of effects, and why two writers are safe |
//! | `census`, `metrics` | what an operator sees |
//! | `controller`, `watches` | wiring |
//!
//! `docs/adr/0006-plan-record-and-deletion-claim.md` says why the plan is stored and how a server with players is never
//! lost.

pub mod apply;
pub mod build;
mod census;
mod controller;
pub mod error;
pub mod host_ports;
pub mod memory;
mod metrics;
pub mod observe;
pub mod plan;
pub mod relevance;
pub mod status;
pub mod views;
mod watches;

use std::process::ExitCode;

use anyhow::Context as _;
use controller_kit::{
    args::{CommonArgs, ControllerArgs, EvictionArgs},
    queue::Queue,
    runtime::Runtime,
};
use leader_election::{Elector, args::LeaseArgs};
use network_plugins::decorate;

pub use metrics::METRICS;

/// Flags of gss-controller.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// API server, logs, health, namespaces.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Sets worked on at once.
    #[command(flatten)]
    pub controller: ControllerArgs,
    /// Leader election. Without it several active instances are safe and do the same work twice.
    #[command(flatten)]
    pub lease: LeaseArgs,
    /// Who may evict servers where their set says nothing.
    #[command(flatten)]
    pub eviction: EvictionArgs,

    /// Requests about Pods under way at the same time, over all sets: creations, claims, deletions. Each takes one
    /// connection to the API server
    #[arg(
        long,
        env = "GAMEKEEPER_POD_CONCURRENCY",
        value_name = "N",
        default_value_t = 64,
        value_parser = clap::value_parser!(u16).range(1..=1024),
        help_heading = "Work"
    )]
    pub pod_concurrency: u16,

    /// First host port given to servers of the network Kubernetes-HostPort
    #[arg(
        long,
        env = "GAMEKEEPER_HOST_PORT_MIN",
        value_name = "PORT",
        default_value_t = decorate::DEFAULT_RANGE.0,
        value_parser = clap::value_parser!(u16).range(1..),
        help_heading = "Network"
    )]
    pub host_port_min: u16,

    /// Last host port given to servers of the network Kubernetes-HostPort
    #[arg(
        long,
        env = "GAMEKEEPER_HOST_PORT_MAX",
        value_name = "PORT",
        default_value_t = decorate::DEFAULT_RANGE.1,
        value_parser = clap::value_parser!(u16).range(1..),
        help_heading = "Network"
    )]
    pub host_port_max: u16,

    /// URL at which game servers reach game-api. New Pods get it as API_SERVER_URL, with SERVER_NAME, SERVER_NAMESPACE and a
    /// code of their own, API_SERVER_CODE. Default: none of the four
    #[arg(
        long,
        env = "GAMEKEEPER_GAME_API_URL",
        value_name = "URL",
        value_parser = parse_url,
        help_heading = "Players"
    )]
    pub game_api_url: Option<String>,
}

fn parse_url(text: &str) -> Result<String, String> {
    let known = ["https://", "http://"]
        .iter()
        .any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
    if !known || text.len() > 2048 || text.contains(|c: char| c.is_whitespace() || c == '$') {
        return Err("expected a URL such as https://game-api.gamekeeper-system.svc".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// Runs until a signal arrives or leadership is lost.
///
/// # Errors
/// Flags that cannot be used, and what keeps [`Runtime::start`] from starting.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let runtime = Runtime::start("gss-controller", &args.common).await?;
    let client = runtime.client();
    let lease = args
        .lease
        .lease("gss-controller", client.default_namespace())
        .context("leader election")?;
    let elector = Elector::new(client, lease)?;
    let queues = controller::Queues {
        sets: Queue::new(),
        departing: Queue::new(),
        budgets: Queue::new(),
    };
    for queue in [&queues.sets, &queues.departing, &queues.budgets] {
        queue.gate(elector.is_leader());
    }
    anyhow::ensure!(
        args.host_port_min <= args.host_port_max,
        "--host-port-min {} is above --host-port-max {}",
        args.host_port_min,
        args.host_port_max
    );
    controller::start(&runtime, &queues, &args);
    let drained = runtime.drained();
    runtime.spawn_after_drain("leader-election", async move { Ok(elector.run(drained).await?) });
    Ok(runtime.run().await)
}

//! Service qualities: probes game servers, and turns changes of their results into actions.
//!
//! A probe tells a state (a command's exit code) and a result (its output). Both are written to the Pod as condition
//! `game.kruise.io/<name>`, and only when one of them changes. Whoever wrote the condition, its change is acted on once: what the
//! set's `serviceQualityAction`s say is done to the GameServer, and its status tells.
//!
//! # Modes
//!
//! | `--mode` | runs as | does | needs |
//! |---|---|---|---|
//! | `node` | DaemonSet | probes the Pods of its node; commands through the node's container runtime | the runtime's socket; to write Pods' status |
//! | `actions` | Deployment | acts on conditions | to write GameServers |
//! | `central` | Deployment | both, for all Pods; commands through the API server | the above, and `pods/exec` |
//!
//! `node` with `actions` is the way for many probes: a command costs the API server nothing. `central` needs nothing on the
//! nodes, and three connections and a few requests of the API server for each command. `docs/qualities.md` has figures.
//!
//! # Ownership
//!
//! | | |
//! |---|---|
//! | watches | GameServerSets; Pods with label `game.kruise.io/owner-gss` (of one node in node mode); GameServers unless in node mode |
//! | writes | Pod conditions `game.kruise.io/<name>` (`node`, `central`) |
//! | | GameServer `spec`, labels and annotations that actions name; annotation `game.kruise.io/service-quality-acted` (`actions`, `central`) |
//! | | GameServer `status.serviceQualitiesConditions` (`actions`, `central`) |
//! | field manager | `gamekeeper-quality-prober` |
//! | events | on GameServers: `ServiceQualityChanged`, `ServiceQualityAction`; Warnings `ContainerNotFound`, `PortNotFound`, `NotAProbe`, `InvalidTemplate`, `InvalidOpsState`, `InvalidUpdatePriority`, `InvalidDeletionPriority`, `InvalidLabelValue`, `ServerIsGoing`, `ActionYielded`, `ActionRefused`; on GameServerSets: Warning `InvalidTemplate` |
//! | metrics | [`METRICS`]; `docs/metrics.md` |
//! | RBAC | `e2e/rbac/quality-prober-node.yaml`, `quality-prober.yaml`, `quality-prober-central.yaml` |
//!
//! # What is promised
//!
//! - A restart of a prober, a container or a node reports nothing: what is known begins with the Pod's condition, and
//!   changes when a threshold is reached with something else.
//! - A result is acted on once. What an action changes and that it has been acted on are one write, made from what the API
//!   server has at that moment (`docs/adr/0021-service-qualities.md`).
//! - A change that somebody else makes while an action is carried out stays.

mod apply;
mod build;
mod controller;
mod drive;
mod error;
#[cfg(test)]
mod fixture;
mod metrics;
mod observe;
mod plan;
mod probe;
mod status;
mod views;

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use controller_kit::{
    args::{CommonArgs, ControllerArgs, RestArgs},
    runtime::Runtime,
};
use leader_election::{Elector, args::LeaseArgs};
use tokio_util::sync::CancellationToken;

pub use metrics::METRICS;

use controller::{Probing, Tasks};
use plan::{Limits, Probes};
use probe::{Exec, Runner, Runtime as ContainerRuntime};

/// Name of the program, of its Lease, and of its component in events.
const NAME: &str = "quality-prober";

/// What of the work a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Probes the Pods of one node; commands through its container runtime. A DaemonSet. A command costs this node a process
    /// and the API server nothing
    Node,
    /// Acts on what Pods' conditions say, and probes nothing. A Deployment, beside the DaemonSet
    Actions,
    /// Probes all Pods and acts. A Deployment, alone. A command costs the API server three connections and a few
    /// requests: for tens of commands a second at most
    Central,
}

/// Command line of quality-prober.
#[derive(Debug, Clone, clap::Parser)]
#[command(
    name = NAME,
    version,
    about = "Probes game servers, and turns changes of their results into actions",
    after_help = "httpGet, tcpSocket and grpc probes go to the Pods directly in either mode, and start no process. Run `node` on every \
                  node and `actions` once, or `central` once; not both, or each Pod is probed twice."
)]
pub struct Args {
    /// Flags of every controller.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Flags of the leader election; not used in node mode.
    #[command(flatten)]
    pub lease: LeaseArgs,
    /// How much is written at once.
    #[command(flatten)]
    pub controller: ControllerArgs,
    /// When watches rest.
    #[command(flatten)]
    pub rest: RestArgs,
    /// What this process does
    #[arg(long, env = "GAMEKEEPER_MODE", value_enum, help_heading = "Work")]
    pub mode: Mode,
    /// Name of the node whose Pods are probed; in node mode
    #[arg(
        long,
        env = "GAMEKEEPER_NODE_NAME",
        value_name = "NAME",
        required_if_eq("mode", "node"),
        help_heading = "Work"
    )]
    pub node_name: Option<String>,
    /// Socket of the container runtime, in node mode; repeatable, the first that answers is used [default: where containerd,
    /// k3s, k0s, MicroK8s, CRI-O and cri-dockerd have theirs]. In a Pod, mount the socket's folder, not the socket
    #[arg(
        long,
        env = "GAMEKEEPER_CRI_SOCKET",
        value_name = "PATH",
        value_delimiter = ',',
        help_heading = "Work"
    )]
    pub cri_socket: Vec<PathBuf>,
    /// Commands that run at once; what is due beyond waits, the longest first
    #[arg(
        long,
        env = "GAMEKEEPER_EXECS",
        value_name = "N",
        default_value_t = 16,
        value_parser = clap::value_parser!(u16).range(1..=1024),
        help_heading = "Work"
    )]
    pub execs: u16,
    /// Other probes that run at once
    #[arg(
        long,
        env = "GAMEKEEPER_CONNECTIONS",
        value_name = "N",
        default_value_t = 256,
        value_parser = clap::value_parser!(u16).range(1..=4096),
        help_heading = "Work"
    )]
    pub connections: u16,
    /// Commands begun in a second at most, in central mode: each costs the API server three connections and a few requests
    #[arg(
        long,
        env = "GAMEKEEPER_EXECS_PER_SECOND",
        value_name = "N",
        default_value_t = 20,
        value_parser = clap::value_parser!(u32).range(1..=1000),
        help_heading = "Work"
    )]
    pub execs_per_second: u32,
}

/// Runs the controller until it is told to stop or cannot go on.
///
/// # Errors
/// When the API server cannot be reached at the start, or the configuration makes no sense.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let runtime = Runtime::start(NAME, &args.common).await?;
    metrics::describe();
    if args.mode == Mode::Node {
        node(&runtime, &args)?;
        return Ok(runtime.run().await);
    }
    let client = runtime.client();
    let lease = args.lease.lease(NAME, client.default_namespace())?;
    let elector = Elector::new(client, lease)?;
    let probing = (args.mode == Mode::Central).then(|| Probing {
        runner: Runner {
            exec: Exec::Api(runtime.client()),
        },
        probes: probes(&args, Some(args.execs_per_second)),
    });
    let tasks = Tasks {
        probing,
        acting: true,
        node: None,
        leads: Some(elector.is_leader()),
    };
    controller::start(&runtime, tasks, &args);
    let drained = runtime.drained();
    runtime.spawn_after_drain("leader-election", async move { Ok(elector.run(drained).await?) });
    Ok(runtime.run().await)
}

/// One process for each node: there is nobody to elect.
fn node(runtime: &Runtime, args: &Args) -> anyhow::Result<()> {
    let name = args.node_name.clone().filter(|name| !name.is_empty());
    let name = name.context("--mode node needs --node-name")?;
    let sockets = if args.cri_socket.is_empty() {
        probe::default_sockets()
    } else {
        args.cri_socket.clone()
    };
    let containers = ContainerRuntime::at(sockets);
    follow(runtime, containers.clone());
    let tasks = Tasks {
        probing: Some(Probing {
            runner: Runner {
                exec: Exec::Runtime(containers),
            },
            probes: probes(args, None),
        }),
        acting: false,
        node: Some(name),
        leads: None,
    };
    controller::start(runtime, tasks, args);
    Ok(())
}

fn probes(args: &Args, execs_per_second: Option<u32>) -> Probes {
    Probes::new(Limits {
        execs: args.execs.into(),
        others: args.connections.into(),
        execs_per_second,
    })
}

/// How often the container runtime is asked whether it is there: while it is, and while it is not.
const LOOK: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Says in `/readyz` and the log whether the container runtime answers. Probes do not depend on it: they try each time.
fn follow(runtime: &Runtime, containers: ContainerRuntime) {
    let answers = Arc::new(AtomicBool::new(false));
    let checked = Arc::clone(&answers);
    runtime.readiness("container-runtime", move || {
        if checked.load(Ordering::Relaxed) {
            Ok(())
        } else {
            Err("the container runtime does not answer".to_owned())
        }
    });
    let shutdown = runtime.shutdown();
    runtime.spawn("container-runtime", async move {
        look(&containers, &answers, &shutdown).await;
        Ok(())
    });
}

async fn look(containers: &ContainerRuntime, answers: &AtomicBool, shutdown: &CancellationToken) {
    let mut known = None;
    loop {
        let version = containers.version().await;
        if known.as_ref() != Some(&version) {
            match &version {
                Ok(version) => tracing::info!(version, "the container runtime answers"),
                Err(error) => tracing::warn!(error, "the container runtime does not answer"),
            }
        }
        answers.store(version.is_ok(), Ordering::Relaxed);
        let pause = if version.is_ok() { LOOK } else { LOOK_AGAIN };
        known = Some(version);
        if shutdown
            .run_until_cancelled(tokio::time::sleep(pause))
            .await
            .is_none()
        {
            return;
        }
    }
}

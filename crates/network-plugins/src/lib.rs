//! How players reach a game server: its ports, its Service, its Ingress, and what is said about them.
//!
//! | | |
//! |---|---|
//! | watches | Pods with label `game.kruise.io/owner-gss`, those without a network forgotten at once; GameServers; GameServerSets; Services of servers and all of type LoadBalancer; Ingresses with the label; Nodes, for their addresses |
//! | writes, Services and Ingresses of servers | create; patch with UID and version; delete with UID |
//! | writes, Pods | annotation `network-status`; label `inplace-update-not-ready-blocker`, where `AllowNotReadyContainers` asks for it |
//! | writes, GameServers | `status.networkStatus` and condition `NetworkReady` |
//! | writes, ConfigMaps `gamekeeper-ports-*` in its own namespace | create; patch with UID and version |
//! | also writes | Events on GameServers, Warning, with the condition's reason: `NoSuchPlugin`, `ParameterError`, `HostPortsMissing`, `PortsExhausted`, `PortConflict`, `ServiceConflict`, `Refused`; its Lease |
//! | field manager | `gamekeeper-network-plugins`; the status by server-side apply |
//! | metrics | [`METRICS`]; `docs/metrics.md` |
//! | RBAC | `e2e/rbac/network-plugins.yaml` |
//!
//! | module | what it is |
//! |---|---|
//! | [`decorate`] | pure, and used by gss-controller: host ports of a Pod that is about to be made |
//! | `plugins` | pure: what each plugin wants for a server, and where it finds it |
//! | `engine` | pure: one Service for each server, and whose the one is that is there |
//! | `ports` | ports of load balancers that servers share |
//! | `plan`, `build`, `status` | pure: what is to be done, the objects, what is said |
//! | `census`, `metrics` | what an operator sees |
//!
//! A plugin that cannot go on is a condition with a reason, never an error that keeps anything else from happening.
//! `docs/networks.md` has the parameters.

mod apply;
mod build;
mod census;
mod controller;
pub mod decorate;
mod engine;
mod error;
#[cfg(test)]
mod fixture;
mod go_json;
mod metrics;
mod observe;
mod params;
mod plan;
mod plugins;
mod ports;
mod problem;
mod status;
mod views;

use std::process::ExitCode;

use controller_kit::{
    args::{CommonArgs, ControllerArgs, RestArgs},
    queue::Queue,
    runtime::Runtime,
};
use leader_election::{Elector, args::LeaseArgs};

pub use go_json::go_json;
pub use metrics::METRICS;
pub use problem::{Problem, Reason};

/// Name of the program, of its Lease, and of its component in events.
const NAME: &str = "network-plugins";

/// Command line of network-plugins.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = NAME, version, about = "Gives game servers their Services, Ingresses, ports and addresses")]
pub struct Args {
    /// Flags of every controller.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Flags of the leader election.
    #[command(flatten)]
    pub lease: LeaseArgs,
    /// How much is done at once.
    #[command(flatten)]
    pub controller: ControllerArgs,
    /// When watches rest.
    #[command(flatten)]
    pub rest: RestArgs,
    /// Namespace of the ConfigMaps that record which server has which port of a shared load balancer [default: the namespace
    /// of the Lease]
    #[arg(
        long,
        env = "GAMEKEEPER_PORTS_NAMESPACE",
        value_name = "NAME",
        help_heading = "Network"
    )]
    pub ports_namespace: Option<String>,
}

/// Runs the controller until it is told to stop or cannot go on.
///
/// # Errors
/// When the API server cannot be reached at the start, or the configuration makes no sense.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let runtime = Runtime::start(NAME, &args.common).await?;
    metrics::describe();
    let client = runtime.client();
    let lease = args.lease.lease(NAME, client.default_namespace())?;
    let namespace = lease.namespace.clone();
    let elector = Elector::new(client, lease)?;
    let queues = controller::Queues {
        servers: Queue::new(),
        releases: Queue::new(),
    };
    queues.servers.gate(elector.is_leader());
    queues.releases.gate(elector.is_leader());
    let namespace = args.ports_namespace.clone().unwrap_or(namespace);
    controller::start(&runtime, &queues, &args, elector.is_leader(), &namespace);
    let drained = runtime.drained();
    runtime.spawn_after_drain("leader-election", async move { Ok(elector.run(drained).await?) });
    Ok(runtime.run().await)
}

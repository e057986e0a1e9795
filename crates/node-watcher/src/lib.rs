//! How a game server's node is, shown on its GameServer.
//!
//! Nodes speak all the time: every status report of a kubelet is an event of the Node, though it says the same as the
//! last. This controller is the only one that listens, in a process of its own: what nodes say never waits in front of
//! an opsState, and what does not change a server's condition never reaches even this controller's queue.
//!
//! # Ownership
//!
//! | | |
//! |---|---|
//! | watches | Nodes; GameServers without label `game.kruise.io/node-name`; GameServerSets |
//! | | unless it rests: Pods with label `game.kruise.io/owner-gss`, by node; GameServers |
//! | writes | GameServer condition `NodeNormal` in `status.conditions`; `status.publicIP` where the node has an external address |
//! | | GameServer label `game.kruise.io/node-name`, once the GameServer exists: gs-controller creates it with the label it has at birth |
//! | field manager | `gamekeeper-node-watcher`; the condition and the address by server-side apply, which are all it owns of the status |
//! | events | on GameServers, Warning when the condition turns `False`: `NodeNotFound`, `NodeTerminating`, `NodeEvicting`, `NodeNotReady`, `NodeUnwell` |
//! | metrics | [`METRICS`]; `docs/metrics.md` |
//! | RBAC | `e2e/rbac/node-watcher.yaml` |
//!
//! # The condition
//!
//! `NodeNormal` is `False` when the node of the server's Pod
//! - is not there (3 s after it was last seen: a node's object may be made anew), or is being deleted;
//! - has a condition with the wrong status: `SufficientIP`, `Ready` and every type that ends in `Ready` should be
//!   `True`, every other `False`;
//! - has a `NoExecute` taint that the Pod does not tolerate for good: the Pod is being evicted. Taints under
//!   `node.kubernetes.io/` repeat conditions and are not read, but for `out-of-service`.
//!
//! It is `True` when it was `False` before and none of this holds. A server whose node was always well has none, which
//! saves a request for each server (`docs/adr/0016-node-conditions.md`); `--report-normal` writes it all the same.
//!
//! # The address
//!
//! `status.publicIP` is the node's first address of type `ExternalIP`. On clusters whose nodes have none it is never written and
//! costs nothing: `podStatus.hostIP`, which gs-controller copies, is the address inside.
//!
//! # Rest
//!
//! While every node is well and none has an external address, there is nothing to show: the watches of Pods and GameServers end
//! after `--rest-after`, and an allocator's changes cost this process nothing. They go on at once when a node is in trouble, leaves, or has an
//! external address, when a GameServer has no label `node-name` yet, and while a set keeps GameServers for their next Pod
//! (`reclaimPolicy: Delete`). With `--report-normal` they never rest. See `docs/adr/0038-watches-that-rest.md`.
//!
//! # Rate
//!
//! A node's change concerns all its servers at once. Their GameServers are written at `--writes-per-second` at most, and
//! after each write there is a pause of nine times what a write takes at present: a tenth of the time is writing, so that an
//! API server with much to do gets less to do from here. Each is written from what is true when its turn comes: a node that
//! comes and goes faster than that costs no more.

mod absent;
mod apply;
mod build;
mod controller;
mod error;
#[cfg(test)]
mod fixture;
mod metrics;
mod observe;
mod pace;
mod plan;
mod rest;
mod status;
mod views;

use std::process::ExitCode;

use controller_kit::{
    args::{CommonArgs, ControllerArgs, RestArgs},
    queue::Queue,
    runtime::Runtime,
};
use leader_election::{Elector, args::LeaseArgs};

pub use metrics::METRICS;

/// Name of the program, of its Lease, and of its component in events.
const NAME: &str = "node-watcher";

/// Command line of node-watcher.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = NAME, version, about = "Shows on GameServers how their nodes are")]
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
    /// When the watches of Pods and GameServers rest.
    #[command(flatten)]
    pub rest: RestArgs,
    /// GameServers written in a second at most, from 1 to 10000; fewer while a write takes more than a tenth of the time
    /// between two. One status write costs the API server about 8 ms of CPU: the default takes a sixth of one core at most
    /// while a node's servers are written
    #[arg(
        long,
        env = "GAMEKEEPER_WRITES_PER_SECOND",
        value_name = "N",
        default_value_t = 20,
        value_parser = clap::value_parser!(u32).range(1..=10_000),
        help_heading = "Work"
    )]
    pub writes_per_second: u32,
    /// Write NodeNormal=True also on servers whose node has always been well, as OpenKruiseGame does: one request more
    /// for each server
    #[arg(long, env = "GAMEKEEPER_REPORT_NORMAL", help_heading = "Work")]
    pub report_normal: bool,
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
    let elector = Elector::new(client, lease)?;
    let queue = Queue::new();
    queue.gate(elector.is_leader());
    controller::start(&runtime, &queue, &args, elector.is_leader());
    let drained = runtime.drained();
    runtime.spawn_after_drain("leader-election", async move { Ok(elector.run(drained).await?) });
    Ok(runtime.run().await)
}

//! The replicas of GameServerSets follow their players.
//!
//! A set opts in with `spec.playerAutoscaling`. Its players are summed over the GameServers that are not on their way out, and
//! held against the capacity of these servers. `docs/autoscaling.md` is for users; `docs/adr/0030-scaling-by-players.md` says why
//! it is as it is.
//!
//! # Ownership
//!
//! | | |
//! |---|---|
//! | watches | GameServerSets; GameServers, while a set has opted in; HorizontalPodAutoscalers; KEDA's ScaledObjects, where the cluster had them at the start |
//! | writes | GameServerSet `spec.replicas` of sets that opted in, through the scale subresource, with the `resourceVersion` it decided from |
//! | | GameServerSet `status.playerAutoscaling` |
//! | field manager | `gamekeeper-player-autoscaler` |
//! | events | on GameServerSets: Normal `ScaledOut`, `ScaledIn`; Warning `ScaledByOther`, `InvalidSettings` |
//! | metrics | [`METRICS`]; `docs/metrics.md` |
//! | RBAC | `e2e/rbac/player-autoscaler.yaml` |
//!
//! # When nothing is scaled
//!
//! `status.playerAutoscaling.reason` says which of these holds, the first of them:
//!
//! | reason | what it waits for |
//! |---|---|
//! | `InvalidSettings` | a spec that can be carried out; CEL refuses the others, but they may have been stored before it did |
//! | `ScaledByOther` | no HorizontalPodAutoscaler and no ScaledObject has the set as its target |
//! | `CoolingDown` | the cooldown after the last change of replicas, whoever made it; a timer, not the next report of players |
//! | `NeedsIntervention` | the set's condition of that name to go |
//! | `Settling` | gss-controller has acted on the spec, and as many servers as wanted are there and available |
//! | `AtMaximum`, `AtMinimum` | the load to come down, or up |
//! | `ScaleInWouldOverload` | so few players that one server less would not mean one server more next |
//! | `WithinThresholds` | the load to leave the space between the thresholds |
//!
//! Replicas outside `minReplicas` and `maxReplicas` are corrected at once: that is what was asked for, not what load suggests.

mod apply;
mod build;
mod controller;
mod error;
#[cfg(test)]
mod fixture;
mod metrics;
mod observe;
mod plan;
mod status;
mod totals;
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
const NAME: &str = "player-autoscaler";

/// Command line of player-autoscaler.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = NAME, version, about = "Lets the replicas of GameServerSets follow their players")]
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
    /// When the watch of game servers rests.
    #[command(flatten)]
    pub rest: RestArgs,
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
    controller::start(&runtime, &queue, &args).await;
    let drained = runtime.drained();
    runtime.spawn_after_drain("leader-election", async move { Ok(elector.run(drained).await?) });
    Ok(runtime.run().await)
}

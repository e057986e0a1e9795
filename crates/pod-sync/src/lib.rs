//! pod-sync: what a GameServer says reaches its Pod's labels, and through the Downward API the game itself, in milliseconds.
//!
//! Nothing else happens here. There are no node events, no probes, no status writes and no rate limit, and a change that
//! makes no difference to the Pod never reaches the queue.
//!
//! | | |
//! |---|---|
//! | watches | GameServers (of their status the deletion claim, and whether there are players); Pods with label `game.kruise.io/owner-gss`; GameServerSets (images of the template, and who may evict) |
//! | writes, on Pods | labels `gs-state`, `gs-opsState`, `gs-update-priority`, `gs-delete-priority`, `network-disabled` |
//! | | annotations `opsState-last-changed-time`, `state-last-changed-time`, `gs-updating-containers`, `synced-generation`, `synced-from` |
//! | | labels and annotations under `gs-sync/` that the GameServer has, or had |
//! | | label and annotation `safe-to-evict`, where the set's template has none (who may evict the server) |
//! | | `spec.containers[].image` where `GameServer.spec.containers` overrides it |
//! | | each once a change: one patch, with the Pod's UID and resource version, without a read |
//! | also writes | Events `GsStateChanged`, `InvalidLabelValue`, `PodPatchRefused`, `SyncGap`, `SyncGapClosed` on GameServers; Leases of its shards |
//! | field manager | `gamekeeper-pod-sync` |
//! | metrics | [`METRICS`]; `docs/metrics.md` |
//! | RBAC | `e2e/rbac/pod-sync.yaml` |
//!
//! | module | what it is |
//! |---|---|
//! | [`plan`](mod@plan) | pure: GameServer and Pod to one patch, or none |
//! | [`record`] | pure: what the Pod remembers, so that nothing goes back and `gs-sync/` keys can be removed |
//! | [`build`], [`overlay`] | pure: patch to request body; patch to the Pod it makes |
//! | `observe` | the caches, and our own latest write where it is ahead of them |
//! | `sync` | the filter in the watch callbacks; observe, plan, write in the workers |
//! | `gap`, `notify`, `metrics` | what an operator sees |
//! | `controller` | wiring |
//!
//! `docs/opsstate.md` follows one change through; `docs/adr/0008-pod-sync-write.md` says why the write is as it is.

mod apply;
pub mod build;
mod controller;
mod gap;
mod metrics;
mod notify;
mod observe;
pub mod overlay;
mod ownership;
pub mod plan;
pub mod record;
mod sync;
mod template;

#[cfg(test)]
mod fixture;

use std::process::ExitCode;

use controller_kit::{
    args::{CommonArgs, ControllerArgs, EvictionArgs},
    runtime::Runtime,
};
use leader_election::args::LeaseArgs;

pub use metrics::METRICS;

/// Flags of pod-sync.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// API server, logs, health, namespaces.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Pods patched at once.
    #[command(flatten)]
    pub controller: ControllerArgs,
    /// Leases of the shards.
    #[command(flatten)]
    pub lease: LeaseArgs,
    /// Who may evict servers where their set says nothing.
    #[command(flatten)]
    pub eviction: EvictionArgs,

    /// Parts into which the servers are divided among the replicas, each owned by one of them: 1 for one active replica and
    /// standbys, more than the replicas there will ever be to scale out; the same for every replica. 0: no leases, for a
    /// single replica
    #[arg(
        long,
        env = "GAMEKEEPER_SHARDS",
        value_name = "N",
        default_value_t = 1,
        help_heading = "Leader election"
    )]
    pub shards: u32,
}

/// Runs until a signal arrives.
///
/// # Errors
/// Flags that cannot be used, and what keeps [`Runtime::start`] from starting.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let runtime = Runtime::start("pod-sync", &args.common).await?;
    controller::start(&runtime, &args)?;
    Ok(runtime.run().await)
}

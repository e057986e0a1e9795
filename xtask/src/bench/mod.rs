//! Benchmarks: ratios against a baseline in the same run, since absolute times differ from machine to machine.

mod all;
mod allocate;
mod create;
mod file;
mod flip;
pub(crate) mod game_api;
mod idle;
mod memory;
mod network;
pub(crate) mod probe;
pub(crate) mod spread;
pub(crate) mod sync;
mod update;

/// `cargo xtask bench NAME`.
#[derive(Debug, clap::Subcommand)]
pub enum Bench {
    /// Creates game servers and, with the same parallelism, plain Pods; counts requests, memory and writes at rest.
    Create(create::Options),
    /// Counts what the controllers do and cost at rest, without and with heartbeats of the nodes
    Idle(idle::Options),
    /// Reads each controller's memory at growing numbers of game servers
    Memory(memory::Options),
    /// Times servers of each network plugin until they can be reached, and counts requests
    Network(network::Options),
    /// Updates every server of a set, anew and then in place, and counts those out of service at once.
    Update(update::Options),
    /// Times opsState from an allocator's patch to the Pod label, in turns with a program that does nothing else
    Sync(sync::Options),
    /// Times opsState on its way while a node with all game servers flips
    Flip(flip::Options),
    /// Times opsState from an allocator's patch to the file in a container of a real kubelet
    File(file::Options),
    /// Times a dead process until it is an opsState, and reads what probes cost a node, by its runtime and through the API server
    Probe(probe::Options),
    /// Times reports of many game servers, counts what they write, and tries forged ones
    GameApi(game_api::Options),
    /// Times allocations of many clients with `kubectl gs`, and checks that no server is given twice or before its Pod shows it
    Allocate(allocate::Options),
    /// Every one of these in turn
    All(all::Options),
}

impl Bench {
    /// Runs the benchmark.
    ///
    /// # Errors
    /// When it can't run.
    pub async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Create(options) => create::run(options).await,
            Self::Idle(options) => idle::run(options).await,
            Self::Memory(options) => memory::run(options).await,
            Self::Network(options) => network::run(options).await,
            Self::Update(options) => update::run(options).await,
            Self::Flip(options) => flip::run(options).await,
            Self::File(options) => file::run(options).await,
            Self::Probe(options) => probe::run(options).await,
            Self::GameApi(options) => game_api::run(options).await,
            Self::Allocate(options) => allocate::run(options).await,
            Self::All(options) => all::run(options).await,
            Self::Sync(options) => sync::run(options).await,
        }
    }
}

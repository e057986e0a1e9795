//! Trials: long runs against a real API server that break things on purpose and count what went wrong.

mod alerts;
mod allocate;
mod arena;
pub(crate) mod changes;
mod chart;
mod dashboards;
mod evict;
mod flow;
mod install;
mod keda;
mod kill;
mod node;
mod observer;
mod players;
mod ports;
mod session;
mod shards;
mod shipped;
pub(crate) mod shutdown;
mod sync_faults;
mod tutorial;

pub use arena::{Allocation, Arena, ArenaSpec};
pub(crate) use observer::is_ready;
pub(crate) use ports::cloud::{Cloud, ID_ANNOTATION};
pub use session::{Session, SessionOptions, write_json};

/// `cargo xtask trial NAME`.
#[derive(Debug, clap::Subcommand)]
pub enum Trial {
    /// Kills each controller at random moments while replicas move, and checks that the end state is the same each time.
    Kill(kill::Options),
    /// Allocates servers while sets shrink, and checks that no acknowledged allocation is lost.
    Allocate(allocate::Options),
    /// Stops, kills and freezes replicas of pod-sync under opsState changes, and times how late any of them becomes.
    Shards(shards::Options),
    /// Cuts, silences and throttles pod-sync's way to the API server, and times how soon every Pod is right afterwards.
    SyncFaults(sync_faults::Options),
    /// Shrinks a set behind a real Envoy while players are connected and controllers are killed, and checks that no connection is cut.
    Shutdown(shutdown::Options),
    /// Cuts off a real node's power while servers with service qualities run on it, and checks that no action follows from that.
    Node(node::Options),
    /// Lets two leaders give out ports of load balancers while servers come and go, and checks that none is given twice or lost.
    Ports(ports::Options),
    /// Shrinks, updates and marks servers, and lets them fail, while players come and go and gss-controller is killed, and checks
    /// that nobody is dropped.
    Players(players::Options),
    /// Allocates and releases servers under WhenIdle while each is being evicted, and checks that none with players goes.
    Evict(evict::Options),
    /// Walks a set with players through its life from a shell: ports, reports, scale-in, autoscaling, failures.
    Flow(flow::Options),
    /// Installs, upgrades, rolls back, uninstalls and reinstalls the chart on a real node while games run, and checks that none of
    /// them is touched.
    Install(shipped::Options),
    /// Installs what a default installation leaves out on a real node: probes on it, rights in one namespace, game-api and
    /// external-scaler with TLS, network policies; and lets each do its work once.
    Chart(shipped::Options),
    /// Lets the real KEDA scale a set out and in through external-scaler, by asking and by being told.
    Keda(keda::Options),
    /// Lets the alert rules fire and resolve in a running Prometheus.
    Alerts(alerts::Options),
    /// Asks a Prometheus that scrapes all controllers under load everything that dashboards and alerts ask, and draws the answers.
    Dashboards(dashboards::Options),
    /// Runs every command of docs/tutorial.md, and checks that it prints what the page says.
    Tutorial(tutorial::Options),
}

impl Trial {
    /// Runs the trial.
    ///
    /// # Errors
    /// When it can't run, or when it found a violation.
    pub async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Kill(options) => kill::run(options).await,
            Self::Allocate(options) => allocate::run(options).await,
            Self::Shards(options) => shards::run(options).await,
            Self::SyncFaults(options) => sync_faults::run(options).await,
            Self::Shutdown(options) => shutdown::run(options).await,
            Self::Node(options) => node::run(options).await,
            Self::Ports(options) => ports::run(options).await,
            Self::Players(options) => players::run(options).await,
            Self::Evict(options) => evict::run(options).await,
            Self::Flow(options) => flow::run(options).await,
            Self::Install(options) => install::run(options).await,
            Self::Chart(options) => chart::run(options).await,
            Self::Keda(options) => keda::run(options).await,
            Self::Alerts(options) => alerts::run(options).await,
            Self::Dashboards(options) => dashboards::run(options).await,
            Self::Tutorial(options) => tutorial::run(options).await,
        }
    }
}

//! All controllers in one program: `gamekeeper pod-sync --shards 8` is `pod-sync --shards 8`.
//!
//! The image has this one file. What the controllers share, which is most of each, is in it once, and on a node its pages are in
//! memory once. Each still runs as a process of its own, with its own rights (`docs/adr/0034-one-image.md`).

pub mod flags;

use std::process::ExitCode;

use controller_kit::threads::Workers;

/// `gamekeeper CONTROLLER FLAGS`.
#[derive(Debug, clap::Parser)]
#[command(
    name = "gamekeeper",
    version,
    propagate_version = true,
    about = "Runs game servers on Kubernetes"
)]
pub struct Cli {
    /// Which program.
    #[command(subcommand)]
    program: Program,
}

/// The programs that are in this one.
#[derive(Debug, clap::Subcommand)]
enum Program {
    /// Owns the Pods of GameServerSets: how many there are, which go, and what is said about it
    GssController(Box<gss_controller::Args>),
    /// Keeps a GameServer for each game server's Pod, and its status
    GsController(Box<gs_controller::Args>),
    /// Shows GameServers on their Pods: opsState, state, priorities, gs-sync keys, images
    PodSync(Box<pod_sync::Args>),
    /// Shows on GameServers how their nodes are
    NodeWatcher(Box<node_watcher::Args>),
    /// Gives game servers their Services, Ingresses, ports and addresses
    NetworkPlugins(Box<network_plugins::Args>),
    /// Probes game servers, and turns changes of their results into actions
    QualityProber(Box<quality_prober::Args>),
    /// Lets the replicas of GameServerSets follow their players
    PlayerAutoscaler(Box<player_autoscaler::Args>),
    /// Tells KEDA how many game servers a set should have
    ExternalScaler(Box<external_scaler::Args>),
    /// HTTP server by which game servers report players, state and health
    GameApi(Box<game_api::Args>),
    /// Takes over a cluster of OpenKruiseGame: `gamekeeper-migrate`
    Migrate(Box<migrate::cli::Cli>),
    /// Print the flags of all controllers as JSON, and end
    Flags,
}

impl Cli {
    /// The threads that the program works on, as it does on its own.
    #[must_use]
    pub fn workers(&self) -> Workers {
        match self.program {
            Program::ExternalScaler(_) | Program::GameApi(_) | Program::Migrate(_) => Workers::EachCore,
            _ => Workers::One,
        }
    }
}

/// Runs the program that was asked for.
///
/// # Errors
/// As the program's own `run`.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.program {
        Program::GssController(args) => gss_controller::run(*args).await,
        Program::GsController(args) => gs_controller::run(*args).await,
        Program::PodSync(args) => pod_sync::run(*args).await,
        Program::NodeWatcher(args) => node_watcher::run(*args).await,
        Program::NetworkPlugins(args) => network_plugins::run(*args).await,
        Program::QualityProber(args) => quality_prober::run(*args).await,
        Program::PlayerAutoscaler(args) => player_autoscaler::run(*args).await,
        Program::ExternalScaler(args) => external_scaler::run(*args).await,
        Program::GameApi(args) => game_api::run(*args).await,
        Program::Migrate(cli) => migrate::run(*cli).await,
        Program::Flags => {
            println!("{:#}", flags::of_controllers());
            Ok(ExitCode::SUCCESS)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn each_controller_takes_its_own_flags() {
        for line in [
            "gamekeeper pod-sync --shards 8 --namespace games",
            "gamekeeper quality-prober --mode central",
            "gamekeeper game-api --insecure-http --leader-elect=false",
        ] {
            let parsed = Cli::try_parse_from(line.split(' '));
            assert_eq!(parsed.is_ok(), !line.contains("leader-elect"), "{line}");
        }
    }

    #[test]
    fn the_version_is_told_by_each() {
        let said = Cli::try_parse_from(["gamekeeper", "pod-sync", "--version"]).unwrap_err();
        assert!(said.to_string().contains(env!("CARGO_PKG_VERSION")), "{said}");
    }
}

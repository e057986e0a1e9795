//! A running gss-controller.

use std::path::Path;

use test_bed::Process;

use crate::world::World;

/// Starts gss-controller for the world's namespace, without leader election, and waits until it is ready.
pub(crate) async fn start(world: &World) -> Process {
    start_with(world, &world.kubeconfig, &["--leader-elect=false"]).await
}

pub(crate) async fn start_with(world: &World, kubeconfig: &Path, flags: &[&str]) -> Process {
    let program = env!("CARGO_BIN_EXE_gss-controller");
    Process::start(program, kubeconfig, &world.namespace, flags).await
}

/// Waits until the controller holds so many GameServers. Sets and GameServers come to it by different watches, and while the API
/// server collects its garbage one can be tens of milliseconds behind the other: whoever scales in right after he made a
/// GameServer can't say that it counts.
pub(crate) async fn knows(controller: &Process, game_servers: u64) {
    let watch = ["watch=\"gameservers\""];
    controller
        .metric_until("gamekeeper_watch_objects", &watch, |held| held == game_servers)
        .await;
}

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

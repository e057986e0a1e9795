//! The binary under test.

use std::{ops::Deref, path::Path, process::ExitStatus};

use test_bed::Process;

use super::World;

/// A running pod-sync; killed when it goes out of scope.
pub(crate) struct PodSync(Process);

impl Deref for PodSync {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.0
    }
}

impl PodSync {
    /// Starts pod-sync on the world's namespace and waits until it is ready.
    pub(crate) async fn start(world: &World, flags: &[&str]) -> Self {
        Self::start_as(world, &world.kubeconfig, flags).await
    }

    /// The same with the rights of another kubeconfig.
    pub(crate) async fn start_as(world: &World, kubeconfig: &Path, flags: &[&str]) -> Self {
        let program = env!("CARGO_BIN_EXE_pod-sync");
        Self(Process::start(program, kubeconfig, &world.namespace, flags).await)
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.0.terminate().await
    }
}

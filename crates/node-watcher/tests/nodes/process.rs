//! The controller's process.

use std::{
    ops::{Deref, DerefMut},
    path::Path,
};

use test_bed::Process;

use crate::world::World;

/// A running node-watcher; killed when dropped.
pub(crate) struct NodeWatcher(Process);

impl Deref for NodeWatcher {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.0
    }
}

impl DerefMut for NodeWatcher {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.0
    }
}

impl NodeWatcher {
    /// Starts the program for the world's namespace, without leader election, and waits until it is ready.
    pub(crate) async fn start(world: &World, flags: &[&str]) -> Self {
        let mut all = vec!["--leader-elect=false"];
        all.extend(flags);
        Self::start_as(world, &world.kubeconfig, &all).await
    }

    pub(crate) async fn start_as(world: &World, kubeconfig: &Path, flags: &[&str]) -> Self {
        let program = env!("CARGO_BIN_EXE_node-watcher");
        Self(Process::start(program, kubeconfig, &world.namespace, flags).await)
    }

    /// Runs of the queue so far.
    pub(crate) async fn reconciles(&self) -> u64 {
        self.metric("gamekeeper_reconciles_total", &[]).await
    }
}

//! The controller's process.

use std::{ops::Deref, path::Path};

use test_bed::Process;

use crate::world::World;

/// A running quality-prober; killed when dropped.
pub(crate) struct Prober(Process);

impl Deref for Prober {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.0
    }
}

impl Prober {
    /// Acts on conditions, without leader election.
    pub(crate) async fn actions(world: &World) -> Self {
        Self::start_as(
            world,
            &world.kubeconfig,
            &["--mode", "actions", "--leader-elect=false"],
        )
        .await
    }

    /// The same, with watches that rest after 200 ms.
    pub(crate) async fn resting_actions(world: &World) -> Self {
        let flags = [
            "--mode",
            "actions",
            "--leader-elect=false",
            "--rest-after",
            "200ms",
        ];
        Self::start_as(world, &world.kubeconfig, &flags).await
    }

    /// Probes everything itself and acts, without leader election.
    pub(crate) async fn central(world: &World) -> Self {
        Self::start_as(
            world,
            &world.kubeconfig,
            &["--mode", "central", "--leader-elect=false"],
        )
        .await
    }

    pub(crate) async fn start_as(world: &World, kubeconfig: &Path, flags: &[&str]) -> Self {
        let program = env!("CARGO_BIN_EXE_quality-prober");
        Self(Process::start(program, kubeconfig, &world.namespace, flags).await)
    }

    /// Runs of probes so far with this outcome.
    pub(crate) async fn runs(&self, outcome: &str) -> u64 {
        let outcome = format!("outcome=\"{outcome}\"");
        self.metric("gamekeeper_quality_prober_runs_total", &[&outcome])
            .await
    }
}

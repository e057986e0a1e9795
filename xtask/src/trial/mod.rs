//! Trials: long runs against a real API server that break things on purpose and count what went wrong.

mod allocate;
mod arena;
mod kill;
mod observer;
mod session;

pub use arena::{Allocation, Arena, ArenaSpec};
pub(crate) use observer::is_ready;
pub use session::{Session, SessionOptions, write_json};

/// `cargo xtask trial NAME`.
#[derive(Debug, clap::Subcommand)]
pub enum Trial {
    /// Kills each controller at random moments while replicas move, and checks that the end state is the same each time.
    Kill(kill::Options),
    /// Allocates servers while sets shrink, and checks that no acknowledged allocation is lost.
    Allocate(allocate::Options),
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
        }
    }
}

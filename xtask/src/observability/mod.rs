//! What operators see: the metrics' documentation, dashboards and alerts, all made from or checked against the crates' own tables.

pub mod catalogue;
pub(crate) mod dashboards;
pub(crate) mod docs;
pub(crate) mod exposition;
pub(crate) mod picture;
pub(crate) mod query;
#[cfg(test)]
mod source;

use anyhow::Result;

/// Flags of commands that write files from code.
#[derive(Debug, clap::Args)]
pub struct GenArgs {
    /// Write nothing; fail when a file is not what would be written
    #[arg(long)]
    check: bool,
}

impl GenArgs {
    /// Writes or checks `docs/metrics.md` and `docs/events.md`.
    ///
    /// # Errors
    /// When it can't be written, or is stale.
    pub fn docs(&self) -> Result<()> {
        docs::run(self.check)
    }

    /// Writes or checks `deploy/dashboards`.
    ///
    /// # Errors
    /// When a file can't be written, or is stale.
    pub fn dashboards(&self) -> Result<()> {
        dashboards::run(self.check)
    }
}

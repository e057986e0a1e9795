//! Benchmarks: ratios against a baseline in the same run, since absolute times differ from machine to machine.

mod create;

/// `cargo xtask bench NAME`.
#[derive(Debug, clap::Subcommand)]
pub enum Bench {
    /// Creates game servers and, with the same parallelism, plain Pods; counts requests, memory and writes at rest.
    Create(create::Options),
}

impl Bench {
    /// Runs the benchmark.
    ///
    /// # Errors
    /// When it can't run.
    pub async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Create(options) => create::run(options).await,
        }
    }
}

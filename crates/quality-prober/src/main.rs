//! The quality-prober program: see the crate's documentation.

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    quality_prober::run(quality_prober::Args::parse()).await
}

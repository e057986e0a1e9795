//! The external-scaler program: see the crate's documentation.

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    external_scaler::run(external_scaler::Args::parse()).await
}

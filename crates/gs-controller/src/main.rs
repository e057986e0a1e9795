//! The gs-controller program: see the crate's documentation.

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    gs_controller::run(gs_controller::Args::parse()).await
}

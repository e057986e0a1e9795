//! The player-autoscaler program: see the crate's documentation.

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    player_autoscaler::run(player_autoscaler::Args::parse()).await
}

//! The network-plugins program: see the crate's documentation.

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    network_plugins::run(network_plugins::Args::parse()).await
}

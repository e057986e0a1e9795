//! The node-watcher program: see the crate's documentation.

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    node_watcher::run(node_watcher::Args::parse()).await
}

//! `gamekeeper-migrate`: see the library.

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    migrate::run(migrate::cli::Cli::parse()).await
}

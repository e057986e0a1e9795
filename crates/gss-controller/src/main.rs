//! `gss-controller`: see the library.

use std::process::ExitCode;

use clap::Parser;

/// Owns the Pods of GameServerSets: how many there are, which go, and what is said about it.
#[derive(Parser)]
#[command(name = "gss-controller", version)]
struct Cli {
    #[command(flatten)]
    args: gss_controller::Args,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    gss_controller::run(Cli::parse().args).await
}

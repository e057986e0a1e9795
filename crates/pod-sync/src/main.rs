//! `pod-sync`: see the library.

use std::process::ExitCode;

use clap::Parser;

/// Shows GameServers on their Pods: opsState, state, priorities, gs-sync keys, images.
#[derive(Parser)]
#[command(name = "pod-sync", version)]
struct Cli {
    #[command(flatten)]
    args: pod_sync::Args,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    pod_sync::run(Cli::parse().args).await
}

//! `pod-sync`: see the library.

use std::process::ExitCode;

use clap::Parser;
use controller_kit::threads::{Workers, block_on};

/// Shows GameServers on their Pods: opsState, state, priorities, gs-sync keys, images.
#[derive(Parser)]
#[command(name = "pod-sync", version)]
struct Cli {
    #[command(flatten)]
    args: pod_sync::Args,
}

fn main() -> anyhow::Result<ExitCode> {
    block_on(Workers::One, pod_sync::run(Cli::parse().args))
}

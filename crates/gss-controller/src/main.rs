//! `gss-controller`: see the library.

use std::process::ExitCode;

use clap::Parser;
use controller_kit::threads::{Workers, block_on};

/// Owns the Pods of GameServerSets: how many there are, which go, and what is said about it.
#[derive(Parser)]
#[command(name = "gss-controller", version)]
struct Cli {
    #[command(flatten)]
    args: gss_controller::Args,
}

fn main() -> anyhow::Result<ExitCode> {
    block_on(Workers::One, gss_controller::run(Cli::parse().args))
}

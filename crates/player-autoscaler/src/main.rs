//! The player-autoscaler program: see the crate's documentation.

use std::process::ExitCode;

use clap::Parser;
use controller_kit::threads::{Workers, block_on};

fn main() -> anyhow::Result<ExitCode> {
    block_on(
        Workers::One,
        player_autoscaler::run(player_autoscaler::Args::parse()),
    )
}

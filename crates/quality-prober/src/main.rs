//! The quality-prober program: see the crate's documentation.

use std::process::ExitCode;

use clap::Parser;
use controller_kit::threads::{Workers, block_on};

fn main() -> anyhow::Result<ExitCode> {
    block_on(Workers::One, quality_prober::run(quality_prober::Args::parse()))
}

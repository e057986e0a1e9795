//! The program of the image: see the library.

use std::process::ExitCode;

use clap::Parser;
use controller_kit::threads::block_on;

fn main() -> anyhow::Result<ExitCode> {
    let cli = gamekeeper::Cli::parse();
    block_on(cli.workers(), gamekeeper::run(cli))
}

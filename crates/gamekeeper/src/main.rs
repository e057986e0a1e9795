//! The program of the image: see the library.

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    gamekeeper::run(gamekeeper::Cli::parse()).await
}

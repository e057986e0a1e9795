//! The program `bench-bare`.

use clap::Parser as _;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    bench_bare::run(bench_bare::Options::parse()).await
}

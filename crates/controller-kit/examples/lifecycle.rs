//! A process that does nothing but live and end: what a controller looks like around its work, and the subject
//! of `tests/lifecycle.rs`. It needs no cluster.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use controller_kit::args::CommonArgs;
use controller_kit::queue::{Next, Queue};
use controller_kit::runtime::Runtime;
use controller_kit::write::WriteError;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    common: CommonArgs,

    /// How the process's one task behaves
    #[arg(long, value_enum, default_value_t = Behaviour::Lasting)]
    behaviour: Behaviour,

    /// How long one item of work takes
    #[arg(long, default_value = "300ms", value_parser = controller_kit::args::parse_duration)]
    work: Duration,
}

#[derive(Clone, Copy, ValueEnum)]
enum Behaviour {
    /// Runs until asked to end.
    Lasting,
    /// Ends by itself.
    Ending,
    /// Fails.
    Failing,
    /// Panics.
    Panicking,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let runtime = Runtime::start("lifecycle", &cli.common).await?;

    let queue: Queue<u32> = Queue::new();
    queue.add(1);
    let (again, work) = (queue.clone(), cli.work);
    queue.run(&runtime, "items", 1, move |item| {
        // Never out of work: the next item waits when the process is asked to end.
        again.add(item.key + 1);
        async move {
            tracing::info!(item = item.key, "item begun");
            tokio::time::sleep(work).await;
            tracing::info!(item = item.key, "item finished");
            Ok::<_, WriteError>(Next::Done)
        }
    });

    let drained = runtime.drained();
    runtime.spawn_after_drain("lease", async move {
        drained.cancelled().await;
        tracing::info!("lease released");
        Ok(())
    });

    let shutdown = runtime.shutdown();
    runtime.spawn("subject", async move {
        match cli.behaviour {
            Behaviour::Lasting => shutdown.cancelled().await,
            Behaviour::Ending => {}
            Behaviour::Failing => anyhow::bail!("lost its way"),
            Behaviour::Panicking => out_of_its_depth(),
        }
        Ok(())
    });

    Ok(runtime.run().await)
}

#[allow(clippy::panic, reason = "showing what a panic leads to is its purpose")]
fn out_of_its_depth() {
    panic!("out of its depth");
}

//! The runtime every Gamekeeper controller shares: everything between a controller's decisions and the cluster.
//!
//! | module | offers |
//! |---|---|
//! | [`args`] | command-line flags, each with an environment variable |
//! | [`runtime`] | start, supervised tasks, two-phase shutdown, exit code |
//! | [`watch`], [`store`] | thin watches into indexed stores of narrow types |
//! | [`need`] | watches that rest while nobody needs what they bring |
//! | [`queue`] | deduplicated keys, bounded concurrency, per-key backoff |
//! | [`write`](mod@write) | the four mutating shapes and their outcomes |
//! | [`tally`] | sums over groups of objects, kept with each event |
//! | [`echo`] | own writes that the cache does not show yet |
//! | [`events`] | Kubernetes events that can never crowd out real writes |
//! | [`server_code`] | the code by which a game server shows game-api who it is |
//! | `server_tls` | certificates of servers, read again when they change; with the feature `server-tls` |
//! | [`admin`] | `/livez`, `/readyz`, `/metrics` |
//!
//! It writes nothing by itself except core/v1 Events. A controller in one picture:
//!
//! ```no_run
//! use api_types::views::PodView;
//! use controller_kit::args::CommonArgs;
//! use controller_kit::key::ObjectKey;
//! use controller_kit::queue::{Next, Queue};
//! use controller_kit::runtime::Runtime;
//! use controller_kit::watch::{Watch, Watched as _};
//! use controller_kit::write::WriteError;
//!
//! # async fn controller(args: CommonArgs) -> anyhow::Result<std::process::ExitCode> {
//! let runtime = Runtime::start("example", &args).await?;
//! let queue: Queue<ObjectKey> = Queue::new();
//! let changed = queue.clone();
//! let pods = Watch::<PodView>::new()
//!     .labels("game.kruise.io/owner-gss")
//!     .on_change(move |change| changed.add(ObjectKey::of(change.object().meta())))
//!     .start(&runtime);
//! queue.run(&runtime, "example", 16, move |work| {
//!     let pod = pods.get(&work.key);
//!     async move {
//!         tracing::info!(known = pod.is_some(), "observed");
//!         Ok::<_, WriteError>(Next::Done)
//!     }
//! });
//! Ok(runtime.run().await)
//! # }
//! ```

pub mod admin;
pub mod args;
pub mod backoff;
pub mod bug;
pub mod client;
pub mod echo;
pub mod events;
pub mod key;
mod memory;
mod metrics;
pub mod need;
pub mod pace;
pub mod queue;
mod requests;
pub mod resource;
pub mod runtime;
pub mod server_code;
#[cfg(feature = "server-tls")]
pub mod server_tls;
pub mod store;
mod supervise;
pub mod tally;
pub mod telemetry;
pub mod threads;
pub mod watch;
pub mod write;

/// Metrics of the process itself, which no recorder keeps: they are read when they are asked for.
pub use admin::process::METRICS as PROCESS_METRICS;
pub use metrics::METRICS;

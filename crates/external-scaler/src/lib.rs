//! How many game servers a set should have, for KEDA: its external scaler, over gRPC.
//!
//! The metadata keys and the arithmetic are OpenKruiseGame's, so that a ScaledObject written for it works as it stands; its name is
//! the set's. What is counted is not the same: a server that is dying, not ready, or about to be taken away is not available.
//! `docs/autoscaling.md` is for users; `docs/adr/0031-what-external-scaler-counts.md` says why.
//!
//! # Ownership
//!
//! | | |
//! |---|---|
//! | watches | GameServerSets; GameServers |
//! | writes | nothing |
//! | serves | gRPC `externalscaler.ExternalScaler`: `IsActive`, `StreamIsActive`, `GetMetricSpec`, `GetMetrics`; `grpc.health.v1.Health` |
//! | metrics | [`METRICS`]; `docs/metrics.md` |
//! | RBAC | `e2e/rbac/external-scaler.yaml` |
//!
//! It keeps nothing, so any number of replicas may run, without a leader.
//!
//! # Push
//!
//! `StreamIsActive` answers at once, and again when the set becomes active or inactive, gets its first replica or loses its last:
//! these are what KEDA acts on. Until it has, it is told again, after 1 s, 2 s, … 30 s at most. Everything between 1 and the most replicas is its HorizontalPodAutoscaler's, which
//! asks by itself, every 15 s as Kubernetes ships it.

mod controller;
mod hub;
mod metrics;
mod observe;
mod plan;
pub mod proto;
mod serve;
mod views;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use controller_kit::{args::CommonArgs, runtime::Runtime};

pub use metrics::METRICS;

/// Name of the program.
const NAME: &str = "external-scaler";

/// Command line of external-scaler.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = NAME, version, about = "Tells KEDA how many game servers a set should have")]
pub struct Args {
    /// Flags of every controller.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Flags of the gRPC server.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Where KEDA is answered, and how.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "gRPC server")]
pub struct ServerArgs {
    /// Address of the gRPC server; port 0 takes a free one
    #[arg(
        long,
        env = "GAMEKEEPER_SCALER_ADDRESS",
        value_name = "IP:PORT",
        default_value = "0.0.0.0:6000"
    )]
    pub scaler_address: SocketAddr,
    /// Certificate chain of the server, PEM; with it only TLS is spoken. Read again when the file changes
    #[arg(
        long,
        env = "GAMEKEEPER_SCALER_TLS_CERT",
        value_name = "PATH",
        requires = "scaler_tls_key"
    )]
    pub scaler_tls_cert: Option<PathBuf>,
    /// Private key of the certificate, PEM
    #[arg(
        long,
        env = "GAMEKEEPER_SCALER_TLS_KEY",
        value_name = "PATH",
        requires = "scaler_tls_cert"
    )]
    pub scaler_tls_key: Option<PathBuf>,
    /// Certificates of those who may sign clients' certificates, PEM; with it a client without one is refused
    #[arg(
        long,
        env = "GAMEKEEPER_SCALER_TLS_CLIENT_CA",
        value_name = "PATH",
        requires = "scaler_tls_cert"
    )]
    pub scaler_tls_client_ca: Option<PathBuf>,
}

/// Runs the server until it is told to stop or cannot go on.
///
/// # Errors
/// When the address cannot be listened on, certificates cannot be read, or the configuration makes no sense.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    // Before anything can say that this process is ready.
    let listening = serve::listen(&args.server).await?;
    let runtime = Runtime::start(NAME, &args.common).await?;
    metrics::describe();
    let known = controller::start(&runtime);
    serve::start(&runtime, listening, known);
    Ok(runtime.run().await)
}

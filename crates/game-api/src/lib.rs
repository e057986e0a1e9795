//! An HTTP server that game servers call: they report players, state and health, read themselves, and ask to be deleted.
//!
//! # Ownership
//!
//! | | |
//! |---|---|
//! | watches | Pods with label `game.kruise.io/owner-gss`; GameServers; GameServerSets, of which the heartbeat timeout is read |
//! | writes | GameServer `status.players` and `status.reported` |
//! | | GameServer `spec.markedForDeletion: true`, when its server asks for it |
//! | also asks | TokenReviews, with `--token-audience` |
//! | field manager | `gamekeeper-game-api`; merge patches with UID and version, the mark with UID |
//! | metrics | [`METRICS`]; `docs/metrics.md` |
//! | RBAC | `e2e/rbac/game-api.yaml` |
//!
//! There is no leader: any number of replicas serve side by side. `docs/adr/0028-codes-of-game-servers.md` says how a server shows
//! which one it is, `docs/adr/0029-reports-of-game-servers.md` when what it says is written, and why two replicas agree.

mod apply;
mod auth;
mod build;
mod controller;
mod error;
mod http;
mod metrics;
mod observe;
pub mod openapi;
mod plan;
mod serve;
mod token;
mod views;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use controller_kit::{
    args::{CommonArgs, ControllerArgs, parse_duration},
    runtime::Runtime,
};

pub use metrics::METRICS;

/// Name of the program, and of its component in logs.
const NAME: &str = "game-api";

/// Command line of game-api.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = NAME, version, about = "HTTP server by which game servers report players, state and health")]
pub struct Args {
    /// Flags of every controller.
    #[command(flatten)]
    pub common: CommonArgs,
    /// How much is written at once.
    #[command(flatten)]
    pub controller: ControllerArgs,

    /// Address that game servers reach; port 0 takes a free one
    #[arg(
        long,
        env = "GAMEKEEPER_LISTEN_ADDRESS",
        value_name = "IP:PORT",
        default_value = "0.0.0.0:8443",
        help_heading = "Serving"
    )]
    pub listen_address: SocketAddr,
    /// PEM certificate chain; read again when it changes
    #[arg(
        long,
        env = "GAMEKEEPER_TLS_CERT_FILE",
        value_name = "PATH",
        requires = "tls_key_file",
        help_heading = "Serving"
    )]
    pub tls_cert_file: Option<PathBuf>,
    /// PEM private key; read again when it changes
    #[arg(
        long,
        env = "GAMEKEEPER_TLS_KEY_FILE",
        value_name = "PATH",
        requires = "tls_cert_file",
        help_heading = "Serving"
    )]
    pub tls_key_file: Option<PathBuf>,
    /// Serve plain HTTP, where something in front speaks TLS, or for trying out
    #[arg(
        long,
        env = "GAMEKEEPER_INSECURE_HTTP",
        conflicts_with = "tls_cert_file",
        help_heading = "Serving"
    )]
    pub insecure_http: bool,
    /// Longest time from a request's head to its answer
    #[arg(long, env = "GAMEKEEPER_REQUEST_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = parse_duration, help_heading = "Serving")]
    pub request_timeout: Duration,
    /// How long to go on serving after SIGTERM, until nobody sends requests here any more; 10s at most
    #[arg(long, env = "GAMEKEEPER_LINGER", value_name = "DURATION", default_value = "3s", value_parser = parse_linger, help_heading = "Serving")]
    pub linger: Duration,

    /// Requests of one server in a second, twice as many at once
    #[arg(long, env = "GAMEKEEPER_SERVER_RATE", value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000), help_heading = "Limits")]
    pub server_rate: u32,
    /// Requests from one address in a second, with or without a code, twice as many at once. Servers behind a NAT share one
    #[arg(long, env = "GAMEKEEPER_ADDRESS_RATE", value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Limits")]
    pub address_rate: u32,
    /// Open connections
    #[arg(long, env = "GAMEKEEPER_MAX_CONNECTIONS", value_name = "N", default_value_t = 10_000, value_parser = parse_count, help_heading = "Limits")]
    pub max_connections: usize,
    /// Open connections from one address
    #[arg(long, env = "GAMEKEEPER_ADDRESS_CONNECTIONS", value_name = "N", default_value_t = 1_000, value_parser = parse_count, help_heading = "Limits")]
    pub address_connections: usize,
    /// Least time between two writes of one server's reports; what comes meanwhile is written together
    #[arg(long, env = "GAMEKEEPER_WRITE_INTERVAL", value_name = "DURATION", default_value = "500ms", value_parser = parse_duration, help_heading = "Limits")]
    pub write_interval: Duration,

    /// Also take tokens of ServiceAccounts that are bound to the calling Pod and made for this audience, in place of codes
    #[arg(
        long,
        env = "GAMEKEEPER_TOKEN_AUDIENCE",
        value_name = "AUDIENCE",
        help_heading = "Callers"
    )]
    pub token_audience: Option<String>,
    /// Also serve the paths of Azure's dedicated game servers
    #[arg(long, env = "GAMEKEEPER_COMPAT", help_heading = "Callers")]
    pub compat: bool,
    /// File with the code that may list servers at /running; at least 16 characters. Default: nobody may
    #[arg(
        long,
        env = "GAMEKEEPER_ADMIN_CODE_FILE",
        value_name = "PATH",
        requires = "compat",
        help_heading = "Callers"
    )]
    pub admin_code_file: Option<PathBuf>,

    /// Print the OpenAPI document and end
    #[arg(long, help_heading = "Document")]
    pub print_openapi: bool,
}

fn parse_linger(text: &str) -> Result<Duration, String> {
    // The runtime gives all of the end 25 s.
    match parse_duration(text)? {
        linger if linger <= Duration::from_secs(10) => Ok(linger),
        _ => Err("expected 10s at most".to_owned()),
    }
}

fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=1_000_000) => Ok(count),
        _ => Err("expected a number from 1 to 1000000".to_owned()),
    }
}

/// Serves until it is told to stop or cannot go on.
///
/// # Errors
/// When the address cannot be listened on, or flags make no sense.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    if args.print_openapi {
        use std::io::Write as _;
        std::io::stdout().write_all(openapi::document()?.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = Runtime::start(NAME, &args.common).await?;
    metrics::describe();
    controller::start(&runtime, &args).await?;
    Ok(runtime.run().await)
}

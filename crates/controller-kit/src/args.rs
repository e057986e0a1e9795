//! Command-line flags shared by every controller. Each flag can also be set by an environment variable.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use api_types::eviction::Policy;
use clap::{Args, ValueEnum};

/// How to reach the API server.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "API server")]
pub struct ClientArgs {
    /// Path of a kubeconfig file. Default: the in-cluster service account, or what `KUBECONFIG` or
    /// `~/.kube/config` says outside a cluster
    #[arg(long, env = "GAMEKEEPER_KUBECONFIG", value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,
}

/// The form of a log record.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// One line of text for people.
    Text,
}

/// What is logged, and how.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logging")]
pub struct LogArgs {
    /// Form of the log on standard error
    #[arg(long, env = "GAMEKEEPER_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,

    /// Lowest level logged: error, warn, info, debug or trace; also per module, as in
    /// `info,controller_kit::watch=debug`
    #[arg(
        long,
        env = "GAMEKEEPER_LOG_LEVEL",
        value_name = "FILTER",
        default_value = "info"
    )]
    pub log_level: String,
}

impl Default for LogArgs {
    fn default() -> Self {
        Self {
            log_format: LogFormat::Json,
            log_level: "info".to_owned(),
        }
    }
}

/// Where health and metrics are served.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Health and metrics")]
pub struct AdminArgs {
    /// Address of the HTTP server for /livez, /readyz and /metrics; port 0 takes a free one
    #[arg(
        long,
        env = "GAMEKEEPER_ADMIN_ADDRESS",
        value_name = "IP:PORT",
        default_value = "0.0.0.0:8080"
    )]
    pub admin_address: SocketAddr,
}

impl Default for AdminArgs {
    fn default() -> Self {
        Self {
            admin_address: SocketAddr::from(([0, 0, 0, 0], 8080)),
        }
    }
}

/// Which objects are watched.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Watching")]
pub struct WatchArgs {
    /// Namespace to work in; repeat it or separate by commas. Rights in these namespaces are enough then.
    /// Default: all namespaces
    #[arg(
        long = "namespace",
        env = "GAMEKEEPER_NAMESPACES",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub namespaces: Vec<String>,

    /// How often every object is looked at again though nothing changed: the safety net. Spread over the
    /// interval, ±20 %; 0s switches it off
    #[arg(
        long,
        env = "GAMEKEEPER_RESYNC",
        value_name = "DURATION",
        default_value = "10m",
        value_parser = parse_duration
    )]
    pub resync: Duration,
}

impl Default for WatchArgs {
    fn default() -> Self {
        Self {
            namespaces: Vec::new(),
            resync: Duration::from_mins(10),
        }
    }
}

/// How much of the API server's time Kubernetes events may take.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Events")]
pub struct EventArgs {
    /// Kubernetes events written a second at most, in the long run; 0 writes none. What does not fit is dropped and counted
    #[arg(
        long,
        env = "GAMEKEEPER_EVENT_QPS",
        value_name = "N",
        default_value_t = 10.0,
        value_parser = parse_event_qps
    )]
    pub event_qps: f64,

    /// Kubernetes events written at once after a quiet time
    #[arg(
        long,
        env = "GAMEKEEPER_EVENT_BURST",
        value_name = "N",
        default_value_t = 50,
        value_parser = clap::value_parser!(u32).range(1..=10_000)
    )]
    pub event_burst: u32,
}

impl Default for EventArgs {
    fn default() -> Self {
        Self {
            event_qps: 10.0,
            event_burst: 50,
        }
    }
}

/// How much work is done at once.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Work")]
pub struct ControllerArgs {
    /// Objects worked on at the same time; each takes at most one connection to the API server
    #[arg(
        long,
        env = "GAMEKEEPER_CONCURRENCY",
        value_name = "N",
        default_value_t = 32,
        value_parser = parse_concurrency
    )]
    pub concurrency: usize,
}

impl Default for ControllerArgs {
    fn default() -> Self {
        Self { concurrency: 32 }
    }
}

/// When a controller whose work is opt-in stops looking.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Watching")]
pub struct RestArgs {
    /// How long nothing may ask for this controller's work until it stops watching game servers; it goes on at once when
    /// something does. 0s: it never stops
    #[arg(
        long,
        env = "GAMEKEEPER_REST_AFTER",
        value_name = "DURATION",
        default_value = "20s",
        value_parser = parse_duration
    )]
    pub rest_after: Duration,
}

impl Default for RestArgs {
    fn default() -> Self {
        Self {
            rest_after: Duration::from_secs(20),
        }
    }
}

/// Who may evict servers where their set says nothing. Controllers that read it must be given the same value.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Eviction")]
pub struct EvictionArgs {
    /// What GameServerSets without spec.eviction.safe mean: Never, OnUpgrade, Always or WhenIdle. The same for gss-controller
    /// and pod-sync
    #[arg(
        long,
        env = "GAMEKEEPER_DEFAULT_EVICTION",
        value_name = "VALUE",
        default_value_t = Policy::Never
    )]
    pub default_eviction: Policy,
}

/// The flags every controller has.
#[derive(Args, Clone, Debug, Default)]
pub struct CommonArgs {
    /// How to reach the API server.
    #[command(flatten)]
    pub client: ClientArgs,
    /// What is logged, and how.
    #[command(flatten)]
    pub log: LogArgs,
    /// Where health and metrics are served.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// Which objects are watched.
    #[command(flatten)]
    pub watch: WatchArgs,
    /// How many events are written.
    #[command(flatten)]
    pub events: EventArgs,
}

/// Reads a duration such as `250ms`, `15s`, `1m30s`; for use as a clap `value_parser`.
///
/// # Errors
/// Says what was wrong with the text; negative durations are refused.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let signed: jiff::SignedDuration = text.parse().map_err(|error| format!("not a duration: {error}"))?;
    Duration::try_from(signed).map_err(|_| "a duration cannot be negative".to_owned())
}

fn parse_concurrency(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..=1024) => Ok(n),
        _ => Err("expected a number from 1 to 1024".to_owned()),
    }
}

fn parse_event_qps(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.0..=1_000.0).contains(&rate) => Ok(rate),
        _ => Err("expected a number from 0 to 1000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        common: CommonArgs,
        #[command(flatten)]
        controller: ControllerArgs,
        #[command(flatten)]
        rest: RestArgs,
        #[command(flatten)]
        eviction: EvictionArgs,
    }

    #[test]
    fn namespaces_may_be_repeated_or_separated_by_commas() {
        let cli = Cli::parse_from(["x", "--namespace", "a", "--namespace", "b,c"]);
        assert_eq!(cli.common.watch.namespaces, ["a", "b", "c"]);
    }

    #[test]
    fn flag_defaults_equal_the_default_values_of_the_structs() {
        let cli = Cli::parse_from(["x"]);
        let plain = CommonArgs::default();
        assert_eq!(cli.common.watch.resync, plain.watch.resync);
        assert_eq!(cli.common.admin.admin_address, plain.admin.admin_address);
        assert_eq!(cli.common.log.log_format, plain.log.log_format);
        assert_eq!(cli.common.log.log_level, plain.log.log_level);
        assert!((cli.common.events.event_qps - plain.events.event_qps).abs() < 1e-9);
        assert_eq!(cli.common.events.event_burst, plain.events.event_burst);
        assert_eq!(cli.controller.concurrency, ControllerArgs::default().concurrency);
        assert_eq!(cli.rest.rest_after, RestArgs::default().rest_after);
        assert_eq!(
            cli.eviction.default_eviction,
            EvictionArgs::default().default_eviction
        );
    }

    #[test]
    fn every_flag_has_an_environment_variable_and_help() {
        use clap::CommandFactory;
        for arg in Cli::command().get_arguments() {
            let Some(env) = arg.get_env() else {
                panic!("{} has no environment variable", arg.get_id())
            };
            assert!(env.to_string_lossy().starts_with("GAMEKEEPER_"));
            assert!(arg.get_help().is_some(), "{} has no help", arg.get_id());
        }
    }

    #[test]
    fn duration_reads_units_and_refuses_nonsense() {
        assert_eq!(parse_duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert!(parse_duration("-5s").is_err());
        assert!(parse_duration("soon").is_err());
    }

    #[test]
    fn the_default_of_evictions_is_one_of_the_values_of_the_field() {
        let cli = Cli::parse_from(["x", "--default-eviction", "WhenIdle"]);
        assert_eq!(cli.eviction.default_eviction, Policy::WhenIdle);
        let refused = Cli::try_parse_from(["x", "--default-eviction", "always"]).map(|_| ());
        assert!(refused.unwrap_err().to_string().contains("OnUpgrade"));
    }

    #[test]
    fn numbers_out_of_bounds_are_refused() {
        for qps in ["-1", "NaN", "1001", "many"] {
            assert!(
                Cli::try_parse_from(["x", &format!("--event-qps={qps}")]).is_err(),
                "{qps}"
            );
        }
        assert!(Cli::try_parse_from(["x", "--event-burst", "0"]).is_err());
        assert!(Cli::try_parse_from(["x", "--concurrency", "0"]).is_err());
        assert!(Cli::try_parse_from(["x", "--concurrency", "5000"]).is_err());
    }
}

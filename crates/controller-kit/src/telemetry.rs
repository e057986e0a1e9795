//! Logs and metrics of the process.

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::args::{LogArgs, LogFormat};
use crate::metrics::METRICS;

/// Histogram bounds in seconds: from below one millisecond (a label patch) to a minute (a drain).
const LATENCY_BUCKETS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// The label that every series of a process has: its controller's name.
pub const CONTROLLER: &str = "controller";

/// Why logs or metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `--log-level` is not a filter.
    #[error("--log-level: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The metrics recorder could not be installed.
    #[error("metrics: {0}")]
    Metrics(#[from] BuildError),
}

/// Sends `tracing` records to standard error: one line each, times in RFC 3339, UTC.
///
/// Does nothing when a subscriber is installed already (tests).
///
/// # Errors
/// When the level is not a valid filter.
pub fn init_logs(args: &LogArgs) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&args.log_level)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // An error means that one is installed, which then has its own settings.
    let _ = match args.log_format {
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .try_init(),
        LogFormat::Text => builder.try_init(),
    };
    Ok(())
}

/// Installs the process's metrics recorder and returns what renders it. Later calls return the same one. Every series carries
/// `controller`, so that dashboards need no help from whoever scrapes.
///
/// # Errors
/// When another recorder is installed.
pub fn init_metrics(controller: &'static str) -> Result<PrometheusHandle, TelemetryError> {
    static INSTALLED: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = installed.as_ref() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .add_global_label(CONTROLLER, controller)
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &LATENCY_BUCKETS)?
        .install_recorder()?;
    metric_table::describe(METRICS);
    *installed = Some(handle.clone());
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_log_level_is_an_error_that_names_the_flag() {
        let args = LogArgs {
            log_level: "info,,=".to_owned(),
            ..LogArgs::default()
        };
        let error = init_logs(&args).unwrap_err().to_string();
        assert!(error.starts_with("--log-level"), "{error}");
    }
}

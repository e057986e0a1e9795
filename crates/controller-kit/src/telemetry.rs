//! Logs and metrics of the process.

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};

use metrics::{describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::args::{LogArgs, LogFormat};

/// Histogram bounds in seconds: from below one millisecond (a label patch) to a minute (a drain).
const LATENCY_BUCKETS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

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

/// Installs the process's metrics recorder and returns what renders it. Later calls return the same one.
///
/// # Errors
/// When another recorder is installed.
pub fn init_metrics() -> Result<PrometheusHandle, TelemetryError> {
    static INSTALLED: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = installed.as_ref() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &LATENCY_BUCKETS)?
        .install_recorder()?;
    describe();
    *installed = Some(handle.clone());
    Ok(handle)
}

fn describe() {
    describe_counter!(
        "gamekeeper_api_requests_total",
        "Requests to the API server by verb, resource, subresource and outcome"
    );
    describe_histogram!(
        "gamekeeper_api_request_duration_seconds",
        "Time from sending a request to having read its answer"
    );
    describe_gauge!(
        crate::requests::IN_FLIGHT,
        "Requests that wait for their answer, watches and lists not counted"
    );
    describe_gauge!("gamekeeper_queue_depth", "Keys waiting for a worker");
    describe_gauge!("gamekeeper_queue_active", "Keys being worked on");
    describe_histogram!(
        "gamekeeper_queue_wait_seconds",
        "Time from a key's first add to the start of its run"
    );
    describe_histogram!(
        "gamekeeper_reconcile_duration_seconds",
        "Time of one run of a reconcile"
    );
    describe_counter!("gamekeeper_reconciles_total", "Finished runs by outcome");
    describe_counter!(
        "gamekeeper_reconcile_retries_total",
        "Failed runs by category of the error"
    );
    describe_gauge!(
        "gamekeeper_watch_synced",
        "1 when every watch of the resource has a complete first list"
    );
    describe_gauge!(
        "gamekeeper_watch_last_event_age_seconds",
        "Time since the quietest watch of the resource last heard anything, bookmarks included"
    );
    describe_gauge!("gamekeeper_watch_objects", "Objects held of the resource");
    describe_counter!("gamekeeper_watch_events_total", "Watch events by type");
    describe_counter!("gamekeeper_watch_relists_total", "Lists taken, by reason");
    describe_counter!(
        "gamekeeper_watch_errors_total",
        "Watches that could not be started or were cut"
    );
    describe_counter!(
        "gamekeeper_watch_malformed_total",
        "Objects that could not be decoded"
    );
    describe_counter!(
        "gamekeeper_events_published_total",
        "Kubernetes events written, by outcome"
    );
    describe_counter!(
        "gamekeeper_events_dropped_total",
        "Kubernetes events given up, by reason"
    );
    describe_gauge!("gamekeeper_build_info", "1, labelled with controller and version");
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

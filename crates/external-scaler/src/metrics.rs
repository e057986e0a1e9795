//! Metrics. Names of sets are never labels.

use metric_table::Values::{Each, OneOf};
use metrics::{Gauge, counter, gauge};

use crate::plan::Standing;

const STANDINGS: [&str; 6] = [
    "available",
    "coming",
    "broken",
    "taken",
    "wait_to_be_deleted",
    "kill",
];

metric_table::metrics! {
    REQUESTS: Counter "gamekeeper_external_scaler_requests_total" ["method" in Each("a method of the protocol, or other"), "code" in Each("a code of gRPC")] =
        "gRPC requests, by the code of the answer";
    STREAMS: Gauge "gamekeeper_external_scaler_streams" [] = "Streams of StreamIsActive that are open";
    PUSHES: Counter "gamekeeper_external_scaler_pushes_total" [] = "Messages sent on streams of StreamIsActive";
    SERVERS: Gauge "gamekeeper_external_scaler_servers" ["standing" in OneOf(&STANDINGS)] =
        "Game servers by what they count as; those that are being taken away are in none";
}

/// Registers the descriptions; call once, after the recorder is installed.
pub(crate) fn describe() {
    metric_table::describe(METRICS);
    gauge!(STREAMS).set(0.0);
}

/// A request was answered.
pub(crate) fn answered(method: &'static str, code: tonic::Code) {
    let code = format!("{code:?}");
    counter!(REQUESTS, "method" => method, "code" => code).increment(1);
}

/// A message was pushed.
pub(crate) fn pushed() {
    counter!(PUSHES).increment(1);
}

/// Servers that count as this.
pub(crate) fn servers(standing: Standing, number: u64) {
    gauge!(SERVERS, "standing" => standing.as_str()).set(number as f64);
}

/// An open stream, for as long as it lives.
pub(crate) struct OpenStream(Gauge);

impl OpenStream {
    pub(crate) fn begin() -> Self {
        let gauge = gauge!(STREAMS);
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

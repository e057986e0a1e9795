//! Metrics. Names of sets are never labels.

use metrics::{Gauge, counter, describe_counter, describe_gauge, gauge};

use crate::plan::Standing;

const REQUESTS: &str = "gamekeeper_external_scaler_requests_total";
const STREAMS: &str = "gamekeeper_external_scaler_streams";
const PUSHES: &str = "gamekeeper_external_scaler_pushes_total";
const SERVERS: &str = "gamekeeper_external_scaler_servers";

/// Registers the descriptions; call once, after the recorder is installed.
pub(crate) fn describe() {
    describe_counter!(REQUESTS, "gRPC requests, by method and the code of the answer");
    describe_gauge!(STREAMS, "Streams of StreamIsActive that are open");
    describe_counter!(PUSHES, "Messages sent on streams of StreamIsActive");
    describe_gauge!(
        SERVERS,
        "Game servers by what they count as; those that are being taken away are in none"
    );
    gauge!(STREAMS).set(0.0);
    counter!(PUSHES).absolute(0);
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

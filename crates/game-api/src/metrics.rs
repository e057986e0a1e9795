//! Metrics.

use std::time::Duration;

use metric_table::Values::{Each, OneOf};
use metrics::{counter, gauge, histogram};

const ENDPOINT: metric_table::Values = Each("a path of the API, or none");
/// What became of a write.
const WRITTEN: [&str; 8] = [
    "ok",
    "unchanged",
    "conflict",
    "not_found",
    "invalid",
    "forbidden",
    "throttled",
    "unknown",
];
const REASONS: [&str; 12] = [
    "Unauthorized",
    "OtherServer",
    "Forbidden",
    "Invalid",
    "NotFound",
    "MethodNotAllowed",
    "TooLarge",
    "UnsupportedMediaType",
    "Timeout",
    "TooManyRequests",
    "NotYet",
    "Unavailable",
];

metric_table::metrics! {
    REQUESTS: Counter "gamekeeper_game_api_requests_total" ["endpoint" in ENDPOINT, "status" in Each("an HTTP status that is answered")] =
        "Answered requests";
    SECONDS: Histogram "gamekeeper_game_api_request_seconds" ["endpoint" in ENDPOINT] =
        "Time from a request's head to its answer";
    REFUSED: Counter "gamekeeper_game_api_refused_total" ["reason" in OneOf(&REASONS)] = "Refused requests";
    REPORTS: Counter "gamekeeper_game_api_reports_total" ["outcome" in OneOf(&["known", "stored", "accepted"])] =
        "Reports; known: nothing new; stored: written before the answer; accepted: to be written soon";
    WRITES: Counter "gamekeeper_game_api_writes_total" ["outcome" in OneOf(&WRITTEN)] =
        "Reports and requests for deletion written";
    PENDING: Gauge "gamekeeper_game_api_pending" [] = "Servers whose reports wait to be written";
    CONNECTIONS: Gauge "gamekeeper_game_api_connections" [] = "Open connections";
    TURNED_AWAY: Counter "gamekeeper_game_api_connections_refused_total" ["reason" in OneOf(&["many", "many_from_one", "accept", "handshake", "protocol"])] =
        "Connections not served";
    CERTIFICATES: Counter "gamekeeper_game_api_certificate_loads_total" ["outcome" in OneOf(&["ok", "failed"])] =
        "Reads of certificate and key";
    PORT: Gauge "gamekeeper_game_api_listen_port" [] = "The port that is listened on";
}

pub(crate) fn describe() {
    metric_table::describe(METRICS);
    pending(0.0);
    connections(0.0);
}

pub(crate) fn answered(endpoint: &str, status: u16, after: Duration) {
    counter!(REQUESTS, "endpoint" => endpoint.to_owned(), "status" => status.to_string()).increment(1);
    histogram!(SECONDS, "endpoint" => endpoint.to_owned()).record(after.as_secs_f64());
}

pub(crate) fn refused(reason: &'static str) {
    counter!(REFUSED, "reason" => reason).increment(1);
}

pub(crate) fn report(outcome: &'static str) {
    counter!(REPORTS, "outcome" => outcome).increment(1);
}

pub(crate) fn wrote(outcome: &'static str) {
    counter!(WRITES, "outcome" => outcome).increment(1);
}

pub(crate) fn pending(change: f64) {
    gauge!(PENDING).increment(change);
}

pub(crate) fn connections(change: f64) {
    gauge!(CONNECTIONS).increment(change);
}

pub(crate) fn turned_away(reason: &'static str) {
    counter!(TURNED_AWAY, "reason" => reason).increment(1);
}

pub(crate) fn certificate(outcome: &'static str) {
    counter!(CERTIFICATES, "outcome" => outcome).increment(1);
}

pub(crate) fn listening(port: u16) {
    gauge!(PORT).set(f64::from(port));
}

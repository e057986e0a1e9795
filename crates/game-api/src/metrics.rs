//! Metrics.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

const REQUESTS: &str = "gamekeeper_game_api_requests_total";
const SECONDS: &str = "gamekeeper_game_api_request_seconds";
const REFUSED: &str = "gamekeeper_game_api_refused_total";
const REPORTS: &str = "gamekeeper_game_api_reports_total";
const WRITES: &str = "gamekeeper_game_api_writes_total";
const PENDING: &str = "gamekeeper_game_api_pending";
const CONNECTIONS: &str = "gamekeeper_game_api_connections";
const TURNED_AWAY: &str = "gamekeeper_game_api_connections_refused_total";
const CERTIFICATES: &str = "gamekeeper_game_api_certificate_loads_total";
const PORT: &str = "gamekeeper_game_api_listen_port";

pub(crate) fn describe() {
    describe_counter!(REQUESTS, "Answered requests by endpoint and status");
    describe_histogram!(SECONDS, "Time from a request's head to its answer, by endpoint");
    describe_counter!(REFUSED, "Refused requests by reason");
    describe_counter!(
        REPORTS,
        "Reports by outcome: known already, stored before the answer, to be stored soon, not stored"
    );
    describe_counter!(WRITES, "Reports and requests for deletion written, by outcome");
    describe_gauge!(PENDING, "Servers whose reports wait to be written");
    describe_gauge!(CONNECTIONS, "Open connections");
    describe_counter!(TURNED_AWAY, "Connections not served, by reason");
    describe_counter!(CERTIFICATES, "Reads of certificate and key by outcome");
    describe_gauge!(PORT, "The port that is listened on");
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

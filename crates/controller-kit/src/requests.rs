//! Counting every request to the API server.

use std::time::Duration;

use metrics::{counter, histogram};

use crate::resource::ResourceKind;

/// Counts one request. `subresource` is empty for the object itself.
pub(crate) fn count(
    verb: &'static str,
    resource: &ResourceKind,
    subresource: &'static str,
    outcome: &'static str,
) {
    counter!(
        "gamekeeper_api_requests_total",
        "verb" => verb,
        "resource" => resource.plural,
        "subresource" => subresource,
        "outcome" => outcome,
    )
    .increment(1);
}

/// Records how long a request took, its answer included.
pub(crate) fn record_duration(verb: &'static str, resource: &ResourceKind, took: Duration) {
    histogram!(
        "gamekeeper_api_request_duration_seconds",
        "verb" => verb,
        "resource" => resource.plural,
    )
    .record(took.as_secs_f64());
}

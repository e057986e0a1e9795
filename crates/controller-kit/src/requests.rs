//! Counting every request to the API server.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

use crate::metrics::{IN_FLIGHT, REQUEST_SECONDS, REQUESTS};
use crate::resource::ResourceKind;

/// Counts one request. `subresource` is empty for the object itself.
pub(crate) fn count(
    verb: &'static str,
    resource: &ResourceKind,
    subresource: &'static str,
    outcome: &'static str,
) {
    counter!(
        REQUESTS,
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
        REQUEST_SECONDS,
        "verb" => verb,
        "resource" => resource.plural,
    )
    .record(took.as_secs_f64());
}

/// A request that waits for its answer; ended when dropped, however the wait ends.
pub(crate) struct InFlight(());

impl InFlight {
    /// A request is sent now.
    pub(crate) fn begin() -> Self {
        gauge!(IN_FLIGHT).increment(1.0);
        Self(())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        gauge!(IN_FLIGHT).decrement(1.0);
    }
}

//! Waiting for a condition.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

/// How long anything may take on a busy machine before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Reads until `wanted` and gives what was read; fails after [`PATIENCE`] with what was read last.
pub async fn eventually<T: Debug>(what: &str, read: impl AsyncFn() -> T, wanted: impl Fn(&T) -> bool) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        let now = read().await;
        if wanted(&now) {
            return now;
        }
        assert!(
            Instant::now() < end,
            "no {what} within {PATIENCE:?}; last: {now:#?}"
        );
        pause().await;
    }
}

/// Between two looks at a condition.
pub async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

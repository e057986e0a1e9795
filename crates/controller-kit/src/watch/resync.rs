//! The safety net: every object is looked at again now and then, spread over the interval.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Watched;
use super::sink::Sink;

/// Runs until shutdown.
pub(super) async fn run<T: Watched>(
    sink: Arc<Sink<T>>,
    interval: Duration,
    primed: impl Future<Output = ()>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let forever = async {
        primed.await;
        loop {
            round(&sink, interval.mul_f64(rand::random_range(0.8..1.2))).await;
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        () = forever => Ok(()),
    }
}

/// Looks at every object once within `interval`, a batch about every second.
async fn round<T: Watched>(sink: &Sink<T>, interval: Duration) {
    let keys = sink.store.keys();
    let batch = keys.len().div_ceil((interval.as_secs() as usize).max(1)).max(1);
    let batches = keys.len().div_ceil(batch).max(1);
    let pause = interval / batches as u32;
    let mut left = keys.chunks(batch);
    for _ in 0..batches {
        tokio::time::sleep(pause).await;
        left.next()
            .unwrap_or_default()
            .iter()
            .for_each(|key| sink.redeliver(key));
    }
}

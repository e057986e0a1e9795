//! When the controllers have come to rest, and who wrote what when they should not have.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::process::{Controller, Fleet};
use super::scrape::Scrape;

/// No write for so long is rest.
const QUIET: Duration = Duration::from_secs(15);

/// What every controller had counted at one moment.
pub(crate) type Readings = [(Controller, Scrape)];

impl Fleet {
    /// Waits until nobody has written for 15 s: node-watcher writes at a tenth of its time, which takes minutes where
    /// hundreds of servers were made before their Pods were scheduled. Gives how long it took.
    ///
    /// # Errors
    /// When a controller does not answer, or something still writes after `limit`; it names what.
    pub(crate) async fn come_to_rest(&self, limit: Duration) -> Result<Duration> {
        let begun = Instant::now();
        let first = self.scrape().await?;
        let mut last = (writes(&first), Instant::now());
        while last.1.elapsed() < QUIET {
            if begun.elapsed() > limit {
                let wrote = written_between(&first, &self.scrape().await?).join("; ");
                bail!("something still writes after {} s: {wrote}", limit.as_secs());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = writes(&self.scrape().await?);
            if now > last.0 {
                last = (now, Instant::now());
            }
        }
        Ok(begun.elapsed())
    }
}

/// Writes of all controllers so far.
pub(crate) fn writes(readings: &Readings) -> f64 {
    readings.iter().map(|(_, scrape)| scrape.writes()).sum()
}

/// Who wrote what between the two, a line for each kind of write.
pub(crate) fn written_between(before: &Readings, after: &Readings) -> Vec<String> {
    let mut lines = Vec::new();
    for ((controller, old), (_, new)) in before.iter().zip(after) {
        let old = old.writes_by_kind();
        for (kind, count) in new.writes_by_kind() {
            let grown = count - old.get(&kind).copied().unwrap_or_default();
            if grown > 0.0 {
                lines.push(format!("{} wrote {grown:.0} times: {kind}", controller.name()));
            }
        }
    }
    lines
}

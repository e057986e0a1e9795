//! The replicas of pod-sync, and who of them owns how many shards.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::fleet::{Controller, ControllerProcess, Fleet, Scrape};

/// All replicas, those that don't run now among them.
pub(super) struct Crew<'a> {
    pub(super) fleet: &'a mut Fleet,
    pub(super) shards: u32,
}

const EVEN_WITHIN: Duration = Duration::from_secs(60);
const READY_WITHIN: Duration = Duration::from_secs(60);
const STOPPED_WITHIN: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(10);

impl Crew<'_> {
    fn replica(&mut self, replica: usize) -> Result<&mut ControllerProcess> {
        let mut all = self.fleet.replicas(Controller::PodSync);
        all.nth(replica).with_context(|| format!("no replica {replica}"))
    }

    /// Shards of each replica that answers.
    pub(super) async fn owned(&self) -> Result<Vec<u32>> {
        let mut owned = Vec::new();
        for process in &self.fleet.processes {
            if process.controller == Controller::PodSync
                && process.pid().is_some()
                && let Ok(scrape) = Scrape::fetch(process.admin_port).await
            {
                owned.push(scrape.sum("gamekeeper_pod_sync_owned_shards", |_| true) as u32);
            }
        }
        Ok(owned)
    }

    /// Waits until each shard has one owner and no replica has two more than another.
    pub(super) async fn even_share(&self) -> Result<()> {
        let deadline = Instant::now() + EVEN_WITHIN;
        loop {
            let owned = self.owned().await?;
            if is_even(&owned, self.shards) {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "after {EVEN_WITHIN:?} the replicas own {owned:?} of {} shards",
                self.shards
            );
            tokio::time::sleep(LOOK * 5).await;
        }
    }

    /// Stops a replica with SIGTERM; gives how long it took until the others owned all shards.
    pub(super) async fn stop(&mut self, replica: usize) -> Result<Duration> {
        let begun = Instant::now();
        let process = self.replica(replica)?;
        process.signal("TERM").await?;
        let status = process.wait(STOPPED_WITHIN).await?;
        ensure!(
            status.success(),
            "replica {replica} ended with {status} on SIGTERM"
        );
        self.all_owned(begun).await
    }

    /// Kills a replica; gives how long it took until the others owned all shards.
    pub(super) async fn kill(&mut self, replica: usize) -> Result<Duration> {
        let begun = Instant::now();
        self.replica(replica)?.kill().await?;
        self.all_owned(begun).await
    }

    async fn all_owned(&self, since: Instant) -> Result<Duration> {
        while self.owned().await?.iter().sum::<u32>() < self.shards {
            if since.elapsed() > EVEN_WITHIN {
                bail!("after {EVEN_WITHIN:?} not every shard has an owner");
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(since.elapsed())
    }

    /// Starts a replica that has ended, and waits until it is ready.
    pub(super) async fn start(&mut self, replica: usize) -> Result<()> {
        let process = self.replica(replica)?;
        process.start_again()?;
        process.wait_ready(READY_WITHIN).await
    }

    pub(super) async fn signal(&mut self, replica: usize, name: &str) -> Result<()> {
        self.replica(replica)?.signal(name).await
    }
}

fn is_even(owned: &[u32], shards: u32) -> bool {
    let most = owned.iter().max().copied().unwrap_or_default();
    let least = owned.iter().min().copied().unwrap_or_default();
    owned.iter().sum::<u32>() == shards && most - least <= 1
}

#[cfg(test)]
mod tests {
    use super::is_even;

    #[test]
    fn a_share_is_even_when_nobody_could_give_one_away() {
        assert!(is_even(&[3, 3, 2], 8));
        assert!(!is_even(&[4, 2, 2], 8), "one has two more");
        assert!(!is_even(&[3, 2, 2], 8), "one shard has no owner");
        assert!(!is_even(&[3, 3, 3], 8), "one shard has two owners");
        assert!(!is_even(&[], 8));
    }
}

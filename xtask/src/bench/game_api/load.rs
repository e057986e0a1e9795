//! Every server reports once a second.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use rand::Rng as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::caller::Caller;

/// What all servers saw.
#[derive(Default)]
pub(super) struct Load {
    /// Times of the answers, milliseconds.
    pub(super) times: Vec<f64>,
    pub(super) changes: u64,
    pub(super) accepted: u64,
    pub(super) failed: u64,
    /// What each said last.
    pub(super) last: BTreeMap<String, u32>,
}

impl Load {
    fn add(&mut self, other: Self) {
        self.times.extend(other.times);
        self.changes += other.changes;
        self.accepted += other.accepted;
        self.failed += other.failed;
        self.last.extend(other.last);
    }
}

/// Lets `callers` report for `duration`, each at its own moment of the second.
pub(super) async fn run(callers: Vec<Caller>, duration: Duration, percent: u32) -> Result<Load> {
    let mut servers = JoinSet::new();
    let begun = Instant::now();
    for caller in callers {
        let offset = Duration::from_millis(rand::rng().random_range(0..1_000));
        servers.spawn(one(caller, begun + offset, begun + offset + duration, percent));
    }
    let mut all = Load::default();
    while let Some(load) = servers.join_next().await {
        all.add(load?);
    }
    Ok(all)
}

async fn one(caller: Caller, begin: Instant, end: Instant, percent: u32) -> Load {
    let (mut load, mut count) = (Load::default(), 0);
    let mut ticks = tokio::time::interval_at(begin, Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut first = true;
    loop {
        ticks.tick().await;
        if Instant::now() >= end {
            break;
        }
        let (changes, next) = {
            let mut random = rand::rng();
            (random.random_range(0..100) < percent, random.random_range(0..64))
        };
        let next = if changes && next == count { next + 1 } else { next };
        if changes {
            count = next;
        }
        load.changes += u64::from(changes || first);
        first = false;
        let sent = Instant::now();
        match caller.report(count).await {
            Ok(200) => {}
            Ok(202) => load.accepted += 1,
            Ok(_) | Err(_) => load.failed += 1,
        }
        load.times.push(sent.elapsed().as_secs_f64() * 1e3);
    }
    load.last.insert(caller.name.clone(), count);
    load
}

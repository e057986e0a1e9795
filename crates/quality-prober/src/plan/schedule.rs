//! When each probe runs next (pure).
//!
//! Times are measured from the start of the process. A probe has a grid of times, one for each period, from which no run
//! moves it: what a run is late by is not added up. Grids are shifted against each other, so that probes spread over the
//! period. A probe that still runs is not started again: the times that pass meanwhile are missed, and counted.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

/// Names a probe within the process. Never used twice.
pub(crate) type ProbeId = u64;

/// The times at which a probe is due: `phase`, and every `period` after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    phase: Duration,
    period: Duration,
}

impl Grid {
    /// The grid of the probe of this name, the same in every process.
    pub(crate) fn of(pod_uid: &str, quality: &str, period: Duration) -> Self {
        let period = period.max(Duration::from_millis(1));
        // FNV-1a, which is enough to spread and needs no key.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in pod_uid.bytes().chain([0]).chain(quality.bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        // The low bits of similar names are alike.
        let spread = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11;
        let share = spread as f64 / (1_u64 << 53) as f64;
        Self {
            phase: period.mul_f64(share),
            period,
        }
    }

    /// The first time of the grid that is not before `time`.
    fn from(&self, time: Duration) -> Duration {
        let Some(past) = time.checked_sub(self.phase) else {
            return self.phase;
        };
        let periods = past.as_nanos().div_ceil(self.period.as_nanos());
        self.at(periods)
    }

    /// The first time of the grid after `time`.
    fn after(&self, time: Duration) -> Duration {
        match time.checked_sub(self.phase) {
            None => self.phase,
            Some(past) => self.at(past.as_nanos() / self.period.as_nanos() + 1),
        }
    }

    fn at(&self, periods: u128) -> Duration {
        let nanos = self.period.as_nanos().saturating_mul(periods);
        self.phase + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX / 2))
    }

    /// How many times of the grid lie after `from` and before `to`.
    fn between(&self, from: Duration, to: Duration) -> u64 {
        let first = self.after(from);
        let Some(room) = to.checked_sub(first).filter(|room| !room.is_zero()) else {
            return 0;
        };
        let count = (room.as_nanos() - 1) / self.period.as_nanos() + 1;
        u64::try_from(count).unwrap_or(u64::MAX)
    }
}

/// A run that is to begin now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    /// The probe.
    pub id: ProbeId,
    /// When it should have begun.
    pub due: Duration,
}

#[derive(Debug)]
struct Entry {
    grid: Grid,
    /// When it may begin, as it was given.
    begin: Duration,
    /// The same, moved on to where no time is in the past any more.
    from: Duration,
    /// The time of the grid that the last run stood for.
    last: Option<Duration>,
    /// The time it waits for; none while it runs or rests.
    next: Option<Duration>,
    resting: bool,
}

impl Entry {
    fn upcoming(&self) -> Duration {
        let first = self.grid.from(self.from);
        match self.last {
            Some(last) if last >= first => self.grid.after(last),
            _ => first,
        }
    }
}

/// The probes that wait and the probes that run.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    entries: HashMap<ProbeId, Entry>,
    waiting: BTreeSet<(Duration, ProbeId)>,
    running: HashSet<ProbeId>,
}

impl Schedule {
    /// Adds a probe that may `begin` then, or gives it another grid or begin. What is the same as before changes nothing: a
    /// probe that is overdue is not put off by it.
    pub(crate) fn set(&mut self, id: ProbeId, grid: Grid, begin: Duration, now: Duration) {
        let from = begin.max(now);
        if let Some(entry) = self.entries.get_mut(&id) {
            let begun = begin <= now && entry.begin <= now;
            if !entry.resting && entry.grid == grid && (entry.begin == begin || begun) {
                return;
            }
            (entry.grid, entry.begin, entry.from, entry.resting) = (grid, begin, from, false);
        } else {
            let entry = Entry {
                grid,
                begin,
                from,
                last: None,
                next: None,
                resting: false,
            };
            self.entries.insert(id, entry);
        }
        if !self.running.contains(&id) {
            self.wait(id);
        }
    }

    /// Stops a probe until it is [`set`](Self::set) again. One that runs is not stopped by it.
    pub(crate) fn rest(&mut self, id: ProbeId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.resting = true;
            if let Some(next) = entry.next.take() {
                self.waiting.remove(&(next, id));
            }
        }
    }

    /// Takes a probe away. One that runs counts until it has [`finished`](Self::finished).
    pub(crate) fn remove(&mut self, id: ProbeId) {
        self.rest(id);
        self.entries.remove(&id);
    }

    /// The probes to begin now, the one that has waited longest first, at most `limit`. They run from here on.
    pub(crate) fn take(&mut self, now: Duration, limit: usize) -> Vec<Due> {
        let mut taken = Vec::new();
        while taken.len() < limit {
            let Some((due, id)) = self.waiting.first().copied().filter(|(due, _)| *due <= now) else {
                break;
            };
            self.waiting.pop_first();
            if let Some(entry) = self.entries.get_mut(&id) {
                (entry.next, entry.last) = (None, Some(due));
                self.running.insert(id);
                taken.push(Due { id, due });
            }
        }
        taken
    }

    /// A run has ended. Gives how many times of its grid have passed since it was due, which are missed.
    pub(crate) fn finished(&mut self, id: ProbeId, now: Duration) -> u64 {
        self.running.remove(&id);
        let Some(entry) = self.entries.get_mut(&id) else {
            return 0;
        };
        let Some(last) = entry.last else {
            return 0;
        };
        let missed = entry.grid.between(last, now);
        // The time that it waits for next is the first that has not passed.
        entry.from = entry.from.max(now);
        if !entry.resting {
            self.wait(id);
        }
        missed
    }

    /// When the next probe is due.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.waiting.first().map(|(due, _)| *due)
    }

    /// How many run.
    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    /// How many there are, resting ones left out.
    pub(crate) fn scheduled(&self) -> usize {
        self.entries.values().filter(|entry| !entry.resting).count()
    }

    fn wait(&mut self, id: ProbeId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            if let Some(next) = entry.next.take() {
                self.waiting.remove(&(next, id));
            }
            let next = entry.upcoming();
            entry.next = Some(next);
            self.waiting.insert((next, id));
        }
    }
}

#[cfg(test)]
mod tests;

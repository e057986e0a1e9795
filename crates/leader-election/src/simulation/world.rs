//! The world around the processes: the stored leases, the network, the clocks.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{record::Version, step::jitter};

pub(super) const MILLI: u64 = 1_000;
pub(super) const SECOND: u64 = 1_000_000;

/// What the simulated API server is asked.
#[derive(Debug, Clone)]
pub(super) enum Request {
    Get(String),
    Put {
        over: Option<Version>,
        lease: Box<Lease>,
    },
    Delete {
        name: String,
        version: Version,
    },
    List,
}

/// What it answers.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Found(Option<Lease>),
    Stored(Lease),
    Deleted,
    Refused,
    Listed(Vec<Lease>),
}

/// The leases in etcd: every request is applied at one instant, in one order.
#[derive(Default)]
pub(super) struct Server {
    leases: BTreeMap<String, Lease>,
    revision: u64,
    /// The bug of clients that patch without `resourceVersion`.
    pub(super) ignores_version: bool,
}

impl Server {
    pub(super) fn apply(&mut self, request: Request) -> Answer {
        match request {
            Request::Get(name) => Answer::Found(self.leases.get(&name).cloned()),
            Request::List => Answer::Listed(self.leases.values().cloned().collect()),
            Request::Put { over, lease } => self.put(over.as_ref(), *lease),
            Request::Delete { name, version } => {
                if !self.is_current(&name, Some(&version)) {
                    return Answer::Refused;
                }
                self.leases.remove(&name);
                Answer::Deleted
            }
        }
    }

    fn put(&mut self, over: Option<&Version>, mut lease: Lease) -> Answer {
        let name = lease.metadata.name.clone().unwrap();
        if !self.is_current(&name, over) {
            return Answer::Refused;
        }
        self.revision += 1;
        let uid = self
            .leases
            .get(&name)
            .and_then(|stored| stored.metadata.uid.clone());
        lease.metadata.uid = uid.or_else(|| Some(format!("uid-{}", self.revision)));
        lease.metadata.resource_version = Some(self.revision.to_string());
        self.leases.insert(name, lease.clone());
        Answer::Stored(lease)
    }

    fn is_current(&self, name: &str, version: Option<&Version>) -> bool {
        let stored = self.leases.get(name);
        if self.ignores_version && stored.is_some() {
            return true;
        }
        match (stored, version) {
            (None, None) => true,
            (Some(stored), Some(version)) => {
                stored.metadata.uid.as_deref() == Some(&version.uid)
                    && stored.metadata.resource_version.as_deref() == Some(&version.resource_version)
            }
            _ => false,
        }
    }
}

/// One process's clocks.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    origin: Instant,
    offset: u64,
    /// Local time per true time: 0.9 to 1.1.
    rate: f64,
    /// Seconds the wall clock is wrong by.
    pub(super) wall_error: i64,
}

impl Clock {
    pub(super) fn instant(&self, now: u64) -> Instant {
        self.origin + Duration::from_micros(self.offset + (now as f64 * self.rate) as u64)
    }

    pub(super) fn wall(&self, now: u64) -> Timestamp {
        Timestamp::UNIX_EPOCH
            + SignedDuration::from_secs(1_800_000_000 + self.wall_error)
            + SignedDuration::from_micros(now as i64)
    }

    /// The first true time at which this clock shows `at` or later.
    pub(super) fn when(&self, at: Instant, now: u64) -> u64 {
        let left = at.saturating_duration_since(self.instant(now)).as_micros() as f64;
        now + (left / self.rate).ceil() as u64 + u64::from(left > 0.0)
    }
}

/// How bad the world is while faults last.
#[derive(Debug, Clone)]
pub(super) struct Faults {
    /// Chance that a request, or its answer, takes seconds (up to 30) instead of milliseconds.
    pub(super) slow: f64,
    /// Chance that a request never arrives.
    pub(super) lost_request: f64,
    /// Chance that an answer never arrives although the request was applied.
    pub(super) lost_answer: f64,
    /// Mean seconds between two stops of one process.
    pub(super) mean_between_stops: u64,
    /// The longest stop in seconds, at most 40.
    pub(super) longest_stop: u64,
    /// Chance that such a stop is a crash, followed by a restart.
    pub(super) crash: f64,
}

impl Faults {
    pub(super) fn none() -> Self {
        Self {
            slow: 0.0,
            lost_request: 0.0,
            lost_answer: 0.0,
            mean_between_stops: 1 << 40,
            longest_stop: 40,
            crash: 0.0,
        }
    }
}

/// True time, the queue of what happens next, and the dice.
pub(super) struct World<E> {
    pub(super) now: u64,
    pub(super) rng: StdRng,
    pub(super) server: Server,
    pub(super) faults: Faults,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, E>,
    next: u64,
}

impl<E> World<E> {
    pub(super) fn new(seed: u64, faults: Faults) -> Self {
        Self {
            now: 0,
            rng: StdRng::seed_from_u64(seed),
            server: Server::default(),
            faults,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            next: 0,
        }
    }

    pub(super) fn clock(&mut self) -> Clock {
        Clock {
            origin: Instant::now(),
            offset: self.rng.random_range(0..100_000 * SECOND),
            rate: self.rng.random_range(0.9..1.1),
            wall_error: self.rng.random_range(-7200..7200),
        }
    }

    /// A number never given before.
    pub(super) fn ticket(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn at(&mut self, time: u64, event: E) {
        let ticket = self.ticket();
        self.queue.push(Reverse((time.max(self.now), ticket)));
        self.events.insert(ticket, event);
    }

    /// Moves to the next event before `end`.
    pub(super) fn pop(&mut self, end: u64) -> Option<E> {
        let Reverse((time, ticket)) = *self.queue.peek().filter(|Reverse((time, _))| *time < end)?;
        self.queue.pop();
        self.now = time;
        self.events.remove(&ticket)
    }

    /// When something sent now arrives; `None`: never.
    pub(super) fn travel(&mut self, lost: f64) -> Option<u64> {
        if self.rng.random_bool(lost) {
            return None;
        }
        let slow = self.rng.random_bool(self.faults.slow);
        let range = if slow {
            100 * MILLI..30 * SECOND
        } else {
            200..20 * MILLI
        };
        Some(self.now + self.rng.random_range(range))
    }

    pub(super) fn jittered(&mut self, clock: &Clock, until: Instant) -> u64 {
        let pause = until.saturating_duration_since(clock.instant(self.now));
        let random = self.rng.random();
        clock.when(clock.instant(self.now) + jitter(pause, random), self.now)
    }

    /// The time of the next stop of a process, and how long it lasts.
    pub(super) fn next_stop(&mut self) -> (u64, u64) {
        let mean = self.faults.mean_between_stops * SECOND;
        (
            self.now + self.rng.random_range(0..2 * mean),
            self.rng.random_range(0..self.faults.longest_stop * SECOND),
        )
    }
}

//! One server's reports on their way to the API: the first at once, what follows soon after it together.

use std::time::{Duration, Instant};

use api_types::Report;
use jiff::Timestamp;

use super::report::{self, News};

/// The longest pause between two attempts at a write that fails.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Failed attempts in a row after which a process that ends gives up.
const LAST_ATTEMPTS: u32 = 3;

/// A GameServer's reports, and the version of it they were seen in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub resource_version: String,
    pub report: Report,
}

/// What one server said to this process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    /// The Pod that said it.
    pub pod_uid: String,
    /// Not yet written, or being written.
    pending: Option<News>,
    /// All of it since the process knows the Pod, to be held against what another replica stores.
    said: News,
    /// Somebody carries out what is pending.
    busy: bool,
    not_before: Option<Instant>,
    failures: u32,
    /// Our own last write, while no watch has shown it.
    own: Option<Seen>,
}

/// What becomes of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It is stored already.
    Known,
    /// It is written at once: somebody has to begin with [`Entry::step`], and the caller waits.
    Now,
    /// It is written soon, with whatever else comes until then. `begins`: nobody has begun with [`Entry::step`] yet.
    Later { begins: bool },
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Write this now.
    Write(News),
    /// Nothing for so long.
    Wait(Duration),
    /// Nothing, until the next offer.
    Rest,
}

impl Entry {
    /// An entry for this Pod's reports.
    pub(crate) fn of(pod_uid: &str) -> Self {
        Self {
            pod_uid: pod_uid.to_owned(),
            ..Self::default()
        }
    }

    /// The entry of the Pod that came after it. Whoever works goes on with the new one's.
    pub(crate) fn renewed(&self, pod_uid: &str) -> Self {
        Self {
            busy: self.busy,
            own: self.own.clone(),
            ..Self::of(pod_uid)
        }
    }

    /// Takes a report in, which came at `clock`.
    pub(crate) fn hear(
        &mut self,
        mut news: News,
        cached: &Seen,
        heartbeat_every: Option<Duration>,
        clock: Timestamp,
        now: Instant,
    ) -> Heard {
        let free = !self.busy && self.not_before.is_none_or(|at| at <= now);
        if !free {
            news.answered();
        }
        self.said.add(news.clone());
        let known = &self.base(cached).report;
        if !self.busy && report::next(known, &self.pod_uid, &news, heartbeat_every, clock).is_none() {
            return Heard::Known;
        }
        let begins = self.pend(news);
        if free { Heard::Now } else { Heard::Later { begins } }
    }

    fn pend(&mut self, news: News) -> bool {
        self.pending.get_or_insert_default().add(news);
        !std::mem::replace(&mut self.busy, true)
    }

    /// Whether something waits to be written, or is being written.
    #[cfg(test)]
    pub(crate) fn is_busy(&self) -> bool {
        self.busy
    }

    /// What to do next; `closing` when the process is about to end.
    pub(crate) fn step(&mut self, now: Instant, closing: bool) -> Step {
        let given_up = closing && self.failures >= LAST_ATTEMPTS;
        if self.pending.is_none() || given_up {
            self.busy = false;
            return Step::Rest;
        }
        let wait = self
            .not_before
            .map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        if !wait.is_zero() && (!closing || self.failures > 0) {
            return Step::Wait(wait);
        }
        self.pending.take().map_or(Step::Rest, Step::Write)
    }

    /// What was to be written is stored, by this write or before.
    pub(crate) fn stored(&mut self, written: Option<Seen>, now: Instant, interval: Duration) {
        self.failures = 0;
        if let Some(written) = written {
            self.not_before = Some(now + interval);
            self.own = Some(written);
        }
    }

    /// The write of `news` failed, or may have: it is tried again, later each time, unless something newer is.
    pub(crate) fn failed(&mut self, mut news: News, now: Instant, interval: Duration) {
        self.failures += 1;
        let pause = interval.max(Duration::from_millis(100)) * 2_u32.pow(self.failures.min(10) - 1);
        self.not_before = Some(now + pause.min(LONGEST_PAUSE));
        news.answered();
        if let Some(later) = self.pending.take() {
            news.add(later);
        }
        self.pending = Some(news);
    }

    /// The GameServer's reports as far as they are known here: the cache's, or our own last write.
    pub(crate) fn base<'a>(&'a self, cached: &'a Seen) -> &'a Seen {
        match &self.own {
            Some(own) if is_before(cached, own) => own,
            _ => cached,
        }
    }

    /// The cache shows this version. True where something said here is missing in it, and is later: another replica has
    /// stored what the server said before. It is pending then, and somebody has to begin.
    pub(crate) fn seen(&mut self, cached: &Seen, now: Timestamp) -> bool {
        if self.own.as_ref().is_some_and(|own| !is_before(cached, own)) {
            self.own = None;
        }
        if self.own.is_some() || self.busy {
            return false;
        }
        let mut said = self.said.clone();
        said.answered();
        report::next(&cached.report, &self.pod_uid, &said, None, now).is_some() && self.pend(said)
    }
}

/// Whether `one` is an earlier version. Opaque by the letter, a number of one etcd in every API server there is; anything else
/// counts as later.
fn is_before(one: &Seen, other: &Seen) -> bool {
    match (
        one.resource_version.parse::<u64>(),
        other.resource_version.parse::<u64>(),
    ) {
        (Ok(one), Ok(other)) => one < other,
        _ => false,
    }
}

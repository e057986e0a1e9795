//! The election of one lease as a pure state machine: no client, no clock, no randomness.
//!
//! Two rules make it safe, and both are needed:
//!
//! - **Holder.** A holder counts itself as holder until `renew_deadline` after the moment it *sent* its last write that
//!   was confirmed. The API server applied that write later than it was sent, so everyone else counts from a later moment.
//! - **Candidate.** A candidate takes a held lease only after `duration` has passed on its own monotonic clock since it
//!   *received* an answer that showed the record changed, and its write names the `resourceVersion` of that very record. A renewal
//!   it has not heard of makes that write fail.
//!
//! As `renew_deadline < duration`, the holder is through before the candidate may begin. Clocks are never compared between machines: only
//! their rates matter, and those may differ by `duration / renew_deadline` (1.5 with the defaults).

use std::time::{Duration, Instant};

use crate::{
    config::Timing,
    record::{Claim, Observed, Sighting, Version},
};

/// What the driver tells the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Start, or the pause asked for by [`Command::Wait`] is over.
    Wake,
    /// A GET was answered; `None`: there is no such lease.
    Read(Option<Observed>),
    /// The write was applied and this is the stored result.
    Written(Observed),
    /// The write was definitely not applied: the version it named is not the stored one any more.
    Refused,
    /// The request failed or timed out. A write may have been applied, or may yet be.
    Failed,
}

/// What the machine asks of the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// GET the lease, answered with [`Input::Read`] or [`Input::Failed`].
    Read,
    /// Send this write now: PUT over the named version, or POST where there is none.
    Write {
        /// The version to replace; `None` creates the lease.
        over: Option<Version>,
        /// What to write.
        claim: Claim,
    },
    /// Do nothing until then at the latest, then [`Input::Wake`].
    Wait(Instant),
    /// Leadership is over and this candidate with it.
    Stop(Loss),
}

/// Why leadership ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// No renewal was confirmed in time. Nobody else can have taken the lease yet.
    #[error("no renewal was confirmed within the renew deadline")]
    Deadline,
    /// The record names somebody else, or nobody: it was changed by hand.
    #[error("the lease was taken over by `{0}`")]
    TakenBy(String),
}

/// What one candidate remembers between steps.
#[derive(Debug, Clone)]
pub struct Candidate {
    identity: String,
    timing: Timing,
    seen: Option<Sighting>,
    /// Whether `seen` is the newest version known, so a renewal may name it without reading first.
    fresh: bool,
    /// When the write under way was sent.
    sent: Option<Instant>,
    until: Option<Instant>,
}

impl Candidate {
    /// A candidate that has seen nothing yet. `timing` must be valid ([`Timing::validate`]).
    pub fn new(identity: impl Into<String>, timing: Timing) -> Self {
        Self {
            identity: identity.into(),
            timing,
            seen: None,
            fresh: false,
            sent: None,
            until: None,
        }
    }

    /// End of this candidate's own term, or `None` while it is not the leader. Past instants mean the term is over.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Who held the lease when it was last seen.
    pub fn holder(&self) -> Option<&str> {
        self.seen
            .as_ref()
            .and_then(|seen| seen.observed.record.holder.as_deref())
    }

    /// Whether the stored lease may name this candidate: it leads, or a write's outcome is unknown.
    pub fn may_hold(&self) -> bool {
        self.until.is_some() || self.sent.is_some() || self.holder() == Some(self.identity.as_str())
    }

    /// The claim that gives the lease back, to be written over `observed`; `None` when it is not this candidate's to give.
    pub fn release(&self, observed: &Observed) -> Option<Claim> {
        observed.record.is_held_by(&self.identity).then_some(Claim {
            holder: None,
            duration: self.timing.duration,
            transitions: observed.record.transitions,
            new_term: false,
        })
    }

    fn observe(&mut self, observed: Option<Observed>, now: Instant) {
        self.seen = observed.map(|observed| Sighting::next(self.seen.as_ref(), observed, now));
        self.fresh = true;
    }

    fn decide(&mut self, now: Instant) -> Command {
        let Some(seen) = &self.seen else {
            return self.write(now);
        };
        let observed = &seen.observed;
        if observed.record.is_held_by(&self.identity) {
            return self.write(now);
        }
        if self.until.take().is_some() {
            return Command::Stop(Loss::TakenBy(observed.record.holder.clone().unwrap_or_default()));
        }
        if observed.record.holder.is_some() && now < seen.expiry(self.timing.duration) {
            return Command::Wait(now + self.timing.retry);
        }
        self.write(now)
    }

    /// Claims or renews the lease over the version seen last.
    fn write(&mut self, now: Instant) -> Command {
        self.sent = Some(now);
        let stored = self.seen.as_ref().map(|seen| &seen.observed);
        let renewal = stored.is_some_and(|stored| stored.record.is_held_by(&self.identity));
        let transitions = stored.map_or(0, |stored| {
            stored.record.transitions.saturating_add(i32::from(!renewal))
        });
        Command::Write {
            over: stored.map(|stored| stored.version.clone()),
            claim: Claim {
                holder: Some(self.identity.clone()),
                duration: self.timing.duration,
                transitions,
                new_term: !renewal,
            },
        }
    }

    fn confirm(&mut self, observed: Observed, now: Instant) -> Command {
        let sent = self.sent.take().unwrap_or(now);
        self.observe(Some(observed), now);
        let until = sent + self.timing.renew_deadline;
        if now >= until {
            // The answer was slower than the whole term; the record is ours, so ask again.
            return self.decide(now);
        }
        self.until = Some(until);
        Command::Wait(now + self.timing.retry)
    }

    fn after_failure(&mut self, now: Instant) -> Command {
        self.fresh = false;
        // A leader's time is running out; and when nobody's requests are answered, all that waits for a leader waits for this pause
        // after they are again: an opsState was 3.7 s late after an API server's return, two pauses of it.
        Command::Wait(now + self.timing.retry / 4)
    }
}

/// Advances `candidate` by one input at its local monotonic time `now`.
///
/// `now` must not go backwards from one call to the next, and a [`Command::Write`] must be sent after the call that returned it.
/// After [`Command::Stop`] the candidate is not the leader any more; start over with a new one.
pub fn step(candidate: &mut Candidate, input: Input, now: Instant) -> Command {
    if candidate.until.is_some_and(|until| now >= until) {
        // Before everything else: an answer that arrives after the term ended must not prolong it, because whoever
        // acts on this leadership may have been told already that it is over.
        candidate.until = None;
        return Command::Stop(Loss::Deadline);
    }
    match input {
        Input::Wake if candidate.until.is_some() && candidate.fresh => candidate.write(now),
        Input::Wake => Command::Read,
        Input::Read(observed) => {
            candidate.observe(observed, now);
            candidate.decide(now)
        }
        Input::Written(observed) => candidate.confirm(observed, now),
        Input::Refused => {
            candidate.sent = None;
            candidate.fresh = false;
            Command::Read
        }
        Input::Failed => candidate.after_failure(now),
    }
}

/// The pause before the next attempt: `pause` shortened to 60–100 % by `random` in `0.0..1.0`.
///
/// Only ever shorter: the pause bounds how long a released lease stays free.
pub fn jitter(pause: Duration, random: f64) -> Duration {
    pause.mul_f64(0.6 + 0.4 * random.clamp(0.0, 1.0))
}

#[cfg(test)]
#[path = "step_tests.rs"]
mod tests;

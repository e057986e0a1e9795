//! How fast GameServers are written: a rate that is never exceeded, and turns in order of asking.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Turns at a fixed rate. After a quiet time the first second's worth of turns is free at once.
#[derive(Debug)]
pub(crate) struct Pace {
    interval: Duration,
    /// When the turns given so far will all have been paid for.
    paid: Mutex<Option<Instant>>,
}

/// What may be ahead of the rate.
const AHEAD: Duration = Duration::from_secs(1);

impl Pace {
    /// Turns at `per_second`, at least one.
    pub(crate) fn new(per_second: u32) -> Self {
        Self {
            interval: Duration::from_secs(1) / per_second.max(1),
            paid: Mutex::new(None),
        }
    }

    /// Gives the next turn: how long from `now` to wait for it. A turn that is not used is lost.
    pub(crate) fn turn(&self, now: Instant) -> Duration {
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let next = paid.filter(|paid| *paid > now).unwrap_or(now) + self.interval;
        *paid = Some(next);
        next.saturating_duration_since(now + AHEAD)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_window_holds_more_turns_than_the_rate_and_one_seconds_lead(
            per_second in 1_u32..200,
            pauses in proptest::collection::vec(0_u64..400, 1..200),
        ) {
            let (pace, start) = (Pace::new(per_second), Instant::now());
            let mut now = Duration::ZERO;
            let mut turns = Vec::new();
            for pause in pauses {
                now += Duration::from_millis(pause);
                turns.push(now + pace.turn(start + now));
            }
            for (first, begin) in turns.iter().enumerate() {
                for (last, end) in turns.iter().enumerate().skip(first) {
                    let allowed = f64::from(per_second) * (end.saturating_sub(*begin).as_secs_f64() + 1.0) + 1.0;
                    prop_assert!((last - first) as f64 <= allowed, "{first}..={last} of {turns:?}");
                }
            }
        }
    }

    #[test]
    fn a_turn_within_the_rate_is_at_once_and_beyond_it_in_order() {
        let (pace, now) = (Pace::new(10), Instant::now());
        let waits: Vec<_> = (0..13).map(|_| pace.turn(now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 200, 300]);
        assert_eq!(pace.turn(now + Duration::from_secs(10)), Duration::ZERO);
    }
}

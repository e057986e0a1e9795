//! How fast GameServers are written: turns in order of asking, never faster than a rate, and slower while the API server is slow.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use controller_kit::pace::pause_after;

/// Turns at a rate that is never exceeded. After a quiet time the first few are free at once.
///
/// What is written here can wait, and what an allocator writes cannot. So a turn follows the one before only after [`pause_after`] as
/// long as a write takes at present.
#[derive(Debug)]
pub(crate) struct Pace {
    interval: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the turns given so far will all have been paid for.
    paid: Option<Instant>,
    /// How long a write takes: a moving average.
    write: Duration,
}

/// Turns that may be ahead of the rate. Twenty at once were 1 % of what an API server did in half a minute, all of it in front of
/// somebody's opsState.
const AHEAD: u32 = 3;

impl Pace {
    /// Turns at `per_second` at most, at least one.
    pub(crate) fn new(per_second: u32) -> Self {
        Self {
            interval: Duration::from_secs(1) / per_second.max(1),
            state: Mutex::default(),
        }
    }

    /// Gives the next turn: how long from `now` to wait for it. A turn that is not used is lost.
    pub(crate) fn turn(&self, now: Instant) -> Duration {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let interval = pause_after(state.write).max(self.interval);
        let next = state.paid.filter(|paid| *paid > now).unwrap_or(now) + interval;
        state.paid = Some(next);
        next.saturating_duration_since(now + interval * AHEAD)
    }

    /// A write took so long.
    pub(crate) fn took(&self, time: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.write = if state.write.is_zero() {
            time
        } else {
            (state.write * 3 + time) / 4
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_window_holds_more_turns_than_the_rate_and_the_lead(
            per_second in 1_u32..200,
            steps in proptest::collection::vec((0_u64..400, 0_u64..300), 1..200),
        ) {
            let (pace, start) = (Pace::new(per_second), Instant::now());
            let mut now = Duration::ZERO;
            let mut turns = Vec::new();
            for (pause, write) in steps {
                now += Duration::from_millis(pause);
                turns.push(now + pace.turn(start + now));
                pace.took(Duration::from_millis(write));
            }
            turns.sort_unstable();
            for (first, begin) in turns.iter().enumerate() {
                for (last, end) in turns.iter().enumerate().skip(first) {
                    let seconds = end.saturating_sub(*begin).as_secs_f64();
                    // The lead may be taken anew when the pace has become faster.
                    let allowed = f64::from(per_second) * seconds + f64::from(AHEAD) + 1.0;
                    prop_assert!((last - first) as f64 <= allowed, "{first}..={last} of {turns:?}");
                }
            }
        }

        #[test]
        fn a_tenth_of_the_time_is_writing(write in 1_u64..111) {
            let (pace, now) = (Pace::new(10_000), Instant::now());
            pace.took(Duration::from_millis(write));
            let last = (0..101 + AHEAD).map(|_| pace.turn(now)).last().unwrap();
            prop_assert_eq!(last, Duration::from_millis(write * 9 * 101));
        }
    }

    #[test]
    fn a_turn_within_the_lead_is_at_once_and_beyond_it_in_order() {
        let (pace, now) = (Pace::new(10), Instant::now());
        let waits: Vec<_> = (0..6).map(|_| pace.turn(now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 100, 200, 300]);
        assert_eq!(pace.turn(now + Duration::from_secs(10)), Duration::ZERO);
    }

    #[test]
    fn an_api_server_that_hangs_is_asked_again_within_a_second() {
        let (pace, now) = (Pace::new(20), Instant::now());
        pace.took(Duration::from_secs(4));
        let waits: Vec<_> = (0..5).map(|_| pace.turn(now).as_secs()).collect();
        assert_eq!(waits, [0, 0, 0, 1, 2]);
    }
}

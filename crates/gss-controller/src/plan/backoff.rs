//! How long an ended Pod stays before it is replaced.
//!
//! A server whose Pods end soon after they start, one after the other (a node that evicts, a game that cannot start), would
//! otherwise be made again many times a second. The pause is taken with the ended Pod in place: its logs and its reason can be
//! looked at meanwhile. It is kept in memory, on the monotonic clock; after a restart the first replacement is at once again.

use std::time::{Duration, Instant};

/// A server that lives for less than this, beyond the pause before it, has ended early.
pub const EARLY: Duration = Duration::from_mins(1);
/// The pause after the second early end in a row; it doubles with each further one.
pub const FIRST: Duration = Duration::from_secs(10);
/// The longest pause.
pub const LONGEST: Duration = Duration::from_mins(5);

/// The latest end of a server's Pod that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// UID of the Pod.
    pub pod_uid: String,
    /// Early ends in a row.
    pub early: u32,
    /// When it was seen to have ended.
    pub at: Instant,
}

impl End {
    /// The end of this Pod, after `before`, the same server's previous one.
    pub fn after(before: Option<&Self>, pod_uid: &str, now: Instant) -> Self {
        let early = before.filter(|before| now.saturating_duration_since(before.replaced_at()) < EARLY);
        Self {
            pod_uid: pod_uid.to_owned(),
            early: early.map_or(0, |before| before.early.saturating_add(1)),
            at: now,
        }
    }

    /// How long the Pod stays, from its end.
    pub fn pause(&self) -> Duration {
        match self.early {
            0 => Duration::ZERO,
            early => FIRST
                .saturating_mul(1_u32.checked_shl(early - 1).unwrap_or(u32::MAX))
                .min(LONGEST),
        }
    }

    fn replaced_at(&self) -> Instant {
        self.at + self.pause()
    }

    /// How long the Pod still stays; `None` when it may go.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        let left = self.replaced_at().saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Whether the next end will have nothing to do with this one.
    pub fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.replaced_at()) >= EARLY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pauses of Pods that each live for so many seconds.
    fn pauses(lives: &[u64]) -> Vec<u64> {
        let mut now = Instant::now();
        let mut last = None;
        let mut pauses = Vec::new();
        for (number, life) in lives.iter().enumerate() {
            now += Duration::from_secs(*life);
            let end = End::after(last.as_ref(), &number.to_string(), now);
            pauses.push(end.pause().as_secs());
            now += end.pause();
            assert_eq!(end.left(now), None);
            last = Some(end);
        }
        pauses
    }

    #[test]
    fn early_ends_in_a_row_take_longer_and_longer() {
        assert_eq!(pauses(&[1; 9]), [0, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(pauses(&[1; 90]).last(), Some(&300));
    }

    #[test]
    fn a_server_that_plays_its_matches_is_replaced_at_once() {
        assert_eq!(pauses(&[60; 5]), [0; 5]);
        assert_eq!(pauses(&[5, 5, 5, 60, 5]), [0, 10, 20, 0, 10]);
    }

    #[test]
    fn an_end_is_forgotten_when_it_means_nothing_more() {
        let now = Instant::now();
        let end = End {
            pod_uid: "a".into(),
            early: 1,
            at: now,
        };
        assert_eq!(
            end.left(now + Duration::from_secs(4)),
            Some(Duration::from_secs(6))
        );
        assert!(!end.is_over(now + Duration::from_secs(69)));
        assert!(end.is_over(now + Duration::from_secs(70)));
    }
}

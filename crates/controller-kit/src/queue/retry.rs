//! When a failed key comes back.

use std::time::Duration;

use crate::backoff::Backoff;

/// Conflicts replan after the first backoff step this many times in a row; beyond, two writers are fighting
/// over the object and spacing is what lets one of them finish.
const QUICK_CONFLICTS: u32 = 5;

/// Failures of one key since its last success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Failures {
    conflicts: u32,
    others: u32,
}

impl Failures {
    /// Runs that failed in a row.
    pub(super) fn count(self) -> u32 {
        self.conflicts.saturating_add(self.others)
    }

    /// Counts one more failure and says how long the key waits.
    pub(super) fn fail(&mut self, conflict: bool, retry_after: Option<Duration>, jitter: f64) -> Duration {
        if conflict {
            self.conflicts = self.conflicts.saturating_add(1);
        } else {
            self.others = self.others.saturating_add(1);
        }
        let step = if conflict {
            self.conflicts.saturating_sub(QUICK_CONFLICTS)
        } else {
            self.others.saturating_sub(1)
        };
        Backoff::OBJECT
            .delay(step, jitter)
            .max(retry_after.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(conflict: bool, n: usize) -> Vec<u128> {
        let mut failures = Failures::default();
        // Jitter 1 gives the nominal delay.
        (0..n)
            .map(|_| failures.fail(conflict, None, 1.0).as_millis())
            .collect()
    }

    #[test]
    fn errors_double_from_50_ms_and_conflicts_stay_quick_at_first() {
        assert_eq!(delays(false, 4), [50, 100, 200, 400]);
        assert_eq!(delays(true, 7), [50, 50, 50, 50, 50, 100, 200]);
    }

    #[test]
    fn a_conflict_does_not_inherit_the_backoff_of_other_errors() {
        let mut failures = Failures::default();
        for _ in 0..6 {
            failures.fail(false, None, 1.0);
        }
        assert_eq!(failures.fail(true, None, 1.0).as_millis(), 50);
        assert_eq!(failures.count(), 7);
    }

    #[test]
    fn the_servers_wish_is_a_lower_bound() {
        let wish = Some(Duration::from_secs(3));
        assert_eq!(Failures::default().fail(false, wish, 0.0), Duration::from_secs(3));
    }
}

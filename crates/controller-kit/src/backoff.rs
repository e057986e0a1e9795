//! Exponential backoff with jitter.

use std::time::Duration;

/// A doubling delay with bounds. Pure: the caller brings the randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Nominal delay after the first failure.
    pub first: Duration,
    /// Nominal delay that is never exceeded.
    pub cap: Duration,
}

impl Backoff {
    /// Per-object backoff of the work queue: 50 ms to 30 s.
    pub const OBJECT: Self = Self {
        first: Duration::from_millis(50),
        cap: Duration::from_secs(30),
    };
    /// Backoff of a watch that cannot be (re)started: 100 ms to 10 s.
    pub const WATCH: Self = Self {
        first: Duration::from_millis(100),
        cap: Duration::from_secs(10),
    };

    /// The delay before try `attempt + 1`, where `attempt` counts failures so far beginning at 0.
    ///
    /// `jitter` in `[0, 1)` spreads the delay over the upper half of the nominal one, so that objects which
    /// failed together do not come back together, and no delay is ever (almost) nothing.
    pub fn delay(&self, attempt: u32, jitter: f64) -> Duration {
        let factor = 1_u32.checked_shl(attempt).unwrap_or(u32::MAX);
        let nominal = self.first.saturating_mul(factor).min(self.cap);
        nominal.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn delay_stays_within_half_and_whole_of_the_nominal_delay(
            attempt in 0_u32..200,
            jitter in 0.0_f64..1.0,
        ) {
            let backoff = Backoff::OBJECT;
            // Independent statement of the nominal delay, in floating point.
            let nominal = (0.05 * 2_f64.powi(attempt as i32)).min(30.0);
            let delay = backoff.delay(attempt, jitter).as_secs_f64();
            prop_assert!(delay >= nominal * 0.5 - 1e-6 && delay <= nominal + 1e-6, "{attempt}: {delay}");
        }
    }
}

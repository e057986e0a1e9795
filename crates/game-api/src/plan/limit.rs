//! How often somebody may ask.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

/// The most keys that are kept. Beyond them newcomers share one bucket: callers choose keys, and must not choose our memory.
const MOST: usize = 65_536;
/// Between two looks for buckets that are full again, and so need not be kept.
const SWEEP: Duration = Duration::from_secs(10);

/// A token bucket for each key.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    rate: f64,
    burst: f64,
    kept: HashMap<K, Bucket>,
    others: Option<Bucket>,
    swept: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn refill(&mut self, rate: f64, burst: f64, now: Instant) {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * rate;
        self.tokens = (self.tokens + gained).min(burst);
        self.at = self.at.max(now);
    }

    fn take(&mut self, rate: f64) -> Result<(), Duration> {
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / rate))
    }
}

impl<K: Hash + Eq> Buckets<K> {
    /// `per_second` for long, and twice as many at once.
    pub(crate) fn new(per_second: u32) -> Self {
        let rate = f64::from(per_second.max(1));
        Self {
            rate,
            burst: rate * 2.0,
            kept: HashMap::new(),
            others: None,
            swept: None,
        }
    }

    /// Counts a request of `key`; `Err` says how long to wait before the next one.
    pub(crate) fn take(&mut self, key: K, now: Instant) -> Result<(), Duration> {
        self.sweep(now);
        let full = Bucket {
            tokens: self.burst,
            at: now,
        };
        let bucket = if self.kept.len() < MOST || self.kept.contains_key(&key) {
            self.kept.entry(key).or_insert(full)
        } else {
            self.others.get_or_insert(full)
        };
        bucket.refill(self.rate, self.burst, now);
        bucket.take(self.rate)
    }

    /// Forgets whom nothing needs to be remembered of.
    fn sweep(&mut self, now: Instant) {
        let swept = *self.swept.get_or_insert(now);
        if now.saturating_duration_since(swept) < SWEEP {
            return;
        }
        self.swept = Some(now);
        let (rate, burst) = (self.rate, self.burst);
        self.kept.retain(|_, bucket| {
            bucket.refill(rate, burst, now);
            bucket.tokens < burst
        });
        self.kept.shrink_to(1024);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.kept.len()
    }
}

/// Who an address stands for: with IPv6 anybody has a whole network of 64 bits to ask from.
pub(crate) fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// In any time no more pass than the burst and what came in meanwhile; who waits as told passes.
        #[test]
        fn no_more_than_the_rate(rate in 1_u32..50, gaps in proptest::collection::vec(0_u64..400, 1..200)) {
            let (mut buckets, start) = (Buckets::new(rate), Instant::now());
            let (mut now, mut passed) = (start, 0.0);
            for gap in gaps {
                now += Duration::from_millis(gap);
                match buckets.take(1, now) {
                    Ok(()) => passed += 1.0,
                    Err(wait) => {
                        prop_assert!(buckets.take(1, now).is_err());
                        now += wait + Duration::from_micros(1);
                        prop_assert!(buckets.take(1, now).is_ok());
                        passed += 1.0;
                    }
                }
                let most = f64::from(rate) * (2.0 + (now - start).as_secs_f64());
                prop_assert!(passed <= most + 1e-6, "{passed} of {most}");
            }
        }
    }

    #[test]
    fn one_does_not_use_up_what_others_have() {
        let (mut buckets, now) = (Buckets::new(1), Instant::now());
        while buckets.take("loud", now).is_ok() {}
        assert_eq!(buckets.take("quiet", now), Ok(()));
    }

    #[test]
    fn those_who_are_quiet_are_forgotten_and_a_crowd_is_bounded() {
        let (mut buckets, now) = (Buckets::new(1), Instant::now());
        for key in 0..MOST + 10 {
            let _ = buckets.take(key, now);
        }
        assert_eq!(buckets.len(), MOST);
        assert!(
            buckets.take(MOST + 11, now).is_err(),
            "newcomers share one bucket"
        );
        let _ = buckets.take(0, now + SWEEP + Duration::from_secs(5));
        assert_eq!(buckets.len(), 1);
    }

    #[test]
    fn an_address_stands_for_whoever_may_have_it() {
        let of = |text: &str| origin(text.parse().unwrap()).to_string();
        assert_eq!(of("10.0.0.7"), "10.0.0.7");
        assert_eq!(of("::ffff:10.0.0.7"), "10.0.0.7");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}

//! Times of many changes, and medians of several rounds.

use serde::Serialize;

/// Times of one kind, milliseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Spread {
    pub(crate) count: usize,
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

impl Spread {
    /// Nearest-rank percentiles; all zero without a time.
    pub(crate) fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        let rank = |share: f64| {
            let rank = (share * times.len() as f64).ceil() as usize;
            times.get(rank.saturating_sub(1)).copied().unwrap_or_default()
        };
        Self {
            count: times.len(),
            p50_ms: rank(0.5),
            p90_ms: rank(0.9),
            p99_ms: rank(0.99),
            max_ms: rank(1.0),
        }
    }
}

/// The median; the mean of the middle two of an even number, 0 of none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or_default();
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => at(odd / 2),
        even => f64::midpoint(at(even / 2 - 1), at(even / 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Spread, median};

    #[test]
    fn percentiles_are_nearest_ranks() {
        let spread = Spread::of((1..=200).rev().map(f64::from).collect());
        let found = [spread.p50_ms, spread.p90_ms, spread.p99_ms, spread.max_ms];
        assert_eq!(found.map(|time| time as u32), [100, 180, 198, 200]);
        assert_eq!(Spread::of(Vec::new()).count, 0);
        assert_eq!(Spread::of(vec![7.0]).p99_ms as u32, 7);
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]) as u32, 2);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]).to_string(), "2.5");
    }
}

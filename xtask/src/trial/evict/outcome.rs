//! What the rounds came to. Pure.

use std::time::{Duration, Instant};

use serde::Serialize;

/// The whole of it.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) rounds: usize,
    /// Evictions that got through though they were asked for after the Pod showed the allocation. Must be 0.
    pub(super) allocated_evicted: usize,
    /// Evictions that got through though the allocation was acknowledged, because they were asked for before the Pod showed it.
    pub(super) evicted_in_window: usize,
    /// Those of them that the API server finished after the Pod showed it.
    pub(super) evicted_in_flight: usize,
    /// How long after a watch saw the Pod with its allocation the last of these was answered.
    pub(super) in_flight_ms_p99: f64,
    pub(super) in_flight_ms_max: f64,
    /// Allocations refused because the eviction came first and its claim was there, or because the server had just changed.
    pub(super) evicted_before: usize,
    /// Evictions of allocated servers that were refused.
    pub(super) refused: usize,
    /// Released servers that were evicted afterwards, as they should be.
    pub(super) evicted_after_release: usize,
    /// From an acknowledged allocation to the version of the Pod that is protected, as a watch saw it.
    pub(super) window_ms_p50: f64,
    pub(super) window_ms_p99: f64,
    pub(super) window_ms_max: f64,
    pub(super) violations: Vec<String>,
}

/// What became of one round.
#[derive(Debug)]
pub(super) enum Round {
    /// The eviction was first.
    EvictedBefore,
    /// It was asked for before the Pod showed the acknowledged allocation.
    EvictedInWindow { shown: Option<InFlight> },
    /// Whoever was asked later was refused, until the release.
    Held { window: Duration, refused: usize },
    /// What must not be.
    Violation(String),
}

/// An eviction that was asked for before the Pod showed the allocation, and came through after it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InFlight {
    pub(super) window: Duration,
    pub(super) answered_after: Duration,
}

/// One request.
#[derive(Debug)]
pub(super) struct Eviction {
    pub(super) asked: Instant,
    pub(super) answered: Instant,
    pub(super) answer: Answer,
}

/// What was answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Evicted,
    Refused,
    /// The Pod is another one, or none.
    Gone,
    Other(String),
}

/// The allocation.
#[derive(Debug, Default)]
pub(super) struct Played {
    pub(super) acknowledged: Option<Instant>,
    /// When the Pod was seen allocated and protected.
    pub(super) shown: Option<Instant>,
    /// When the release was about to be asked for.
    pub(super) released: Option<Instant>,
}

/// What became of the round.
pub(super) fn judge(name: &str, played: &Played, evictions: &[Eviction]) -> Round {
    for eviction in evictions {
        if let Answer::Other(said) = &eviction.answer {
            return Round::Violation(format!("{name}: an eviction was answered with {said}"));
        }
    }
    let through = evictions
        .iter()
        .find(|eviction| eviction.answer == Answer::Evicted);
    let Some(acknowledged) = played.acknowledged else {
        return match through {
            Some(_) => Round::EvictedBefore,
            None => Round::Violation(format!("{name}: neither allocated nor evicted")),
        };
    };
    let Some(through) = through else {
        return Round::Violation(format!("{name}: released, and never evicted afterwards"));
    };
    let released = played.released.unwrap_or(acknowledged);
    match played.shown {
        None => Round::EvictedInWindow { shown: None },
        Some(shown) if through.asked < shown => Round::EvictedInWindow {
            shown: Some(InFlight {
                window: shown.saturating_duration_since(acknowledged),
                answered_after: through.answered.saturating_duration_since(shown),
            }),
        },
        Some(_) if through.asked < released => Round::Violation(format!("{name}: {EVICTED}")),
        Some(shown) => Round::Held {
            window: shown.saturating_duration_since(acknowledged),
            refused: evictions
                .iter()
                .filter(|eviction| eviction.answer == Answer::Refused)
                .count(),
        },
    }
}

const EVICTED: &str = "evicted by a request made while its Pod showed that it is allocated";

/// Adds the rounds up.
pub(super) fn summarise(rounds: &[Round], mut violations: Vec<String>) -> Outcome {
    let (mut windows, mut in_flight) = (Vec::new(), Vec::new());
    let mut outcome = Outcome {
        rounds: rounds.len(),
        allocated_evicted: 0,
        evicted_in_window: 0,
        evicted_in_flight: 0,
        in_flight_ms_p99: 0.0,
        in_flight_ms_max: 0.0,
        evicted_before: 0,
        refused: 0,
        evicted_after_release: 0,
        window_ms_p50: 0.0,
        window_ms_p99: 0.0,
        window_ms_max: 0.0,
        violations: Vec::new(),
    };
    for round in rounds {
        match round {
            Round::EvictedBefore => outcome.evicted_before += 1,
            Round::EvictedInWindow { shown } => {
                outcome.evicted_in_window += 1;
                if let Some(shown) = shown {
                    windows.push(shown.window);
                    in_flight.push(shown.answered_after);
                }
            }
            Round::Held { window, refused } => {
                windows.push(*window);
                outcome.refused += refused;
                outcome.evicted_after_release += 1;
            }
            Round::Violation(what) => {
                outcome.allocated_evicted += usize::from(what.ends_with(EVICTED));
                violations.push(what.clone());
            }
        }
    }
    windows.sort_unstable();
    in_flight.sort_unstable();
    outcome.evicted_in_flight = in_flight.len();
    outcome.in_flight_ms_p99 = quantile(&in_flight, 0.99);
    outcome.in_flight_ms_max = quantile(&in_flight, 1.0);
    outcome.window_ms_p50 = quantile(&windows, 0.50);
    outcome.window_ms_p99 = quantile(&windows, 0.99);
    outcome.window_ms_max = quantile(&windows, 1.0);
    outcome.violations = violations;
    outcome
}

/// In milliseconds; 0 of nothing.
fn quantile(sorted: &[Duration], share: f64) -> f64 {
    // A rank among at most a hundred thousand.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    let rank = (share * sorted.len() as f64).ceil() as usize;
    let found = sorted.get(rank.saturating_sub(1));
    found.map_or(0.0, |time| (time.as_secs_f64() * 10_000.0).round() / 10.0)
}

/// Prints it.
pub(super) fn report(outcome: &Outcome) {
    let Outcome { rounds, refused, .. } = outcome;
    println!("{rounds} rounds, {refused} evictions of allocated servers refused");
    println!(
        "  evicted before the allocation, which was refused: {}",
        outcome.evicted_before
    );
    println!(
        "  acknowledged, and evicted by a request made before the Pod showed it: {} ({} of them answered after it did, by {} ms at most)",
        outcome.evicted_in_window, outcome.evicted_in_flight, outcome.in_flight_ms_max
    );
    println!(
        "  held until the release, and evicted after it: {}",
        outcome.evicted_after_release
    );
    println!(
        "  window, acknowledged to protected: p50 {} ms, p99 {} ms, max {} ms",
        outcome.window_ms_p50, outcome.window_ms_p99, outcome.window_ms_max
    );
    println!("  allocated_evicted: {}", outcome.allocated_evicted);
    for what in &outcome.violations {
        println!("  {what}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64, start: Instant) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn a_request_made_after_the_pod_showed_it_is_a_violation_and_one_made_before_is_the_window() {
        let start = Instant::now();
        let played = Played {
            acknowledged: Some(at(10, start)),
            shown: Some(at(14, start)),
            released: Some(at(100, start)),
        };
        let ending = |asked: u64| {
            let evictions = [
                Eviction {
                    asked: at(asked - 5, start),
                    answered: at(asked - 1, start),
                    answer: Answer::Refused,
                },
                Eviction {
                    asked: at(asked, start),
                    answered: at(asked + 3, start),
                    answer: Answer::Evicted,
                },
            ];
            judge("a", &played, &evictions)
        };
        let Round::EvictedInWindow { shown: Some(late) } = ending(12) else {
            panic!()
        };
        assert_eq!((late.window.as_millis(), late.answered_after.as_millis()), (4, 1));
        assert!(matches!(ending(20), Round::Violation(_)));
        let Round::Held { window, refused } = ending(110) else {
            panic!()
        };
        assert_eq!((window.as_millis(), refused), (4, 1));
        let outcome = summarise(&[ending(20), ending(110), ending(12)], Vec::new());
        assert_eq!((outcome.allocated_evicted, outcome.evicted_in_window), (1, 1));
        let never = judge(
            "a",
            &played,
            &[Eviction {
                asked: at(50, start),
                answered: at(51, start),
                answer: Answer::Refused,
            }],
        );
        assert!(matches!(never, Round::Violation(_)), "it must be evictable again");
    }
}

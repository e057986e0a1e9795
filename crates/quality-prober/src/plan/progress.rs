//! From single runs of a probe to the state that is reported (pure).
//!
//! A state counts once it was seen as often in a row as its threshold says. From then on each run is compared with what is
//! reported: another state or another result is a change, and nothing else is. A result that differs needs no further
//! threshold, as in OpenKruise.
//!
//! What is reported begins with the Pod's condition, and nothing is reported anew until a threshold is reached: a prober that
//! has just started, or a container that has, changes nothing by that.

use std::time::Duration;

/// How a run went, as the reason of the Pod's condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It succeeded.
    Succeeded,
    /// It failed.
    Failed,
    /// It took longer than it may.
    TimedOut,
}

impl Verdict {
    /// Whether the state is true.
    pub(crate) fn is_healthy(self) -> bool {
        self == Self::Succeeded
    }

    /// The reason of the condition.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Succeeded => "ProbeSucceeded",
            Self::Failed => "ProbeFailed",
            Self::TimedOut => "ProbeTimedOut",
        }
    }
}

/// One run that told something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    /// How it went.
    pub verdict: Verdict,
    /// What it printed, cleaned.
    pub result: String,
    /// RFC 3339 time of its begin.
    pub time: String,
    /// The same on the process's own clock.
    pub began: Duration,
}

/// How many runs in a row make a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Thresholds {
    /// Successes.
    pub success: u32,
    /// Failures.
    pub failure: u32,
}

/// What a condition says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reported {
    /// The state.
    pub healthy: bool,
    /// The result.
    pub result: String,
}

/// What one probe has seen so far.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// What the Pod's condition says, as far as is known.
    reported: Option<Reported>,
    /// What it has yet to say.
    unwritten: Option<Sample>,
    streak: Option<(bool, u32)>,
}

impl Progress {
    /// Takes over what the Pod's condition says now; `None` when there is none or it is Unknown. Whoever wrote it: two probers
    /// at once, during a rollout, agree on it instead of writing over each other.
    ///
    /// Not to be called with a condition older than the last own write.
    pub(crate) fn adopt(&mut self, condition: Option<Reported>) {
        if self.unwritten.as_ref().map(reported) == condition && condition.is_some() {
            self.unwritten = None;
        }
        self.reported = condition;
    }

    /// The container has been started anew: what was seen of the old one counts no more, and what is reported stays.
    pub(crate) fn restarted(&mut self) {
        self.streak = None;
    }

    /// Takes in a run. True when there is something to write.
    pub(crate) fn observe(&mut self, sample: Sample, thresholds: Thresholds) -> bool {
        let healthy = sample.verdict.is_healthy();
        let seen = match self.streak {
            Some((last, seen)) if last == healthy => seen.saturating_add(1),
            _ => 1,
        };
        self.streak = Some((healthy, seen));
        let threshold = if healthy {
            thresholds.success
        } else {
            thresholds.failure
        };
        if seen < threshold {
            return false;
        }
        let seen = reported(&sample);
        if self.reported.as_ref() == Some(&seen) {
            // What was to be written, and was not yet, is no longer so.
            self.unwritten = None;
            return false;
        }
        if self.unwritten.as_ref().map(reported) == Some(seen) {
            return false;
        }
        self.unwritten = Some(sample);
        true
    }

    /// What the condition should say and does not.
    pub(crate) fn unwritten(&self) -> Option<&Sample> {
        self.unwritten.as_ref()
    }

    /// `sample` has been written.
    pub(crate) fn written(&mut self, sample: &Sample) {
        self.reported = Some(reported(sample));
        if self.unwritten.as_ref() == Some(sample) {
            self.unwritten = None;
        }
    }
}

fn reported(sample: &Sample) -> Reported {
    Reported {
        healthy: sample.verdict.is_healthy(),
        result: sample.result.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const THRESHOLDS: Thresholds = Thresholds {
        success: 1,
        failure: 3,
    };

    fn sample(healthy: bool, result: &str) -> Sample {
        Sample {
            verdict: if healthy {
                Verdict::Succeeded
            } else {
                Verdict::Failed
            },
            result: result.to_owned(),
            time: "2026-01-01T00:00:00Z".to_owned(),
            began: Duration::ZERO,
        }
    }

    fn said(healthy: bool, result: &str) -> Reported {
        reported(&sample(healthy, result))
    }

    /// Runs the samples and writes what is to be written at once; gives what was written.
    fn written(progress: &mut Progress, samples: &[Sample]) -> Vec<Reported> {
        let mut all = Vec::new();
        for sample in samples {
            if progress.observe(sample.clone(), THRESHOLDS) {
                let sample = progress.unwritten().unwrap().clone();
                progress.written(&sample);
                all.push(reported(&sample));
            }
        }
        all
    }

    #[test]
    fn the_first_state_is_reported_when_its_threshold_is_reached() {
        let mut progress = Progress::default();
        let failures = [sample(false, "x"), sample(false, "x"), sample(false, "x")];
        assert!(written(&mut progress, &failures[..2]).is_empty());
        assert_eq!(written(&mut progress, &failures[2..]), [said(false, "x")]);
    }

    #[test]
    fn a_restart_of_the_prober_or_the_container_reports_nothing() {
        let mut progress = Progress::default();
        progress.adopt(Some(said(true, "gate")));
        assert!(written(&mut progress, &[sample(false, ""), sample(false, "")]).is_empty());
        progress.restarted();
        assert!(written(&mut progress, &[sample(false, ""), sample(false, "")]).is_empty());
        assert!(written(&mut progress, &[sample(true, "gate")]).is_empty());
    }

    #[test]
    fn another_result_of_the_same_state_is_reported_at_once() {
        let mut progress = Progress::default();
        let all = [
            sample(true, "gate"),
            sample(true, "data"),
            sample(true, "data"),
            sample(false, ""),
            sample(true, "data"),
        ];
        assert_eq!(
            written(&mut progress, &all),
            [said(true, "gate"), said(true, "data")]
        );
    }

    #[test]
    fn what_is_over_before_it_was_written_is_not_written() {
        let mut progress = Progress::default();
        progress.adopt(Some(said(true, "a")));
        assert!(progress.observe(sample(true, "b"), THRESHOLDS));
        assert!(!progress.observe(sample(true, "b"), THRESHOLDS));
        assert!(!progress.observe(sample(true, "a"), THRESHOLDS));
        assert_eq!(progress.unwritten(), None);
    }

    #[test]
    fn two_probers_do_not_write_over_each_other() {
        let mut late = Progress::default();
        late.adopt(Some(said(true, "")));
        // The other one has reached its threshold first.
        late.adopt(Some(said(false, "x")));
        assert_eq!(late.unwritten(), None);
        assert!(written(&mut late, &vec![sample(false, "x"); 5]).is_empty());
    }

    proptest! {
        /// Against a brute-force oracle that looks at the whole history each time.
        #[test]
        fn what_is_reported_follows_the_thresholds(
            runs in proptest::collection::vec((any::<bool>(), 0_u8..3, any::<bool>()), 0..80),
            success in 1_u32..4,
            failure in 1_u32..4,
        ) {
            let thresholds = Thresholds { success, failure };
            let mut progress = Progress::default();
            let mut history: Vec<(bool, u8)> = Vec::new();
            let mut expected: Option<(bool, u8)> = None;
            let mut shown: Option<Reported> = None;
            for (healthy, result, restart) in runs {
                if restart && result == 0 {
                    progress.restarted();
                    history.clear();
                }
                history.push((healthy, result));
                let needed = if healthy { success } else { failure } as usize;
                let alike = history.iter().rev().take_while(|(state, _)| *state == healthy).count();
                if alike >= needed {
                    expected = Some((healthy, result));
                }
                if progress.observe(sample(healthy, &result.to_string()), thresholds) {
                    let new = progress.unwritten().unwrap().clone();
                    prop_assert_ne!(Some(reported(&new)), shown.clone(), "written without a change");
                    progress.written(&new);
                    shown = Some(reported(&new));
                }
                let wanted = expected.map(|(healthy, result)| Reported { healthy, result: result.to_string() });
                prop_assert_eq!(&shown, &wanted);
            }
        }
    }
}

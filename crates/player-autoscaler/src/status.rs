//! `status.playerAutoscaling` (pure).

use std::time::Duration;

use api_types::PlayerAutoscalingStatus;
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};

use crate::{
    plan::{Decision, Other, Plan, Scale, Why},
    views::SetView,
};

/// Why replicas stay as they are. The numbers in it change only with the set's spec: a status is not written for each player.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Idle {
    /// The settings cannot be followed; what to change.
    InvalidSettings(String),
    /// Something else scales the set.
    ScaledByOther(Other),
    /// Replicas changed a while ago; until when they stay.
    CoolingDown(Timestamp),
    /// The set waits for a person.
    NeedsIntervention,
    /// Servers are on their way in or out.
    Settling,
    /// The load is above the percentage, and there are as many servers as there may be.
    AtMaximum(u64, i32),
    /// The load is below the percentage, and there are as few servers as there may be.
    AtMinimum(u64, i32),
    /// The load is below the first percentage, and one server less would put it above the second.
    ScaleInWouldOverload(u64, u64),
    /// The load is between the percentages.
    WithinThresholds(u64, u64),
}

impl Idle {
    /// For programs.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::InvalidSettings(_) => "InvalidSettings",
            Self::ScaledByOther(_) => "ScaledByOther",
            Self::CoolingDown(_) => "CoolingDown",
            Self::NeedsIntervention => "NeedsIntervention",
            Self::Settling => "Settling",
            Self::AtMaximum(..) => "AtMaximum",
            Self::AtMinimum(..) => "AtMinimum",
            Self::ScaleInWouldOverload(..) => "ScaleInWouldOverload",
            Self::WithinThresholds(..) => "WithinThresholds",
        }
    }

    /// For people.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::InvalidSettings(what) => format!("the settings cannot be followed: {what}"),
            Self::ScaledByOther(other) => format!(
                "{} {} scales this set: delete it, or set playerAutoscaling.enabled to false",
                other.kind, other.name
            ),
            Self::CoolingDown(until) => format!("replicas stay as they are until {}", rfc3339(*until)),
            Self::NeedsIntervention => "the set has the condition NeedsIntervention, whose message says what to do; replicas stay until then".to_owned(),
            Self::Settling => "waits until as many servers as wanted are there and available".to_owned(),
            Self::AtMaximum(threshold, max) => {
                format!("the load is above {threshold} %, and {max} servers are the most")
            }
            Self::AtMinimum(threshold, min) => {
                format!("the load is below {threshold} %, and {min} servers are the fewest")
            }
            Self::ScaleInWouldOverload(low, high) => {
                format!("the load is below {low} %, and one server less would put it at {high} % or above")
            }
            Self::WithinThresholds(low, high) => format!("the load is between {low} % and {high} %"),
        }
    }

    /// Whether replicas would follow the players if the load asked for it.
    fn is_able(&self) -> bool {
        !matches!(
            self,
            Self::InvalidSettings(_) | Self::ScaledByOther(_) | Self::NeedsIntervention
        )
    }

    /// Whether somebody has to know.
    pub(crate) fn is_warning(&self) -> bool {
        matches!(self, Self::InvalidSettings(_) | Self::ScaledByOther(_))
    }
}

impl Scale {
    /// The reason of its event.
    pub(crate) fn reason(self) -> &'static str {
        if self.to > self.from {
            "ScaledOut"
        } else {
            "ScaledIn"
        }
    }

    /// What it is, and why.
    pub(crate) fn text(self) -> String {
        let why = match self.why {
            Why::BelowMinimum(min) => format!("the fewest are {min}"),
            Why::AboveMaximum(max) => format!("the most are {max}"),
            Why::High(threshold) => format!("the load was above {threshold} %"),
            Why::Low(threshold) => format!("the load was below {threshold} %"),
        };
        format!("from {} to {} servers: {why}", self.from, self.to)
    }
}

/// What is to become of the status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// It says what it should.
    Same,
    /// It is to be written.
    Write(PlayerAutoscalingStatus),
    /// It is to go.
    Remove,
    /// It is to be written after this time: reasons that come and go are not written faster than people read.
    Later(Duration),
}

/// How long a reason stays at least, unless replicas change.
const READABLE: Duration = Duration::from_secs(5);

/// The status after the set was left as it is.
pub(crate) fn report(set: &SetView, plan: &Plan, now: Timestamp) -> Report {
    match &plan.decision {
        Decision::Nothing if set.status.is_some() && !set.metadata.is_terminating() => Report::Remove,
        Decision::Nothing | Decision::Scale(_) => Report::Same,
        Decision::Idle(idle) => idle_report(set, plan, idle, now),
    }
}

fn idle_report(set: &SetView, plan: &Plan, idle: &Idle, now: Timestamp) -> Report {
    let stored = set.status.clone().unwrap_or_default();
    let by_others = stored.replicas.filter(|replicas| *replicas != set.replicas);
    let mut wanted = PlayerAutoscalingStatus {
        able_to_scale: idle.is_able(),
        reason: idle.reason().to_owned(),
        message: idle.message(),
        replicas: Some(set.replicas),
        last_scale_time: plan.last_scale.map(rfc3339),
        last_scale: stored.last_scale.clone(),
        last_transition_time: stored.last_transition_time.clone(),
    };
    if let Some(before) = by_others {
        wanted.last_scale = Some(format!(
            "from {before} to {} servers: not by this controller",
            set.replicas
        ));
    }
    if wanted == stored {
        return Report::Same;
    }
    let since = stored
        .last_transition_time
        .as_deref()
        .and_then(|time| time.parse().ok());
    let age = since.and_then(|since: Timestamp| Duration::try_from(now.duration_since(since)).ok());
    if let (Some(age), None) = (age.filter(|age| *age < READABLE), by_others) {
        return Report::Later(READABLE.saturating_sub(age));
    }
    wanted.last_transition_time = Some(rfc3339(now));
    Report::Write(wanted)
}

/// The status after replicas were changed.
pub(crate) fn after(scale: Scale, cooldown: Duration, now: Timestamp) -> PlayerAutoscalingStatus {
    let until = now.checked_add(cooldown).unwrap_or(now);
    let idle = Idle::CoolingDown(round_up(until));
    PlayerAutoscalingStatus {
        able_to_scale: true,
        reason: idle.reason().to_owned(),
        message: idle.message(),
        last_transition_time: Some(rfc3339(now)),
        last_scale_time: Some(rfc3339(now)),
        last_scale: Some(scale.text()),
        replicas: Some(scale.to),
    }
}

/// RFC 3339 in UTC with whole seconds, rounded up: a cooldown that counts from it is never shorter than it should be.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    round_up(time).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn round_up(time: Timestamp) -> Timestamp {
    let whole = TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Ceil);
    time.round(whole).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{fixture::set, plan::Observed, totals::Sums};

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    fn full(servers: u32, players: u64) -> Sums {
        Sums {
            servers,
            players,
            ..Sums::default()
        }
    }

    fn reported(set: &SetView, players: u64, now: &str) -> Report {
        let observed = Observed {
            set,
            sums: full(set.replicas.unsigned_abs(), players),
            other: None,
        };
        report(set, &crate::plan::plan(&observed, at(now)), at(now))
    }

    #[test]
    fn a_status_that_says_it_already_is_not_written() {
        let mut view = set(4).view();
        let Report::Write(status) = reported(&view, 28, "2026-01-01T00:10:00.5Z") else {
            panic!("nothing is written at first");
        };
        assert_eq!(
            (status.reason.as_str(), status.last_transition_time.as_deref()),
            ("WithinThresholds", Some("2026-01-01T00:10:01Z"))
        );
        view.status = Some(status);
        for players in [25, 28, 31] {
            assert_eq!(reported(&view, players, "2026-01-01T01:00:00Z"), Report::Same);
        }
    }

    #[test]
    fn reasons_that_come_and_go_are_written_at_a_readable_pace() {
        let mut view = set(10).view();
        view.status = Some(PlayerAutoscalingStatus {
            reason: "WithinThresholds".into(),
            replicas: Some(10),
            last_transition_time: Some("2026-01-01T00:00:00Z".into()),
            ..PlayerAutoscalingStatus::default()
        });
        // Ten servers are the most.
        assert_eq!(
            reported(&view, 99, "2026-01-01T00:00:02Z"),
            Report::Later(Duration::from_secs(3))
        );
        assert!(
            matches!(reported(&view, 99, "2026-01-01T00:00:05Z"), Report::Write(status) if status.reason == "AtMaximum")
        );
    }

    #[test]
    fn replicas_set_by_somebody_else_are_written_down_at_once_and_start_the_cooldown() {
        let mut view = set(4).view();
        view.status = Some(after(
            Scale {
                from: 2,
                to: 3,
                why: Why::High(80),
            },
            Duration::from_secs(300),
            at("2026-01-01T00:00:00Z"),
        ));
        let Report::Write(status) = reported(&view, 39, "2026-01-01T00:00:01Z") else {
            panic!("nothing is written");
        };
        assert_eq!(status.last_scale_time.as_deref(), Some("2026-01-01T00:00:01Z"));
        assert_eq!(
            status.last_scale.as_deref(),
            Some("from 3 to 4 servers: not by this controller")
        );
        assert_eq!(
            status.message,
            "replicas stay as they are until 2026-01-01T00:05:01Z"
        );
    }

    #[test]
    fn the_status_after_scaling_is_what_the_next_look_finds() {
        let now = at("2026-01-01T00:00:00.25Z");
        let scale = Scale {
            from: 3,
            to: 4,
            why: Why::High(80),
        };
        let mut view = set(4).view();
        view.status = Some(after(scale, Duration::from_secs(300), now));
        assert_eq!(reported(&view, 39, "2026-01-01T00:00:07Z"), Report::Same);
    }

    #[test]
    fn a_set_that_no_longer_opts_in_loses_its_status() {
        let mut view = set(4)
            .edit(|set| set["spec"]["playerAutoscaling"]["enabled"] = json!(false))
            .view();
        assert_eq!(reported(&view, 0, "2026-01-01T00:00:00Z"), Report::Same);
        view.status = Some(PlayerAutoscalingStatus::default());
        assert_eq!(reported(&view, 0, "2026-01-01T00:00:00Z"), Report::Remove);
    }
}

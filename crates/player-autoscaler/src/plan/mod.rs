//! What to do about the replicas of one set (pure).

mod load;
mod settings;

use std::time::Duration;

use jiff::Timestamp;

pub(crate) use self::{load::Load, settings::Settings};
use crate::{status::Idle, totals::Sums, views::SetView};

/// Everything known about one set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observed<'a> {
    /// The set.
    pub set: &'a SetView,
    /// Its servers and their players.
    pub sums: Sums,
    /// What else scales it.
    pub other: Option<&'a Other>,
}

/// Something else that scales the set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Other {
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The set did not opt in.
    Nothing,
    /// Replicas are to be changed.
    Scale(Scale),
    /// Replicas stay.
    Idle(Idle),
}

/// A change of replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scale {
    /// From.
    pub from: i32,
    /// To.
    pub to: i32,
    /// Why.
    pub why: Why,
}

/// Why replicas are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// They are below the fewest.
    BelowMinimum(i32),
    /// They are above the most.
    AboveMaximum(i32),
    /// The load is above this percentage.
    High(u64),
    /// The load is below this percentage.
    Low(u64),
}

/// A decision, and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// What to do.
    pub decision: Decision,
    /// When replicas last changed, as far as is known.
    pub last_scale: Option<Timestamp>,
    /// When to look again though nothing changed.
    pub again: Option<Duration>,
}

impl Plan {
    fn of(decision: Decision, last_scale: Option<Timestamp>) -> Self {
        Self {
            decision,
            last_scale,
            again: None,
        }
    }
}

/// How far ahead of this machine's clock a stored time may be. What is further ahead was written by a clock that was wrong, and
/// would keep the set from being scaled until then.
const AHEAD: Duration = Duration::from_mins(1);

/// Decides about one set.
pub(crate) fn plan(observed: &Observed<'_>, now: Timestamp) -> Plan {
    let set = observed.set;
    let last = last_scale(set, now);
    let wanted = Settings::of(set).filter(|_| !set.metadata.is_terminating());
    let settings = match wanted {
        None => return Plan::of(Decision::Nothing, last),
        Some(Err(what)) => return Plan::of(Decision::Idle(Idle::InvalidSettings(what)), last),
        Some(Ok(settings)) => settings,
    };
    if let Some(other) = observed.other {
        return Plan::of(Decision::Idle(Idle::ScaledByOther(other.clone())), last);
    }
    if let Some(scale) = correction(set.replicas, &settings) {
        return Plan::of(Decision::Scale(scale), last);
    }
    if let Some((until, left)) = cooling_down(last, settings.cooldown, now) {
        return Plan {
            again: Some(left),
            ..Plan::of(Decision::Idle(Idle::CoolingDown(until)), last)
        };
    }
    let decision = unsettled(observed).map_or_else(|| by_load(observed, &settings), Decision::Idle);
    Plan::of(decision, last)
}

/// When replicas last changed. Replicas other than those that were last written down were changed by somebody, or by this
/// controller before it could write that down: the cooldown counts from when that is seen.
fn last_scale(set: &SetView, now: Timestamp) -> Option<Timestamp> {
    let status = set.status.as_ref()?;
    if status.replicas.is_some_and(|replicas| replicas != set.replicas) {
        return Some(now);
    }
    let stored: Timestamp = status.last_scale_time.as_deref()?.parse().ok()?;
    let limit = now.checked_add(AHEAD).unwrap_or(Timestamp::MAX);
    (stored <= limit).then_some(stored)
}

fn correction(replicas: i32, settings: &Settings) -> Option<Scale> {
    let (to, why) = match replicas {
        few if few < settings.min => (settings.min, Why::BelowMinimum(settings.min)),
        many if many > settings.max => (settings.max, Why::AboveMaximum(settings.max)),
        _ => return None,
    };
    Some(Scale {
        from: replicas,
        to,
        why,
    })
}

/// Until when replicas stay, and how long that is. The moment at which the cooldown ends belongs to it.
fn cooling_down(
    last: Option<Timestamp>,
    cooldown: Duration,
    now: Timestamp,
) -> Option<(Timestamp, Duration)> {
    let until = last?.checked_add(cooldown).ok()?;
    if cooldown.is_zero() || now > until {
        return None;
    }
    let left = Duration::try_from(until.duration_since(now)).unwrap_or_default();
    Some((until, left + Duration::from_millis(1)))
}

/// Why the set is not in a state that load could be judged by.
fn unsettled(observed: &Observed<'_>) -> Option<Idle> {
    let set = observed.set;
    if set.needs_intervention {
        return Some(Idle::NeedsIntervention);
    }
    let acted_on = set.observed_generation == set.metadata.generation;
    let available = set.available >= set.replicas;
    // More servers than wanted are there while some are about to be claimed, or for as long as their players keep them.
    let servers = i64::from(observed.sums.servers);
    let wanted = i64::from(set.replicas);
    let counted = servers == wanted || (servers > wanted && set.scale_in_blocked);
    (!(acted_on && available && counted)).then_some(Idle::Settling)
}

fn by_load(observed: &Observed<'_>, settings: &Settings) -> Decision {
    let (set, sums) = (observed.set, observed.sums);
    let load = Load {
        players: sums.players,
        capacity: sums.capacity(settings.capacity),
        each: settings.capacity.into(),
    };
    // As many as wanted, or more where players keep them.
    let servers = i32::try_from(sums.servers).unwrap_or(i32::MAX);
    if load.is_high(settings) {
        let room = settings.max.saturating_sub(servers).max(0).unsigned_abs();
        return match load.servers_to_add(settings, room) {
            0 => Decision::Idle(Idle::AtMaximum(settings.scale_out, settings.max)),
            more => Decision::Scale(Scale {
                from: set.replicas,
                to: servers.saturating_add_unsigned(more),
                why: Why::High(settings.scale_out),
            }),
        };
    }
    if !load.is_low(settings) {
        return Decision::Idle(Idle::WithinThresholds(settings.scale_in, settings.scale_out));
    }
    if servers > set.replicas {
        return Decision::Idle(Idle::Settling);
    }
    let room = servers.saturating_sub(settings.min).max(0).unsigned_abs();
    match load.servers_to_remove(settings, room) {
        0 if room == 0 => Decision::Idle(Idle::AtMinimum(settings.scale_in, settings.min)),
        0 => Decision::Idle(Idle::ScaleInWouldOverload(settings.scale_in, settings.scale_out)),
        less => Decision::Scale(Scale {
            from: set.replicas,
            to: servers.saturating_sub_unsigned(less),
            why: Why::Low(settings.scale_in),
        }),
    }
}

#[cfg(test)]
mod tests;

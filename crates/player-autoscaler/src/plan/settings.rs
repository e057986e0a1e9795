//! What a set asks for, checked and with its defaults (pure).

use std::time::Duration;

use crate::views::SetView;

/// How a set is to be scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The fewest servers.
    pub min: i32,
    /// The most servers.
    pub max: i32,
    /// Percentage of the capacity above which servers are added.
    pub scale_out: u64,
    /// Percentage of the capacity below which servers are taken away.
    pub scale_in: u64,
    /// The most servers added or taken away at once.
    pub step: u32,
    /// How long replicas stay after a change.
    pub cooldown: Duration,
    /// Players that one server takes.
    pub capacity: u32,
}

const DEFAULT_STEP: i32 = 1;
const DEFAULT_COOLDOWN: i32 = 300;

impl Settings {
    /// The settings of a set; `None` where it did not opt in, an error with what to change where they cannot be followed. The
    /// definition's rules refuse such settings, but not those stored before it had them.
    pub(crate) fn of(set: &SetView) -> Option<Result<Self, String>> {
        let wanted = set.settings.as_ref().filter(|settings| settings.enabled)?;
        let settings = || {
            let capacity = set.capacity.filter(|capacity| *capacity > 0);
            let capacity = capacity.ok_or("set spec.players.capacity, the players that one server takes")?;
            let max = wanted.max_replicas.ok_or("set maxReplicas")?;
            let out = wanted.scale_out_threshold.ok_or("set scaleOutThreshold")?;
            let r#in = wanted.scale_in_threshold.ok_or("set scaleInThreshold")?;
            let min = wanted.min_replicas.unwrap_or(1);
            let step = wanted.step.unwrap_or(DEFAULT_STEP);
            let cooldown = wanted.cooldown_seconds.unwrap_or(DEFAULT_COOLDOWN);
            if min < 1 || max < min {
                return Err("minReplicas is at least 1 and at most maxReplicas");
            }
            if r#in < 0 || out <= r#in || out > 100 {
                return Err("scaleInThreshold is below scaleOutThreshold, both from 0 to 100");
            }
            if step < 1 || cooldown < 0 {
                return Err("step is at least 1, cooldownSeconds at least 0");
            }
            Ok(Self {
                min,
                max,
                scale_out: out.unsigned_abs().into(),
                scale_in: r#in.unsigned_abs().into(),
                step: step.unsigned_abs(),
                cooldown: Duration::from_secs(cooldown.unsigned_abs().into()),
                capacity,
            })
        };
        Some(settings().map_err(str::to_owned))
    }
}

//! Metrics of this controller. Names of sets are never labels.

use std::time::Duration;

use metric_table::Values::OneOf;
use metrics::{counter, gauge, histogram};

use crate::plan::Scale;

metric_table::metrics! {
    SCALES: Counter "gamekeeper_player_autoscaler_scales_total" ["direction" in OneOf(&["out", "in"])] =
        "Acknowledged changes of replicas";
    SETS: Gauge "gamekeeper_player_autoscaler_sets" ["able" in OneOf(&["true", "false"])] =
        "Sets that opted in; able=\"false\": something else scales them, settings are missing, or they need a person";
    PLAYERS: Gauge "gamekeeper_player_autoscaler_players" [] = "Players on the servers of sets that opted in";
    SECONDS: Histogram "gamekeeper_player_autoscaler_seconds" [] =
        "From the change that gave work to the acknowledged change of replicas";
}

/// Registers the descriptions; call once, after the recorder is installed.
pub(crate) fn describe() {
    metric_table::describe(METRICS);
}

/// Replicas were changed, this long after the change that asked for it.
pub(crate) fn scaled(scale: Scale, elapsed: Duration) {
    let direction = if scale.to > scale.from { "out" } else { "in" };
    counter!(SCALES, "direction" => direction).increment(1);
    histogram!(SECONDS).record(elapsed.as_secs_f64());
}

/// What there is.
pub(crate) fn census(able: usize, unable: usize, players: u64) {
    gauge!(SETS, "able" => "true").set(able as f64);
    gauge!(SETS, "able" => "false").set(unable as f64);
    gauge!(PLAYERS).set(players as f64);
}

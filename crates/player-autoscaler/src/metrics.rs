//! Metrics of this controller. Names of sets are never labels.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::plan::Scale;

const SCALES: &str = "gamekeeper_player_autoscaler_scales_total";
const SETS: &str = "gamekeeper_player_autoscaler_sets";
const PLAYERS: &str = "gamekeeper_player_autoscaler_players";
const SECONDS: &str = "gamekeeper_player_autoscaler_seconds";

/// Registers the descriptions; call once, after the recorder is installed.
pub(crate) fn describe() {
    describe_counter!(SCALES, "Acknowledged changes of replicas, by direction");
    describe_gauge!(
        SETS,
        "Sets that opted in; able=\"false\": something else scales them, settings are missing, or they need a person"
    );
    describe_gauge!(PLAYERS, "Players on the servers of sets that opted in");
    describe_histogram!(
        SECONDS,
        Unit::Seconds,
        "From the change that gave work to the acknowledged change of replicas"
    );
    for direction in ["out", "in"] {
        counter!(SCALES, "direction" => direction).absolute(0);
    }
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

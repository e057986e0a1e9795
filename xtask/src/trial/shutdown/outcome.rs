//! What the rounds found, for people and as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use super::players::Crowd;
use super::round::{Round, Told};
use crate::bench::spread::Spread;

/// The trial's result.
#[derive(Debug, Default, Serialize)]
pub(super) struct Outcome {
    rounds: u32,
    rounds_without_players: u32,
    connections: usize,
    messages_answered: u64,
    connections_cut: usize,
    pods_leaked: usize,
    kills: BTreeMap<String, u32>,
    /// Rounds with players and without a kill.
    undisturbed: Times,
    /// Rounds with a kill.
    with_kills: Times,
    violations: Vec<String>,
}

/// Times of some of the rounds.
#[derive(Debug, Default, Serialize)]
struct Times {
    scale_in_to_pre_delete: Spread,
    scale_in_to_no_new_players: Spread,
    last_player_to_released: Spread,
    last_player_to_gone: Spread,
    #[serde(skip)]
    all: [Vec<f64>; 4],
}

impl Times {
    fn add(&mut self, told: &Told) {
        let times = told.times;
        let each = [times.pre_delete, times.unrouted, times.released, times.gone];
        for (list, time) in self.all.iter_mut().zip(each) {
            list.push(time);
        }
        let [pre_delete, unrouted, released, gone] = self.all.clone().map(Spread::of);
        self.scale_in_to_pre_delete = pre_delete;
        self.scale_in_to_no_new_players = unrouted;
        self.last_player_to_released = released;
        self.last_player_to_gone = gone;
    }

    fn print(&self, what: &str) {
        println!("{what:<48} {:>9} {:>9}", "p50, ms", "max, ms");
        for (name, spread) in [
            ("scale-in to state PreDelete", self.scale_in_to_pre_delete),
            ("scale-in to no new players", self.scale_in_to_no_new_players),
            ("last player left to hook released", self.last_player_to_released),
            ("last player left to Pod gone", self.last_player_to_gone),
        ] {
            println!("  {name:<46} {:>9.0} {:>9.0}", spread.p50_ms, spread.max_ms);
        }
    }
}

impl Outcome {
    /// Counts players that have left.
    pub(super) fn count(&mut self, crowd: &Crowd) {
        for fate in &crowd.left {
            self.connections += 1;
            self.messages_answered += fate.echoes;
            if let Some(cut) = &fate.cut {
                self.connections_cut += 1;
                self.violations.push(format!("cut: {cut}"));
            }
        }
    }

    /// Adds what a round told.
    pub(super) fn take(&mut self, number: u32, round: &Round, killed: Option<String>, told: Told) {
        self.rounds += 1;
        self.rounds_without_players += u32::from(!round.players);
        if round.kill.is_some() {
            self.with_kills.add(&told);
        } else if round.players {
            self.undisturbed.add(&told);
        }
        if let Some(name) = killed {
            *self.kills.entry(name).or_default() += 1;
        }
        for complaint in told.complaints {
            self.complain(number, complaint);
        }
        self.leak(told.leaked);
    }

    /// Something was not as it should be.
    pub(super) fn complain(&mut self, number: u32, complaint: impl std::fmt::Display) {
        self.violations.push(format!("round {}: {complaint}", number + 1));
    }

    /// Something is left of a server that is gone.
    pub(super) fn leak(&mut self, left: Vec<String>) {
        self.pods_leaked += left.len();
        self.violations
            .extend(left.into_iter().map(|what| format!("left over: {what}")));
    }

    /// Whether all was as it should be.
    pub(super) fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// Prints it.
    pub(super) fn print(&self) {
        println!(
            "rounds                 {}, {} of them without players",
            self.rounds, self.rounds_without_players
        );
        println!(
            "connections            {}, {} messages answered",
            self.connections, self.messages_answered
        );
        println!("connections cut        {}", self.connections_cut);
        println!("objects left over      {}", self.pods_leaked);
        let kills = self.kills.iter().map(|(name, count)| format!("{name} {count}"));
        println!("killed                 {}", kills.collect::<Vec<_>>().join(", "));
        self.undisturbed.print("with players, nobody killed");
        self.with_kills.print("with a kill");
        println!("violations             {}", self.violations.len());
        for violation in &self.violations {
            println!("  {violation}");
        }
    }
}

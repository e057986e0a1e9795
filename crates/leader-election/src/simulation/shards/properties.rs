//! What has to hold in every run, and the proof that mistakes are noticed.

use std::ops::Range;

use proptest::prelude::*;

use super::{Bug, Simulation, Violation};
use crate::simulation::world::{Faults, MILLI, SECOND};

fn harsh() -> Faults {
    Faults {
        slow: 0.15,
        lost_request: 0.05,
        lost_answer: 0.1,
        mean_between_stops: 30,
        longest_stop: 40,
        crash: 0.3,
    }
}

fn faults() -> impl Strategy<Value = Faults> {
    (
        0.0..0.3_f64,
        0.0..0.2_f64,
        0.0..0.2_f64,
        5_u64..90,
        1_u64..41,
        0.0..1.0_f64,
    )
        .prop_map(
            |(slow, lost_request, lost_answer, mean_between_stops, longest_stop, crash)| Faults {
                slow,
                lost_request,
                lost_answer,
                mean_between_stops,
                longest_stop,
                crash,
            },
        )
}

fn hunt(bug: Bug, mut seeds: Range<u64>) -> Option<Violation> {
    seeds.find_map(|seed| Simulation::new(seed, 4, 8, harsh(), bug).run().err())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn never_two_valid_owners_and_even_shares_after_the_faults(
        seed: u64,
        nodes in 1_usize..5,
        shards in 1_u32..13,
        faults in faults(),
    ) {
        let moves = Simulation::new(seed, nodes, shards, faults, Bug::None).run();
        prop_assert!(moves.is_ok(), "{:?}", moves);
    }
}

#[test]
fn the_simulation_moves_shards_often_enough_to_mean_something() {
    let moves: usize = (0..20)
        .map(|seed| Simulation::new(seed, 4, 8, harsh(), Bug::None).run().unwrap())
        .sum();
    assert!(moves > 500, "{moves} claims in 20 runs");
}

/// Without faults every shard has an owner all the time, apart from the start and from moves: those wait for one listing of the
/// newcomer (2 s by the slowest clock; a watch shortens it, but nothing depends on the watch).
#[test]
fn replicas_that_come_one_by_one_leave_no_shard_alone_for_long() {
    for seed in 0..30 {
        let mut simulation = Simulation::new(seed, 4, 8, Faults::none(), Bug::None);
        simulation.run_until(6 * SECOND).unwrap();
        simulation.longest_gap = 0;
        simulation.run_until(60 * SECOND).unwrap();
        assert!(simulation.is_even(), "seed {seed}: {:?}", simulation.counts());
        assert!(
            simulation.longest_gap < 3 * SECOND,
            "seed {seed}: {} us",
            simulation.longest_gap
        );
    }
}

#[test]
fn the_shards_of_a_crashed_replica_are_owned_again_within_duration_and_retry() {
    for seed in 0..30 {
        let mut simulation = Simulation::new(seed, 3, 8, Faults::none(), Bug::None);
        simulation.run_until(60 * SECOND).unwrap();
        let counts = simulation.counts();
        simulation.leave(0);
        (simulation.longest_gap, simulation.moves) = (0, 0);
        simulation.run_until(100 * SECOND).unwrap();
        assert!(simulation.is_even(), "seed {seed}: {:?}", simulation.counts());
        assert_eq!(
            simulation.moves, counts[0],
            "seed {seed}: only the shards of the dead replica move"
        );
        // 15 s + 2 s on a clock that may be 10 % slow, from the renewal before the crash on; and the requests.
        assert!(
            simulation.longest_gap < 19_500 * MILLI,
            "seed {seed}: {} us",
            simulation.longest_gap
        );
    }
}

#[test]
fn writing_without_resource_version_is_found_out() {
    let violation = hunt(Bug::IgnoresVersion, 0..100);
    assert!(
        matches!(violation, Some(Violation::TwoOwners { .. })),
        "{violation:?}"
    );
}

#[test]
fn trusting_an_old_claim_is_found_out() {
    // A rare one, about 1 run in 130: the replica has to come back in the moment between its removal and the claims of the
    // others. The first seeds are known to show nothing and are left out to save 9 s.
    let violation = hunt(Bug::TrustsItsName, 120..1000);
    assert!(
        matches!(violation, Some(Violation::TwoOwners { .. })),
        "{violation:?}"
    );
}

#[test]
fn owning_before_the_answer_is_found_out() {
    let violation = hunt(Bug::OwnsUnconfirmed, 0..50);
    assert!(
        matches!(violation, Some(Violation::TwoOwners { .. })),
        "{violation:?}"
    );
}

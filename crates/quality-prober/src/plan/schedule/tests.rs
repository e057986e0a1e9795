//! Simulated time: every history of starts, ends and changes keeps the promises of the schedule.

use proptest::prelude::*;

use super::*;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What a simulated world does at one time.
#[derive(Debug, Clone)]
enum Act {
    /// Nothing for this long.
    Pass(u64),
    /// The run that began longest ago ends.
    End,
    Rest(u64),
    Resume(u64),
    Remove(u64),
    Add(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (1_u64..700).prop_map(Act::Pass),
        4 => Just(Act::End),
        1 => (0_u64..6).prop_map(Act::Rest),
        1 => (0_u64..6).prop_map(Act::Resume),
        1 => (0_u64..6).prop_map(Act::Remove),
        1 => (0_u64..6).prop_map(Act::Add),
    ]
}

fn grid(id: ProbeId) -> Grid {
    Grid::of("pod", &format!("quality-{id}"), ms(200 + 150 * (id % 4)))
}

proptest! {
    #[test]
    fn a_time_of_the_grid_is_found_as_by_counting(phase in 0_u64..50, period in 1_u64..50, time in 0_u64..400, until in 0_u64..400) {
        let grid = Grid { phase: ms(phase), period: ms(period) };
        let times: Vec<u64> = (0..900).map(|step| phase + step * period).collect();
        prop_assert_eq!(grid.from(ms(time)), ms(*times.iter().find(|at| **at >= time).unwrap()));
        prop_assert_eq!(grid.after(ms(time)), ms(*times.iter().find(|at| **at > time).unwrap()));
        let between = times.iter().filter(|at| **at > time && **at < until).count();
        prop_assert_eq!(grid.between(ms(time), ms(until)), between as u64);
    }

    #[test]
    fn no_probe_runs_twice_at_once_or_off_its_grid_or_twice_for_one_time(
        acts in proptest::collection::vec(act(), 1..250),
        limit in 1_usize..4,
    ) {
        let mut schedule = Schedule::default();
        let mut now = Duration::ZERO;
        let mut running: Vec<Due> = Vec::new();
        let mut seen = HashSet::new();
        let mut present: HashSet<ProbeId> = (0..4).collect();
        for id in 0..4 {
            schedule.set(id, grid(id), Duration::ZERO, Duration::ZERO);
        }
        for act in acts {
            match act {
                Act::Pass(time) => now += ms(time),
                Act::End => {
                    if !running.is_empty() {
                        schedule.finished(running.remove(0).id, now);
                    }
                }
                Act::Rest(id) => schedule.rest(id),
                Act::Resume(id) => {
                    if present.contains(&id) {
                        schedule.set(id, grid(id), Duration::ZERO, now);
                    }
                }
                Act::Remove(id) => {
                    schedule.remove(id);
                    present.remove(&id);
                }
                // An id is never used again.
                Act::Add(id) => {
                    let id = id + seen.len() as u64 * 10 + 10;
                    present.insert(id);
                    schedule.set(id, grid(id), Duration::ZERO, now);
                }
            }
            let free = limit.saturating_sub(schedule.running());
            let taken = schedule.take(now, free);
            let mut dues: Vec<Duration> = taken.iter().map(|it| it.due).collect();
            dues.sort();
            prop_assert_eq!(&dues, &taken.iter().map(|it| it.due).collect::<Vec<_>>());
            for due in taken {
                prop_assert!(due.due <= now && present.contains(&due.id));
                prop_assert_eq!(grid(due.id).from(due.due), due.due, "on the grid");
                prop_assert!(running.iter().all(|other| other.id != due.id), "twice at once");
                prop_assert!(seen.insert((due.id, due.due)), "twice for one time");
                running.push(due);
            }
            prop_assert!(running.len() <= limit);
            prop_assert_eq!(running.len(), schedule.running());
        }
    }

    #[test]
    fn every_time_of_the_grid_is_run_or_missed(durations in proptest::collection::vec(1_u64..1_500, 1..60)) {
        let mut schedule = Schedule::default();
        let grid = grid(1);
        schedule.set(1, grid, Duration::ZERO, Duration::ZERO);
        let (mut runs, mut missed, mut now) = (0, 0, Duration::ZERO);
        for duration in durations {
            now = now.max(schedule.next_due().unwrap());
            prop_assert_eq!(schedule.take(now, 9).len(), 1);
            runs += 1;
            now += ms(duration);
            missed += schedule.finished(1, now);
        }
        // From the first time on; the one at `now` is still to come.
        let passed = 1 + grid.between(grid.phase, now);
        prop_assert_eq!(runs + missed, passed);
    }
}

#[test]
fn a_run_that_is_late_does_not_move_the_next() {
    let mut schedule = Schedule::default();
    let grid = Grid {
        phase: ms(100),
        period: ms(1_000),
    };
    schedule.set(7, grid, ms(50), ms(0));
    assert_eq!(schedule.next_due(), Some(ms(100)));
    assert!(schedule.take(ms(99), 9).is_empty());
    assert_eq!(schedule.take(ms(400), 9), [Due { id: 7, due: ms(100) }]);
    assert_eq!(schedule.finished(7, ms(450)), 0);
    assert_eq!(schedule.next_due(), Some(ms(1_100)));
}

#[test]
fn a_hung_probe_misses_its_times_and_is_not_piled_up() {
    let mut schedule = Schedule::default();
    let grid = Grid {
        phase: ms(0),
        period: ms(1_000),
    };
    schedule.set(7, grid, ms(0), ms(0));
    assert_eq!(schedule.take(ms(0), 9).len(), 1);
    assert!(schedule.take(ms(3_500), 9).is_empty());
    assert_eq!(schedule.finished(7, ms(3_500)), 3);
    assert_eq!(schedule.next_due(), Some(ms(4_000)));
    // Looking at the Pod again brings back none of them.
    schedule.set(7, grid, ms(0), ms(3_600));
    assert_eq!(schedule.next_due(), Some(ms(4_000)));
    schedule.rest(7);
    assert_eq!(schedule.next_due(), None);
    schedule.set(7, grid, ms(0), ms(9_500));
    assert_eq!(schedule.next_due(), Some(ms(10_000)));
}

#[test]
fn the_one_that_has_waited_longest_is_first() {
    let mut schedule = Schedule::default();
    for (id, phase) in [(1, 300), (2, 100), (3, 200)] {
        let grid = Grid {
            phase: ms(phase),
            period: ms(1_000),
        };
        schedule.set(id, grid, ms(0), ms(0));
    }
    let order: Vec<_> = schedule.take(ms(500), 2).iter().map(|due| due.id).collect();
    assert_eq!(order, [2, 3]);
    assert_eq!(schedule.take(ms(500), 2)[0].id, 1);
}

#[test]
fn probes_spread_over_the_period() {
    let period = Duration::from_secs(3);
    let mut shares = [0; 10];
    for pod in 0..200 {
        for quality in ["healthy", "idle"] {
            let uid = format!("6f1c7c1e-5b1e-4c55-9a7e-{pod:012}");
            let grid = Grid::of(&uid, quality, period);
            shares[(grid.phase.as_secs_f64() / 0.3) as usize] += 1;
        }
    }
    assert!(shares.iter().all(|count| (15..80).contains(count)), "{shares:?}");
}

//! Two replicas, one server, and an API server, moved step by step in random orders: what the server said last is what is
//! stored in the end, whoever took it, however late the caches are.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use proptest::prelude::*;

use super::{
    entry::{Entry, Heard, Seen, Step},
    report::{News, Players, Said, next},
};

const INTERVAL: Duration = Duration::from_millis(500);
const POD: &str = "p";

#[derive(Clone, Debug)]
enum Move {
    /// The server reports a count to a replica.
    Report(usize, u32),
    /// A replica does what it has to do next.
    Work(usize, Fate),
    /// A replica's watch shows one more version.
    Watch(usize),
    /// Time passes.
    Pass(u16),
}

/// What becomes of a write.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Done,
    Refused,
    /// It was carried out, and the answer was lost.
    AnswerLost,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let fate = prop_oneof![
        6 => Just(Fate::Done),
        1 => Just(Fate::Refused),
        1 => Just(Fate::AnswerLost),
    ];
    let one = prop_oneof![
        3 => (0_usize..2, 0_u32..4).prop_map(|(replica, count)| Move::Report(replica, count)),
        4 => (0_usize..2, fate).prop_map(|(replica, fate)| Move::Work(replica, fate)),
        3 => (0_usize..2).prop_map(Move::Watch),
        2 => (1_u16..700).prop_map(Move::Pass),
    ];
    proptest::collection::vec(one, 1..80)
}

struct Replica {
    entry: Entry,
    cached: Seen,
    /// Versions its watch has not shown.
    behind: VecDeque<Seen>,
}

struct World {
    replicas: [Replica; 2],
    live: Seen,
    begun: Instant,
    passed: Duration,
    last_said: Option<u32>,
    writes: Vec<Duration>,
    changes: usize,
}

impl World {
    fn new() -> Self {
        let live = Seen {
            resource_version: "1".into(),
            ..Seen::default()
        };
        let replica = || Replica {
            entry: Entry::of(POD),
            cached: live.clone(),
            behind: VecDeque::new(),
        };
        Self {
            replicas: [replica(), replica()],
            live: live.clone(),
            begun: Instant::now(),
            passed: Duration::ZERO,
            last_said: None,
            writes: Vec::new(),
            changes: 0,
        }
    }

    fn now(&self) -> Instant {
        self.begun + self.passed
    }

    fn clock(&self) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + self.passed.as_millis() as i64).unwrap()
    }

    /// As the HTTP side does it: a report that is written at once is waited for, before the server says anything else.
    fn report(&mut self, replica: usize, count: u32) {
        self.passed += Duration::from_millis(1);
        let (now, at) = (self.now(), self.clock());
        let Replica { entry, cached, .. } = &mut self.replicas[replica];
        let value = Players {
            count,
            capacity: None,
        };
        let said = Said {
            value,
            at,
            answered: false,
        };
        let news = News {
            players: Some(said),
            condition: None,
        };
        let heard = entry.hear(news, cached, None, at, now);
        self.changes += usize::from(self.last_said != Some(count));
        self.last_said = Some(count);
        if heard == Heard::Now {
            self.work(replica, Fate::Done);
        }
    }

    fn work(&mut self, replica: usize, fate: Fate) {
        let (now, clock) = (self.now(), self.clock());
        let Replica { entry, cached, .. } = &mut self.replicas[replica];
        let news = match entry.step(now, false) {
            Step::Write(news) => news,
            Step::Rest => {
                entry.seen(cached, clock);
                return;
            }
            Step::Wait(_) => return,
        };
        // The first attempt is from the cache; a version that is no longer the live one is refused, and read.
        let Replica { entry, cached, .. } = &self.replicas[replica];
        let mut base = entry.base(cached).clone();
        let mut wanted = next(&base.report, POD, &news, None, clock);
        if wanted.is_some() && base.resource_version != self.live.resource_version {
            base = self.live.clone();
            wanted = next(&base.report, POD, &news, None, clock);
        }
        let Some(report) = wanted else {
            return self.replicas[replica].entry.stored(None, now, INTERVAL);
        };
        if !matches!(fate, Fate::Refused) {
            self.store(report);
        }
        let entry = &mut self.replicas[replica].entry;
        match fate {
            Fate::Done => entry.stored(Some(self.live.clone()), now, INTERVAL),
            Fate::Refused | Fate::AnswerLost => entry.failed(news, now, INTERVAL),
        }
    }

    fn store(&mut self, report: api_types::Report) {
        let version: u64 = self.live.resource_version.parse().unwrap();
        self.live = Seen {
            resource_version: (version + 1).to_string(),
            report,
        };
        self.writes.push(self.passed);
        for replica in &mut self.replicas {
            replica.behind.push_back(self.live.clone());
        }
    }

    fn watch(&mut self, replica: usize) -> bool {
        let clock = self.clock();
        let replica = &mut self.replicas[replica];
        let Some(version) = replica.behind.pop_front() else {
            return false;
        };
        replica.cached = version;
        replica.entry.seen(&replica.cached, clock);
        true
    }

    fn run(&mut self, moves: &[Move]) {
        for step in moves {
            match *step {
                Move::Report(replica, count) => self.report(replica, count),
                Move::Work(replica, fate) => self.work(replica, fate),
                Move::Watch(replica) => {
                    self.watch(replica);
                }
                Move::Pass(milliseconds) => self.passed += Duration::from_millis(milliseconds.into()),
            }
        }
    }

    /// Everything gets its turn until nothing is left to do.
    fn settle(&mut self) {
        for _ in 0..40 {
            for replica in 0..2 {
                while self.watch(replica) {}
                self.work(replica, Fate::Done);
            }
            self.passed += Duration::from_secs(11);
        }
        let busy = self.replicas.iter().any(|replica| replica.entry.is_busy());
        assert!(!busy, "something is left to do");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_was_said_last_is_stored_in_the_end(moves in moves()) {
        let mut world = World::new();
        world.run(&moves);
        world.settle();
        let stored = world.live.report.players_of(POD).map(|players| players.count);
        prop_assert_eq!(stored, world.last_said);
        let writes = world.writes.len();
        world.settle();
        prop_assert_eq!(world.writes.len(), writes, "writes at rest");
    }

    /// One replica whose writes succeed never writes more than was said, nor more often than the interval.
    #[test]
    fn only_changes_are_written_and_together(moves in moves()) {
        let moves: Vec<Move> = moves
            .into_iter()
            .map(|step| match step {
                Move::Report(_, count) => Move::Report(0, count),
                Move::Work(..) => Move::Work(0, Fate::Done),
                other => other,
            })
            .collect();
        let mut world = World::new();
        world.run(&moves);
        world.settle();
        prop_assert!(world.writes.len() <= world.changes, "{} writes of {} changes", world.writes.len(), world.changes);
        let close = world.writes.windows(2).find(|pair| pair[1] < pair[0] + INTERVAL);
        prop_assert!(close.is_none(), "{close:?}");
    }
}

//! Two to five candidates for one lease: never two leaders at one true instant, and a leader soon after faults stop.

use k8s_openapi::{api::coordination::v1::Lease, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use proptest::prelude::*;
use rand::Rng;

use super::world::{Answer, Clock, Faults, MILLI, Request, SECOND, World};
use crate::{
    Timing,
    record::{Observed, Version},
    step::{Candidate, Command, Input, step},
};

const LEASE: &str = "lease";

/// Faults last this long, and what they delayed has arrived this long after.
const FAULTY: u64 = 240 * SECOND;
const SETTLED: u64 = FAULTY + 75 * SECOND;
/// A leader is due: one lease duration on the slowest clock, and a few attempts.
const LED: u64 = SETTLED + 25 * SECOND;
const END: u64 = LED + 60 * SECOND;

/// A deliberate mistake; the simulation has to notice each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    /// Writes without `resourceVersion`, as a merge patch would.
    IgnoresVersion,
    /// Takes a lease over when its `renewTime` is older than its duration by the candidate's own wall clock.
    ComparesWallClocks,
    /// A renew deadline longer than the lease, which [`Timing::validate`] refuses.
    RenewsTooLong,
}

#[derive(Debug, Clone)]
#[allow(
    clippy::large_enum_variant,
    reason = "there are at most dozens of events at a time"
)]
enum Event {
    Arrive {
        node: usize,
        ticket: u64,
        request: Request,
    },
    Answer {
        node: usize,
        ticket: u64,
        answer: Answer,
    },
    Timeout {
        node: usize,
        ticket: u64,
    },
    Wake {
        node: usize,
        ticket: u64,
    },
    Deadline {
        node: usize,
    },
    Stop {
        node: usize,
        length: u64,
    },
    Restart {
        node: usize,
    },
}

struct Node {
    identity: String,
    candidate: Candidate,
    clock: Clock,
    stored: Option<Lease>,
    /// What it waits for, a request or a pause; everything else comes too late.
    waiting: u64,
    stopped_until: u64,
}

struct Simulation {
    world: World<Event>,
    nodes: Vec<Node>,
    timing: Timing,
    bug: Bug,
    terms: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Violation {
    TwoLeaders { at: u64, nodes: Vec<usize> },
    NobodyLeads { at: u64 },
    LeaderChangedInPeace { at: u64 },
}

impl Simulation {
    fn new(seed: u64, nodes: usize, faults: Faults, bug: Bug) -> Self {
        let mut world = World::new(seed, faults);
        world.server.ignores_version = bug == Bug::IgnoresVersion;
        let mut timing = Timing::default();
        if bug == Bug::RenewsTooLong {
            timing.renew_deadline = timing.duration * 2;
        }
        let nodes = (0..nodes)
            .map(|index| Node {
                identity: format!("node-{index}"),
                candidate: Candidate::new("", timing),
                clock: world.clock(),
                stored: None,
                waiting: 0,
                stopped_until: 0,
            })
            .collect();
        let mut simulation = Self {
            world,
            nodes,
            timing,
            bug,
            terms: 0,
        };
        for node in 0..simulation.nodes.len() {
            let start = simulation.world.rng.random_range(0..5 * SECOND);
            simulation.world.at(start, Event::Restart { node });
            simulation.plan_stop(node);
        }
        simulation
    }

    fn leaders(&self) -> Vec<usize> {
        let leads = |node: &Node| {
            node.candidate
                .until()
                .is_some_and(|until| node.clock.instant(self.world.now) < until)
        };
        (0..self.nodes.len())
            .filter(|index| leads(&self.nodes[*index]))
            .collect()
    }

    /// Runs to the end; the number of terms, or the first violation.
    fn run(mut self) -> Result<usize, Violation> {
        self.run_until(FAULTY)?;
        self.world.faults = Faults::none();
        self.run_until(LED)?;
        let leaders = self.leaders();
        if leaders.is_empty() {
            return Err(Violation::NobodyLeads { at: self.world.now });
        }
        let terms = self.terms;
        self.run_until(END)?;
        if self.terms != terms || self.leaders() != leaders {
            return Err(Violation::LeaderChangedInPeace { at: self.world.now });
        }
        Ok(self.terms)
    }

    fn run_until(&mut self, end: u64) -> Result<(), Violation> {
        while let Some(event) = self.world.pop(end) {
            self.handle(event);
            let nodes = self.leaders();
            if nodes.len() > 1 {
                return Err(Violation::TwoLeaders {
                    at: self.world.now,
                    nodes,
                });
            }
        }
        self.world.now = end;
        Ok(())
    }

    fn handle(&mut self, event: Event) {
        if let Event::Arrive {
            node,
            ticket,
            request,
        } = event
        {
            let answer = self.world.server.apply(request);
            if let Some(time) = self.world.travel(self.world.faults.lost_answer) {
                self.world.at(time, Event::Answer { node, ticket, answer });
            }
            return;
        }
        let (Event::Answer { node, .. }
        | Event::Timeout { node, .. }
        | Event::Wake { node, .. }
        | Event::Deadline { node }
        | Event::Stop { node, .. }
        | Event::Restart { node }
        | Event::Arrive { node, .. }) = event;
        let stopped_until = self.nodes[node].stopped_until;
        if self.world.now < stopped_until {
            // All that happened meanwhile comes at once when the process runs again, in any order.
            let time = stopped_until + self.world.rng.random_range(0..MILLI);
            self.world.at(time, event);
            return;
        }
        self.handle_in(node, event);
    }

    fn handle_in(&mut self, node: usize, event: Event) {
        let waiting = self.nodes[node].waiting;
        match event {
            Event::Answer { ticket, answer, .. } if ticket == waiting => {
                let input = self.receive(node, answer);
                self.feed(node, input);
            }
            Event::Timeout { ticket, .. } if ticket == waiting => self.feed(node, Input::Failed),
            Event::Wake { ticket, .. } if ticket == waiting => self.feed(node, Input::Wake),
            Event::Deadline { .. } => {
                let clock = self.nodes[node].clock.instant(self.world.now);
                if self.nodes[node]
                    .candidate
                    .until()
                    .is_some_and(|until| clock >= until)
                {
                    self.feed(node, Input::Failed);
                }
            }
            Event::Stop { length, .. } => self.stop(node, length),
            Event::Restart { .. } => self.restart(node),
            _ => {}
        }
    }

    fn plan_stop(&mut self, node: usize) {
        let (time, length) = self.world.next_stop();
        self.world.at(time, Event::Stop { node, length });
    }

    fn stop(&mut self, node: usize, length: u64) {
        if self.world.now < FAULTY {
            let wall_error = self.world.rng.random_range(-7200..7200);
            self.nodes[node].clock.wall_error = wall_error;
            if self.world.rng.random_bool(self.world.faults.crash) {
                self.end(node, length);
            } else {
                self.nodes[node].stopped_until = self.world.now + length;
            }
            self.plan_stop(node);
        }
    }

    /// The process is gone; what it sent is still under way.
    fn end(&mut self, node: usize, down: u64) {
        let timing = self.timing;
        let waiting = self.world.ticket();
        let process = &mut self.nodes[node];
        process.candidate = Candidate::new("", timing);
        process.waiting = waiting;
        self.world.at(self.world.now + down, Event::Restart { node });
    }

    fn restart(&mut self, node: usize) {
        // A restarted container keeps its identity, a new Pod has another.
        if self.world.rng.random_bool(0.5) {
            self.nodes[node].identity = format!("node-{node}-{}", self.world.ticket());
        }
        let process = &mut self.nodes[node];
        process.candidate = Candidate::new(process.identity.clone(), self.timing);
        process.stored = None;
        self.feed(node, Input::Wake);
    }

    fn receive(&mut self, node: usize, answer: Answer) -> Input {
        let wall = self.nodes[node].clock.wall(self.world.now);
        let process = &mut self.nodes[node];
        match answer {
            Answer::Found(lease) => {
                process.stored = lease;
                let mut observed = process.stored.as_ref().map(Observed::from_lease);
                if let (Bug::ComparesWallClocks, Some(observed)) = (self.bug, &mut observed) {
                    let renewed = observed.record.renewed.unwrap();
                    let old =
                        wall.duration_since(renewed).unsigned_abs() > self.timing.duration && wall > renewed;
                    if old && !observed.record.is_held_by(&process.identity) {
                        observed.record.holder = None;
                    }
                }
                Input::Read(observed)
            }
            Answer::Stored(lease) => {
                let observed = Observed::from_lease(&lease);
                process.stored = Some(lease);
                Input::Written(observed)
            }
            Answer::Refused => Input::Refused,
            Answer::Deleted | Answer::Listed(_) => unreachable!("not asked for"),
        }
    }

    /// One step of the machine, and what the driver does with its command.
    fn feed(&mut self, node: usize, input: Input) {
        let led = self.nodes[node].candidate.until();
        let local = self.nodes[node].clock.instant(self.world.now);
        let command = step(&mut self.nodes[node].candidate, input, local);
        let waiting = self.world.ticket();
        self.nodes[node].waiting = waiting;
        match command {
            Command::Stop(_) => {
                let down = self.world.rng.random_range(100 * MILLI..3 * SECOND);
                self.end(node, down);
            }
            Command::Wait(until) => {
                let clock = self.nodes[node].clock.clone();
                let time = self.world.jittered(&clock, until);
                self.world.at(
                    time,
                    Event::Wake {
                        node,
                        ticket: waiting,
                    },
                );
            }
            Command::Read => self.send(node, Request::Get(LEASE.into())),
            Command::Write { over, claim } => {
                let process = &self.nodes[node];
                let previous = process.stored.as_ref().and_then(|lease| lease.spec.as_ref());
                let metadata = ObjectMeta {
                    name: Some(LEASE.into()),
                    ..ObjectMeta::default()
                };
                let lease = Lease {
                    metadata,
                    spec: Some(claim.stamp(previous, process.clock.wall(self.world.now))),
                };
                self.send_write(node, over, lease);
            }
        }
        let until = self.nodes[node].candidate.until();
        if let Some(until) = until.filter(|_| until != led) {
            self.terms += usize::from(led.is_none());
            let time = self.nodes[node].clock.when(until, self.world.now);
            self.world.at(time, Event::Deadline { node });
        }
    }

    fn send_write(&mut self, node: usize, over: Option<Version>, lease: Lease) {
        self.send(
            node,
            Request::Put {
                over,
                lease: Box::new(lease),
            },
        );
    }

    fn send(&mut self, node: usize, request: Request) {
        let ticket = self.nodes[node].waiting;
        let clock = &self.nodes[node].clock;
        let timeout = clock.when(
            clock.instant(self.world.now) + self.timing.request_deadline(),
            self.world.now,
        );
        self.world.at(timeout, Event::Timeout { node, ticket });
        if let Some(time) = self.world.travel(self.world.faults.lost_request) {
            self.world.at(
                time,
                Event::Arrive {
                    node,
                    ticket,
                    request,
                },
            );
        }
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

/// Runs seeds until one shows a violation.
fn hunt(bug: Bug, seeds: u64) -> Option<Violation> {
    let faults = Faults {
        slow: 0.15,
        lost_request: 0.05,
        lost_answer: 0.1,
        mean_between_stops: 20,
        longest_stop: 40,
        crash: 0.3,
    };
    (0..seeds).find_map(|seed| Simulation::new(seed, 4, faults.clone(), bug).run().err())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn never_two_leaders_and_always_one_after_the_faults(seed: u64, nodes in 2_usize..6, faults in faults()) {
        let terms = Simulation::new(seed, nodes, faults, Bug::None).run();
        prop_assert!(terms.is_ok(), "{:?}", terms);
    }
}

#[test]
fn the_simulation_moves_leadership_often_enough_to_mean_something() {
    let faults = Faults {
        slow: 0.15,
        lost_request: 0.05,
        lost_answer: 0.1,
        mean_between_stops: 20,
        longest_stop: 40,
        crash: 0.3,
    };
    let terms: usize = (0..20)
        .map(|seed| Simulation::new(seed, 4, faults.clone(), Bug::None).run().unwrap())
        .sum();
    assert!(terms > 100, "{terms} terms in 20 runs");
}

#[test]
fn without_faults_the_first_leader_stays() {
    for seed in 0..20 {
        assert_eq!(
            Simulation::new(seed, 5, Faults::none(), Bug::None).run(),
            Ok(1),
            "seed {seed}"
        );
    }
}

#[test]
fn writing_without_resource_version_is_found_out() {
    let violation = hunt(Bug::IgnoresVersion, 300);
    assert!(
        matches!(violation, Some(Violation::TwoLeaders { .. })),
        "{violation:?}"
    );
}

#[test]
fn comparing_wall_clocks_is_found_out() {
    let violation = hunt(Bug::ComparesWallClocks, 50);
    assert!(
        matches!(violation, Some(Violation::TwoLeaders { .. })),
        "{violation:?}"
    );
}

#[test]
fn a_renew_deadline_beyond_the_lease_is_found_out() {
    let violation = hunt(Bug::RenewsTooLong, 50);
    assert!(
        matches!(violation, Some(Violation::TwoLeaders { .. })),
        "{violation:?}"
    );
}

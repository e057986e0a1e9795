//! Replicas that share shards: never two valid owners of a shard, even shares and no shard left over soon after faults stop.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::{api::coordination::v1::Lease, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use proptest::prelude::*;
use rand::Rng;

use super::world::{Answer, Clock, Faults, MILLI, Request, SECOND, World};
use crate::{
    Timing,
    record::{Claim, LeaseRecord, Observed, Version},
    shards::{GroupNames, GroupView, plan_shards},
    step::{Candidate, Command, Input, step},
};

const FAULTY: u64 = 240 * SECOND;
const SETTLED: u64 = FAULTY + 75 * SECOND;
/// Even shares are due: one lease duration on the slowest clock to find the dead, then a few listings.
const EVEN: u64 = SETTLED + 30 * SECOND;
const END: u64 = EVEN + 60 * SECOND;

/// A deliberate mistake; the simulation has to notice each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    /// Writes and deletes without `resourceVersion`.
    IgnoresVersion,
    /// Takes a shard whose lease names it for its own, without having claimed it in this membership.
    TrustsItsName,
    /// Takes a free shard as soon as it asked for it, without waiting for the answer.
    OwnsUnconfirmed,
}

#[derive(Debug, Clone)]
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
    Round {
        node: usize,
        membership: u64,
    },
    Stop {
        node: usize,
        length: u64,
    },
    Join {
        node: usize,
    },
}

/// What a request of the sharing half was for.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    List,
    Claim(u32),
    Other,
}

struct Node {
    identity: String,
    clock: Clock,
    stopped_until: u64,
    alive: bool,
    // The membership half: as in the election.
    candidate: Candidate,
    stored: Option<Lease>,
    waiting: u64,
    // The sharing half, new for every membership.
    membership: u64,
    view: GroupView,
    mine: BTreeSet<u32>,
    pending: BTreeMap<u64, Purpose>,
    again: bool,
}

struct Simulation {
    world: World<Event>,
    names: GroupNames,
    nodes: Vec<Node>,
    shards: u32,
    timing: Timing,
    bug: Bug,
    /// When each shard was last seen with an owner.
    owned_at: Vec<u64>,
    /// The longest time without an owner, per shard, since `measure_from`.
    longest_gap: u64,
    moves: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Violation {
    TwoOwners { at: u64, shard: u32, nodes: Vec<usize> },
    Uneven { at: u64, counts: Vec<usize> },
    MovedInPeace { moves: usize },
}

impl Simulation {
    fn new(seed: u64, nodes: usize, shards: u32, faults: Faults, bug: Bug) -> Self {
        let mut world = World::new(seed, faults);
        world.server.ignores_version = bug == Bug::IgnoresVersion;
        let timing = Timing::default();
        let nodes = (0..nodes)
            .map(|index| Node {
                identity: format!("node-{index}"),
                clock: world.clock(),
                stopped_until: 0,
                alive: false,
                candidate: Candidate::new("", timing),
                stored: None,
                waiting: 0,
                membership: 0,
                view: GroupView::default(),
                mine: BTreeSet::new(),
                pending: BTreeMap::new(),
                again: false,
            })
            .collect();
        let names = GroupNames::new("group", shards);
        let owned_at = vec![0; shards as usize];
        let mut simulation = Self {
            world,
            names,
            nodes,
            shards,
            timing,
            bug,
            owned_at,
            longest_gap: 0,
            moves: 0,
        };
        for node in 0..simulation.nodes.len() {
            let start = simulation.world.rng.random_range(0..5 * SECOND);
            simulation.world.at(start, Event::Join { node });
            simulation.plan_stop(node);
        }
        simulation
    }

    fn is_member(&self, node: usize) -> bool {
        let process = &self.nodes[node];
        let now = process.clock.instant(self.world.now);
        process.alive && process.candidate.until().is_some_and(|until| now < until)
    }

    fn owners(&self, shard: u32) -> Vec<usize> {
        let owns = |node: &usize| self.nodes[*node].mine.contains(&shard) && self.is_member(*node);
        (0..self.nodes.len()).filter(owns).collect()
    }

    fn counts(&self) -> Vec<usize> {
        let alive = (0..self.nodes.len()).filter(|node| self.nodes[*node].alive);
        alive
            .map(|node| {
                if self.is_member(node) {
                    self.nodes[node].mine.len()
                } else {
                    0
                }
            })
            .collect()
    }

    fn is_even(&self) -> bool {
        let counts = self.counts();
        let all = counts.iter().sum::<usize>() == self.shards as usize;
        all && counts.iter().max().unwrap_or(&0) - counts.iter().min().unwrap_or(&0) <= 1
    }

    /// Runs with faults, then without; the number of claims confirmed, or the first violation.
    fn run(mut self) -> Result<usize, Violation> {
        self.run_until(FAULTY)?;
        self.world.faults = Faults::none();
        self.run_until(EVEN)?;
        if !self.is_even() {
            return Err(Violation::Uneven {
                at: self.world.now,
                counts: self.counts(),
            });
        }
        let moves = self.moves;
        self.run_until(END)?;
        if self.moves != moves || !self.is_even() {
            return Err(Violation::MovedInPeace {
                moves: self.moves - moves,
            });
        }
        Ok(self.moves)
    }

    fn run_until(&mut self, end: u64) -> Result<(), Violation> {
        while let Some(event) = self.world.pop(end) {
            self.handle(event);
            for shard in 0..self.shards {
                let nodes = self.owners(shard);
                if nodes.len() > 1 {
                    return Err(Violation::TwoOwners {
                        at: self.world.now,
                        shard,
                        nodes,
                    });
                }
                if nodes.is_empty() {
                    let gap = self.world.now - self.owned_at[shard as usize];
                    self.longest_gap = self.longest_gap.max(gap);
                } else {
                    self.owned_at[shard as usize] = self.world.now;
                }
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
        | Event::Round { node, .. }
        | Event::Stop { node, .. }
        | Event::Join { node }
        | Event::Arrive { node, .. }) = event;
        let stopped_until = self.nodes[node].stopped_until;
        if self.world.now < stopped_until {
            let time = stopped_until + self.world.rng.random_range(0..MILLI);
            self.world.at(time, event);
            return;
        }
        // The driver polls the membership before anything else, so its deadline comes first.
        let local = self.nodes[node].clock.instant(self.world.now);
        if self.nodes[node]
            .candidate
            .until()
            .is_some_and(|until| local >= until)
        {
            self.feed(node, Input::Failed);
        }
        self.handle_in(node, event);
    }

    fn handle_in(&mut self, node: usize, event: Event) {
        match event {
            Event::Answer { ticket, answer, .. } if ticket == self.nodes[node].waiting => {
                let input = self.receive_membership(node, answer);
                self.feed(node, input);
            }
            Event::Timeout { ticket, .. } | Event::Wake { ticket, .. }
                if ticket == self.nodes[node].waiting =>
            {
                let input = if matches!(event, Event::Wake { .. }) {
                    Input::Wake
                } else {
                    Input::Failed
                };
                self.feed(node, input);
            }
            Event::Answer { ticket, answer, .. } => {
                if let Some(purpose) = self.nodes[node].pending.remove(&ticket) {
                    self.receive_sharing(node, purpose, answer);
                    self.round_may_end(node);
                }
            }
            Event::Timeout { ticket, .. } => {
                if self.nodes[node].pending.remove(&ticket).is_some() {
                    self.round_may_end(node);
                }
            }
            Event::Round { membership, .. } if membership == self.nodes[node].membership => self.round(node),
            Event::Stop { length, .. } => self.stop(node, length),
            Event::Join { .. } => self.join(node),
            _ => {}
        }
    }

    fn plan_stop(&mut self, node: usize) {
        let (time, length) = self.world.next_stop();
        self.world.at(time, Event::Stop { node, length });
    }

    fn stop(&mut self, node: usize, length: u64) {
        if self.world.now >= FAULTY {
            return;
        }
        if self.world.rng.random_bool(self.world.faults.crash) {
            self.leave(node);
            // A restarted container keeps its identity, a new Pod has another.
            if self.world.rng.random_bool(0.5) {
                self.nodes[node].identity = format!("node-{node}-{}", self.world.ticket());
            }
            self.world.at(self.world.now + length, Event::Join { node });
        } else {
            self.nodes[node].stopped_until = self.world.now + length;
        }
        self.plan_stop(node);
    }

    /// Forgets everything; what was sent is still under way.
    fn leave(&mut self, node: usize) {
        let (waiting, membership) = (self.world.ticket(), self.world.ticket());
        let process = &mut self.nodes[node];
        process.alive = false;
        process.candidate = Candidate::new("", self.timing);
        process.stored = None;
        process.waiting = waiting;
        process.membership = membership;
        process.view = GroupView::default();
        process.mine.clear();
        process.pending.clear();
        process.again = false;
    }

    fn join(&mut self, node: usize) {
        self.leave(node);
        let process = &mut self.nodes[node];
        process.alive = true;
        process.candidate = Candidate::new(process.identity.clone(), self.timing);
        self.feed(node, Input::Wake);
    }

    fn receive_membership(&mut self, node: usize, answer: Answer) -> Input {
        let process = &mut self.nodes[node];
        match answer {
            Answer::Found(lease) => {
                process.stored = lease;
                Input::Read(process.stored.as_ref().map(Observed::from_lease))
            }
            Answer::Stored(lease) => {
                let observed = Observed::from_lease(&lease);
                process.stored = Some(lease);
                Input::Written(observed)
            }
            _ => Input::Refused,
        }
    }

    fn feed(&mut self, node: usize, input: Input) {
        let before = self.nodes[node].candidate.until();
        let local = self.nodes[node].clock.instant(self.world.now);
        let command = step(&mut self.nodes[node].candidate, input, local);
        let waiting = self.world.ticket();
        self.nodes[node].waiting = waiting;
        let lease = self.names.member(&self.nodes[node].identity);
        match command {
            Command::Stop(_) => {
                self.leave(node);
                self.nodes[node].alive = true;
                let time = self.world.now + self.world.rng.random_range(0..500 * MILLI);
                self.world.at(time, Event::Join { node });
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
            Command::Read => self.send(node, waiting, Request::Get(lease)),
            Command::Write { over, claim } => {
                let stored = self.nodes[node].stored.clone();
                let request = self.put(node, lease, over, stored.as_ref(), &claim);
                self.send(node, waiting, request);
            }
        }
        let until = self.nodes[node].candidate.until();
        if let Some(until) = until.filter(|_| until != before) {
            let time = self.nodes[node].clock.when(until, self.world.now);
            self.world.at(time, Event::Deadline { node });
            if before.is_none() {
                let membership = self.nodes[node].membership;
                self.world.at(self.world.now, Event::Round { node, membership });
            }
        }
    }

    fn put(
        &self,
        node: usize,
        name: String,
        over: Option<Version>,
        stored: Option<&Lease>,
        claim: &Claim,
    ) -> Request {
        let wall = self.nodes[node].clock.wall(self.world.now);
        let metadata = ObjectMeta {
            name: Some(name),
            ..ObjectMeta::default()
        };
        let spec = claim.stamp(stored.and_then(|lease| lease.spec.as_ref()), wall);
        Request::Put {
            over,
            lease: Lease {
                metadata,
                spec: Some(spec),
            },
        }
    }

    fn send(&mut self, node: usize, ticket: u64, request: Request) {
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

    fn ask(&mut self, node: usize, purpose: Purpose, request: Request) {
        let ticket = self.world.ticket();
        self.nodes[node].pending.insert(ticket, purpose);
        self.send(node, ticket, request);
    }

    fn round(&mut self, node: usize) {
        self.nodes[node].again = false;
        if self.is_member(node) {
            self.ask(node, Purpose::List, Request::List);
        }
    }

    fn round_may_end(&mut self, node: usize) {
        if !self.nodes[node].pending.is_empty() {
            return;
        }
        let (clock, membership) = (self.nodes[node].clock.clone(), self.nodes[node].membership);
        let pause = if self.nodes[node].again {
            Duration::from_millis(50)
        } else {
            self.timing.retry
        };
        let time = self.world.jittered(&clock, clock.instant(self.world.now) + pause);
        self.world.at(time, Event::Round { node, membership });
    }

    fn receive_sharing(&mut self, node: usize, purpose: Purpose, answer: Answer) {
        match (purpose, answer) {
            (Purpose::List, Answer::Listed(leases)) => self.share(node, leases),
            (Purpose::Claim(shard), Answer::Stored(_)) if self.is_member(node) => {
                self.nodes[node].mine.insert(shard);
                self.moves += 1;
            }
            (Purpose::Claim(shard), Answer::Refused) => {
                self.nodes[node].again = true;
                self.nodes[node].mine.remove(&shard);
            }
            _ => {}
        }
    }

    fn share(&mut self, node: usize, leases: Vec<Lease>) {
        let process = &mut self.nodes[node];
        let local = process.clock.instant(self.world.now);
        process.view = GroupView::read(&self.names, &process.view, leases, local);
        for shard in process.view.lost(&process.mine, &process.identity) {
            process.mine.remove(&shard);
        }
        if self.bug == Bug::TrustsItsName {
            let named = (0..self.shards).filter(|shard| process.view.names(*shard, &process.identity));
            process.mine.extend(named);
        }
        let expiries = process.view.expiries(self.timing.duration);
        let plan = plan_shards(
            &expiries,
            &process.view.holders,
            &process.identity,
            &process.mine,
            local,
        );
        for shard in &plan.release {
            process.mine.remove(shard);
        }
        if self.bug == Bug::OwnsUnconfirmed {
            process.mine.extend(&plan.claim);
        }
        process.again = !plan.fence.is_empty();
        let view = process.view.clone();
        for identity in &plan.fence {
            let (lease, version) = view.member(identity).unwrap();
            self.ask(
                node,
                Purpose::Other,
                Request::Delete {
                    name: lease.to_owned(),
                    version: version.clone(),
                },
            );
        }
        let me = self.nodes[node].identity.clone();
        for shard in plan.release {
            self.write_shard(node, &view, shard, None, Purpose::Other);
        }
        for shard in plan.claim {
            self.write_shard(node, &view, shard, Some(me.clone()), Purpose::Claim(shard));
        }
    }

    fn write_shard(
        &mut self,
        node: usize,
        view: &GroupView,
        shard: u32,
        holder: Option<String>,
        purpose: Purpose,
    ) {
        let stored = view.shards[shard as usize].as_ref();
        let claim = Claim {
            new_term: holder.is_some(),
            holder,
            duration: self.timing.duration,
            transitions: stored.map_or(0, |lease| LeaseRecord::from_lease(lease).transitions + 1),
        };
        let over = stored.map(|lease| Observed::from_lease(lease).version);
        let request = self.put(node, self.names.shard(shard), over, stored, &claim);
        self.ask(node, purpose, request);
    }
}

fn harsh() -> Faults {
    Faults {
        slow: 0.15,
        lost_request: 0.05,
        lost_answer: 0.1,
        mean_between_stops: 30,
        crash: 0.3,
    }
}

fn faults() -> impl Strategy<Value = Faults> {
    (0.0..0.3_f64, 0.0..0.2_f64, 0.0..0.2_f64, 5_u64..90, 0.0..1.0_f64).prop_map(
        |(slow, lost_request, lost_answer, mean_between_stops, crash)| Faults {
            slow,
            lost_request,
            lost_answer,
            mean_between_stops,
            crash,
        },
    )
}

fn hunt(bug: Bug, seeds: u64) -> Option<Violation> {
    (0..seeds).find_map(|seed| Simulation::new(seed, 4, 8, harsh(), bug).run().err())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

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
    let violation = hunt(Bug::IgnoresVersion, 300);
    assert!(
        matches!(violation, Some(Violation::TwoOwners { .. })),
        "{violation:?}"
    );
}

#[test]
fn trusting_an_old_claim_is_found_out() {
    let violation = hunt(Bug::TrustsItsName, 1000);
    assert!(
        matches!(violation, Some(Violation::TwoOwners { .. })),
        "{violation:?}"
    );
}

#[test]
fn owning_before_the_answer_is_found_out() {
    let violation = hunt(Bug::OwnsUnconfirmed, 50);
    assert!(
        matches!(violation, Some(Violation::TwoOwners { .. })),
        "{violation:?}"
    );
}

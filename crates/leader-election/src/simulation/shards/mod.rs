//! Replicas that share shards: never two valid owners of a shard, even shares and no shard left over soon after faults stop.

mod membership;
mod properties;
mod sharing;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::coordination::v1::Lease;
use rand::Rng;

use super::world::{Answer, Clock, Faults, MILLI, Request, SECOND, World};
use crate::{
    Timing,
    shards::{GroupNames, GroupView},
    step::{Candidate, Input},
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
            Event::Timeout { ticket, .. } if self.nodes[node].pending.remove(&ticket).is_some() => {
                self.round_may_end(node);
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
}
